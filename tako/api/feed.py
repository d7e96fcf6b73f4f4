"""The recent history and those who follow it.

Holds committed changes only, as raw bytes. A follower that cannot keep up is cut off: it lists again, as after
any gap, instead of holding the memory of the server.
"""

import asyncio
from collections import deque
from collections.abc import Iterable

from tako.api.entries import Change
from tako.api.errors import expired

_LENGTH = 1000
_BACKLOG = 20_000


class Subscription:
    """Changes of one resource (or of all, with None) waiting to be read, oldest first."""

    def __init__(self, feed: "Feed", group_resource: str | None) -> None:
        self._feed = feed
        self.group_resource = group_resource
        self.lagging = False
        self.ended = False
        self._waiting: deque[Change] = deque()
        self._wake = asyncio.Event()

    def push(self, change: Change) -> None:
        if len(self._waiting) >= _BACKLOG:
            self.lagging = True
            self._waiting.clear()
        if not self.lagging:
            self._waiting.append(change)
        self._wake.set()

    async def next_changes(self, timeout: float | None = None) -> list[Change]:
        """Return all that is waiting; empty when `timeout` passed or the subscription ended."""
        if not self._waiting and not self.lagging and not self.ended:
            self._wake.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._wake.wait()
            except TimeoutError:
                return []
        if self.lagging:
            raise expired("the watcher read too slowly and was cut off; list again")
        changes = list(self._waiting)
        self._waiting.clear()
        return changes

    def end(self) -> None:
        """Let the reader finish; used when its resource or the server goes away."""
        self.ended = True
        self._wake.set()

    def close(self) -> None:
        self._feed.unsubscribe(self)


class Feed:
    """A ring of the newest changes and the open subscriptions."""

    def __init__(self, changes: Iterable[Change], compacted: int) -> None:
        self._ring: deque[Change] = deque(changes, maxlen=_LENGTH)
        self._compacted = compacted
        self._subscriptions: dict[str | None, set[Subscription]] = {}

    @property
    def compacted(self) -> int:
        """Nothing at or before this revision can be replayed."""
        return self._compacted

    def publish(self, change: Change) -> None:
        if len(self._ring) == _LENGTH:
            self._compacted = self._ring[0].revision
        self._ring.append(change)
        for subscription in self._subscriptions.get(change.key.group_resource, ()):
            subscription.push(change)
        for subscription in self._subscriptions.get(None, ()):
            subscription.push(change)

    def subscribe(self, group_resource: str | None, after: int | None = None) -> Subscription:
        """Follow from the change after revision `after`; None means from now on. Raises 410 when that is gone."""
        subscription = Subscription(self, group_resource)
        if after is not None:
            if after < self._compacted:
                raise expired(f"too old resource version: {after} ({self._compacted + 1})")
            for change in self._since(after):
                if group_resource in (None, change.key.group_resource):
                    subscription.push(change)
        self._subscriptions.setdefault(group_resource, set()).add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.get(subscription.group_resource, set()).discard(subscription)

    def watched(self) -> dict[str | None, int]:
        """Count the open subscriptions of each resource."""
        return {resource: len(open_ones) for resource, open_ones in self._subscriptions.items() if open_ones}

    def end(self, group_resource: str | None = None) -> None:
        """End the subscriptions of one resource, or all of them."""
        for resource, subscriptions in self._subscriptions.items():
            if group_resource in (None, resource):
                for subscription in subscriptions:
                    subscription.end()

    def _since(self, after: int) -> list[Change]:
        newer: list[Change] = []
        for change in reversed(self._ring):
            if change.revision <= after:
                break
            newer.append(change)
        return newer[::-1]
