"""What goes with something else: dependents with their owners, content with its namespace, objects with their kind.

Level-triggered: a change only says which object to look at; what to do is read from the whole state. So a
collector that was away misses nothing: it looks at everything when it starts.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from tako.api.builtin import NAMESPACES
from tako.api.builtin_rules import CRD_CLEANUP
from tako.api.changes import Changes
from tako.api.database import StoreFailed
from tako.api.entries import Change, ChangeType, Entry, Key
from tako.api.errors import ApiError
from tako.api.lifecycle import FOREGROUND, ORPHAN
from tako.api.options import Preconditions
from tako.api.registry import CRDS

Document = dict[str, Any]
_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5


class Collector:
    """`run` it as a task on the loop of the store."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._store = changes.store
        self._by_uid: dict[str, Key] = {}
        self._dependents: dict[str, set[Key]] = {}
        self._queue: dict[Key, None] = {}
        self._wake = asyncio.Event()
        for entry in self._store.all():
            self._index(entry)
        for entry in self._store.all():
            if entry.owners or entry.deleting:
                self._look_at([entry.key])
        self._store.observers.append(self.observe)

    def observe(self, change: Change) -> None:
        """Note what a change touches; called for every committed change."""
        entry = change.entry
        if change.previous is not None:
            self._forget(change.previous)
        if change.type is ChangeType.DELETED:
            self._look_at(self._dependents.get(entry.uid, ()))
            self._look_at(self._waiting_for(entry))
            return
        self._index(entry)
        if entry.deleting or entry.owners:
            self._look_at([entry.key])

    async def run(self) -> None:
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            key = next(iter(self._queue))
            del self._queue[key]
            await self._examine_or_retry(key)

    async def _examine_or_retry(self, key: Key) -> None:
        try:
            await self._examine(key)
        except ApiError as error:
            # 403: what the server needs stays, whatever owns it. 404: gone, and its going is told on its own.
            if error.code not in (403, 404):
                self._postpone(key, error)
        except StoreFailed as error:
            self._postpone(key, error)

    def _postpone(self, key: Key, error: Exception) -> None:
        """Look again later; at once could be for ever, for what is being committed is seen only when this waits."""
        _log.info("collecting %s/%s in %r is postponed: %s", key.group_resource, key.name, key.namespace, error)
        asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._look_at, [key])

    async def _examine(self, key: Key) -> None:
        entry = self._store.get(key)
        if entry is None:
            return
        doc = entry.read()
        if entry.deleting:
            await self._finish_deletion(entry, doc)
        elif entry.owners and not self._owners_present(entry):
            await self._delete(key, entry.uid)
        elif any(uid not in self._by_uid for uid in entry.owners):
            await self._strip_owners(key, lambda uid: uid not in self._by_uid)

    def _owners_present(self, entry: Entry) -> bool:
        return any(uid in self._by_uid for uid in entry.owners)

    async def _finish_deletion(self, entry: Entry, doc: Document) -> None:
        finalizers = doc["metadata"].get("finalizers", ())
        if entry.key.group_resource == NAMESPACES:
            await self._empty_namespace(entry.key.name)
        if ORPHAN in finalizers:
            for dependent in list(self._dependents.get(entry.uid, ())):
                await self._strip_owners(dependent, lambda uid: uid == entry.uid)
            await self._drop_finalizer(entry.key, ORPHAN)
        elif FOREGROUND in finalizers:
            await self._delete_dependents(entry)
        elif CRD_CLEANUP in finalizers and entry.key.group_resource == CRDS:
            await self._empty_kind(entry.key)

    async def _delete_dependents(self, owner: Entry) -> None:
        blocking = False
        for key in list(self._dependents.get(owner.uid, ())):
            dependent = self._store.get(key)
            if dependent is None:
                continue
            references = dependent.read()["metadata"]["ownerReferences"]
            blocking |= any(r["uid"] == owner.uid and r.get("blockOwnerDeletion") for r in references)
            if any(uid != owner.uid and uid in self._by_uid for uid in dependent.owners):
                await self._strip_owners(key, lambda uid: uid == owner.uid)
            elif not dependent.deleting:
                await self._delete(key, dependent.uid, "Foreground")
        if not blocking or not self._dependents.get(owner.uid):
            await self._drop_finalizer(owner.key, FOREGROUND)

    async def _empty_namespace(self, namespace: str) -> None:
        content = [entry for entry in self._store.all() if entry.key.namespace == namespace]
        await self._delete_all(content)
        if not any(entry.key.namespace == namespace for entry in self._store.all()):
            await self._changes.release_namespace(namespace)

    async def _empty_kind(self, definition: Key) -> None:
        await self._delete_all(self._store.list(definition.name))
        if not self._store.count(definition.name):
            await self._drop_finalizer(definition, CRD_CLEANUP)

    async def _delete_all(self, entries: list[Entry]) -> None:
        for entry in entries:
            if not entry.deleting:
                await self._delete(entry.key, entry.uid)

    async def _delete(self, key: Key, uid: str, propagation: str = "Background") -> None:
        resource = self._changes.registry.stored(key.group_resource)
        try:
            await self._changes.delete(resource, key.namespace, key.name, propagation, Preconditions(uid=uid))
        except ApiError as error:
            if error.code != 404:
                raise

    async def _drop_finalizer(self, key: Key, finalizer: str) -> None:
        def without(doc: Document) -> Document:
            kept = [name for name in doc["metadata"].get("finalizers", ()) if name != finalizer]
            return {**doc, "metadata": {**doc["metadata"], "finalizers": kept}}

        await self._changes.update(self._changes.registry.stored(key.group_resource), key.namespace, key.name, without)

    async def _strip_owners(self, key: Key, unwanted: Callable[[str], bool]) -> None:
        def without(doc: Document) -> Document:
            kept = [owner for owner in doc["metadata"].get("ownerReferences", ()) if not unwanted(owner["uid"])]
            return {**doc, "metadata": {**doc["metadata"], "ownerReferences": kept}}

        await self._changes.update(self._changes.registry.stored(key.group_resource), key.namespace, key.name, without)

    def _waiting_for(self, gone: Entry) -> list[Key]:
        """Return what can go on now that `gone` is gone."""
        keys = [self._by_uid[uid] for uid in gone.owners if uid in self._by_uid]
        keys += [Key(NAMESPACES, "", gone.key.namespace), Key(CRDS, "", gone.key.group_resource)]
        return [key for key in keys if (entry := self._store.get(key)) is not None and entry.deleting]

    def _index(self, entry: Entry) -> None:
        self._by_uid[entry.uid] = entry.key
        for uid in entry.owners:
            self._dependents.setdefault(uid, set()).add(entry.key)

    def _forget(self, entry: Entry) -> None:
        self._by_uid.pop(entry.uid, None)
        for uid in entry.owners:
            dependents = self._dependents.get(uid, set())
            dependents.discard(entry.key)
            if not dependents:
                self._dependents.pop(uid, None)

    def _look_at(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._queue[key] = None
        if self._queue:
            self._wake.set()
