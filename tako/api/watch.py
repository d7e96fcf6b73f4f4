"""Watching a resource: what happens to the documents a client selected, from a revision on.

A document that stops matching the selector is told as DELETED, one that begins to as ADDED, as Kubernetes does.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from tako.api.entries import Change, ChangeType, Entry
from tako.api.errors import expired
from tako.api.store import Store

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selection:
    """What part of a resource a client asked for; None selects all."""

    group_resource: str
    namespace: str | None = None
    name: str | None = None
    labels: Callable[[dict[str, str]], bool] | None = None
    fields: Callable[[Document], bool] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether membership cannot change during an object's life."""
        return self.labels is None and self.fields is None

    def places(self, entry: Entry) -> bool:
        key = entry.key
        return (not self.namespace or key.namespace == self.namespace) and (not self.name or key.name == self.name)

    def matches(self, entry: Entry) -> bool:
        return (
            self.places(entry)
            and (self.labels is None or self.labels(entry.labels))
            and (self.fields is None or self.fields(entry.read()))
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """What a watcher is told: a change of `type`, or a bookmark (`entry` None) that all up to `revision` was told."""

    type: str
    entry: Entry | None
    revision: int
    initial_end: bool = False


def select(store: Store, selection: Selection) -> list[Entry]:
    """Return the committed entries that are selected, in the order of their keys."""
    entries = store.list(selection.group_resource, selection.namespace)
    if selection.is_plain and selection.name is None:
        return entries
    return [entry for entry in entries if selection.matches(entry)]


async def watch(
    store: Store,
    selection: Selection,
    after: int | None,
    *,
    initial: bool = False,
    bookmark_seconds: float | None = None,
) -> AsyncIterator[list[Seen]]:
    """Yield batches of what happens after revision `after`; None or `initial` tells first what there is.

    Ends when the resource or the server goes away. Raises 410 when `after` is no longer, or not yet, known.
    """
    if after is not None and after > store.revision:
        # Handed out by a store that had more than this one: what was seen then may not be true.
        raise expired(f"too large resource version: {after}, current: {store.revision}")
    if after is None or initial:
        start = store.revision
        subscription = store.feed.subscribe(selection.group_resource, start)
        first = [Seen("ADDED", entry, entry.revision) for entry in select(store, selection)]
        if initial:
            first.append(Seen("BOOKMARK", None, start, initial_end=True))
    else:
        subscription = store.feed.subscribe(selection.group_resource, after)
        first = []
    try:
        if first:
            yield first
        while True:
            changes = await subscription.next_changes(bookmark_seconds)
            if changes:
                told = [seen for change in changes if (seen := _tell(selection, change)) is not None]
                if told:
                    yield told
            elif subscription.ended:
                return
            elif bookmark_seconds is not None:
                yield [Seen("BOOKMARK", None, store.revision)]
    finally:
        subscription.close()


def _tell(selection: Selection, change: Change) -> Seen | None:
    if not selection.places(change.entry):
        return None
    if selection.is_plain:
        return Seen(change.type.value, change.entry, change.revision)
    now = change.type is not ChangeType.DELETED and selection.matches(change.entry)
    # Without the previous state (history read back from the disk) membership before is taken from the one after.
    before = change.type is not ChangeType.ADDED and selection.matches(change.previous or change.entry)
    if now:
        return Seen("MODIFIED" if before else "ADDED", change.entry, change.revision)
    return Seen("DELETED", change.entry, change.revision) if before else None
