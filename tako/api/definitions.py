"""Keeps the registry equal to the stored CustomResourceDefinitions, and ours among them equal to the models."""

from collections.abc import Callable, Sequence

from tako.api.changes import Changes, Document
from tako.api.entries import Change, ChangeType, Key
from tako.api.errors import DiskFull
from tako.api.registry import CRDS


class Definitions:
    """Serves what is defined from the moment the definition is stored."""

    def __init__(self, changes: Changes, changed: Callable[[], None]) -> None:
        self._changes = changes
        self._changed = changed
        for entry in changes.store.list(CRDS):
            changes.registry.replace(entry.read())
        changes.store.observers.append(self.observe)

    def observe(self, change: Change) -> None:
        if change.key.group_resource != CRDS:
            return
        if change.type is ChangeType.DELETED:
            self._changes.registry.remove(change.key.name)
            self._changes.store.feed.end(change.key.name)
        elif change.previous is None or change.previous.read()["spec"] != change.entry.read()["spec"]:
            self._changes.registry.replace(change.entry.read())
        self._changed()

    async def install(self, crds: Sequence[Document]) -> None:
        """Store the server's own definitions as they are in this version, and keep clients from changing them."""
        resource = self._changes.registry.stored(CRDS)
        for crd in crds:
            name = crd["metadata"]["name"]
            self._changes.protected.discard(f"{CRDS}/{name}")
            try:
                if self._changes.store.latest(Key(CRDS, "", name)) is None:
                    await self._changes.create(resource, "", crd)
                else:
                    await self._changes.update(resource, "", name, _with_spec(crd["spec"]))
            except DiskFull:
                # What is declared must be served and readable all the same; it is stored with a later start.
                self._changes.registry.replace(crd)
            self._changes.protected.add(f"{CRDS}/{name}")


def _with_spec(spec: Document) -> Callable[[Document], Document]:
    # What was filled in beside it (such as `conversion`) stays: without it each start would be a new generation.
    return lambda old: {**old, "spec": {**old["spec"], **spec}}
