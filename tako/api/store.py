"""The documents in memory, as clients may see them, and the way a change takes to become one of them.

A change is computed from the newest state, which includes changes still on their way to the disk; it becomes
visible, is watched and is acknowledged only after its commit. Runs on one event loop.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tako.api.database import Database
from tako.api.entries import Change, ChangeType, Entry, Key
from tako.api.feed import Feed
from tako.api.recovery import open_database
from tako.api.writer import SNAPSHOT_DELAY_SECONDS, Order, Writer
from tako.model.errors import TakoError

_NONE: dict[Key, Entry] = {}


class Store:
    """Open it on the loop that uses it; `close` waits for what was submitted."""

    def __init__(self, database: Database, snapshot_delay: float = SNAPSHOT_DELAY_SECONDS) -> None:
        self._database = database
        self._view: dict[str, dict[Key, Entry]] = {}
        for key, entry in database.entries.items():
            self._view.setdefault(key.group_resource, {})[key] = entry
        self._pending: dict[Key, Change] = {}
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._next = database.revision
        self._epoch = 0
        self.revision = database.revision
        self.last_error: TakoError | None = None
        # Told of each change before its writer is answered and before any watcher.
        self.observers: list[Callable[[Change], None]] = []
        self.feed = Feed(database.changes, database.compacted)
        database.changes = []
        self._writer = Writer(database, self._settle, snapshot_delay)

    @classmethod
    async def open(cls, path: Path, snapshot_delay: float = SNAPSHOT_DELAY_SECONDS) -> "Store":
        store = cls(open_database(path), snapshot_delay)
        store._writer.start(asyncio.get_running_loop())
        return store

    @property
    def notice(self) -> str | None:
        """What had to be done to have a store at all, for a person; None when nothing."""
        return self._database.notice

    def get(self, key: Key) -> Entry | None:
        """Return the committed state."""
        return self._view.get(key.group_resource, _NONE).get(key)

    def latest(self, key: Key) -> Entry | None:
        """Return the state the next change starts from, committed or about to be."""
        change = self._pending.get(key)
        if change is None:
            return self.get(key)
        return None if change.type is ChangeType.DELETED else change.entry

    def list(self, group_resource: str, namespace: str | None = None) -> list[Entry]:
        """Return the committed entries in the order of their keys."""
        found = self._view.get(group_resource, _NONE)
        if namespace:
            return [found[key] for key in sorted(found) if key.namespace == namespace]
        return [found[key] for key in sorted(found)]

    def latest_entries(self, group_resource: str) -> Iterator[Entry]:
        """Return what `latest` knows of a resource, in no order."""
        for key, entry in self._view.get(group_resource, _NONE).items():
            if key not in self._pending:
                yield entry
        for key, change in self._pending.items():
            if key.group_resource == group_resource and change.type is not ChangeType.DELETED:
                yield change.entry

    def count(self, group_resource: str) -> int:
        return len(self._view.get(group_resource, _NONE))

    def all(self) -> Iterator[Entry]:
        for entries in self._view.values():
            yield from entries.values()

    def next_revision(self) -> int:
        self._next += 1
        return self._next

    async def commit(self, *changes: Change) -> None:
        """Store the changes together; on return they are durable and visible.

        Nothing runs between the caller's computation and the queueing here, so the order of revisions is that of
        the commits. Raises the failure; then the changes do not exist.
        """
        future = asyncio.get_running_loop().create_future()
        for change in changes:
            self._pending[change.key] = change
        self._waiting[changes[-1].revision] = future
        self._writer.submit(Order(self._epoch, changes))
        # A client that hangs up must not take the acknowledgement bookkeeping with it.
        await asyncio.shield(future)

    async def settled(self, key: Key) -> None:
        """Wait until what `latest` said of `key` is durable."""
        while (change := self._pending.get(key)) is not None:
            waiting = [future for revision, future in self._waiting.items() if revision >= change.revision]
            if not waiting:
                return
            await asyncio.shield(waiting[0])

    async def close(self) -> None:
        self.feed.end()
        await asyncio.to_thread(self._writer.stop)
        # The last reports were scheduled before the thread ended.
        await asyncio.sleep(0)

    def _settle(self, orders: Sequence[Order], error: TakoError | None) -> None:
        """Make a batch visible, or unmake it and all that was built on it."""
        self.last_error = error
        if error is not None and max(order.epoch for order in orders) >= self._epoch:
            # All that is pending may stand on what failed; the writer refuses it one by one.
            self._epoch = max(order.epoch for order in orders) + 1
            self._pending.clear()
        for order in orders:
            for change in order.changes:
                self._settle_change(change, error)

    def _settle_change(self, change: Change, error: TakoError | None) -> None:
        if error is None:
            self._show(change)
        future = self._waiting.pop(change.revision, None)
        if future is not None and not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    def _show(self, change: Change) -> None:
        if self._pending.get(change.key) is change:
            del self._pending[change.key]
        view = self._view.setdefault(change.key.group_resource, {})
        if change.type is ChangeType.DELETED:
            view.pop(change.key, None)
        else:
            view[change.key] = change.entry
        self.revision = change.revision
        for observe in self.observers:
            observe(change)
        self.feed.publish(change)
