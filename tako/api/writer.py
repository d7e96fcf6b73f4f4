"""The one thread that writes: takes what is waiting, commits it together, reports back to the loop.

A commit costs a disk flush; whoever waits while one is going on shares the next. Nothing here knows what is written.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tako.api.database import Database, StoreFailed
from tako.api.entries import Change
from tako.api.errors import DiskFull
from tako.model.errors import TakoError

_log = logging.getLogger(__name__)
_BATCH = 256
# A snapshot is worth its cost only when it also covers what follows a change.
SNAPSHOT_DELAY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Order:
    """Changes that stand or fall together. `epoch` counts the failures the sender knew of."""

    epoch: int
    changes: Sequence[Change]


Report = Callable[[Sequence[Order], TakoError | None], None]


class Writer:
    """Owns the database from `start` to `close`."""

    def __init__(self, database: Database, report: Report, snapshot_delay: float = SNAPSHOT_DELAY_SECONDS) -> None:
        self._database = database
        self._report = report
        self._snapshot_delay = snapshot_delay
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._epoch = 0
        self._batch: list[Order] = []
        self._snapshot_due: float | None = None
        self._thread = threading.Thread(target=self._run, name="tako-store", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread.start()

    def submit(self, order: Order) -> None:
        self._orders.put(order)

    def stop(self) -> None:
        """Finish what was submitted, then end; call it off the loop, which the reports need."""
        self._orders.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException:
            _log.critical("the store cannot be written any more; restart tako-server", exc_info=True)
            self._refuse_until_stopped()
            raise
        finally:
            self._database.close()

    def _refuse_until_stopped(self) -> None:
        """Nobody may wait for ever for a thread that has failed; reads go on."""
        error = StoreFailed("the change was not stored: the store has failed, see the server's log, and restart it")
        orders: list[Order] = self._batch
        while True:
            if orders:
                self._tell(orders, error)
            order = self._orders.get()
            if order is None:
                return
            orders = [order]

    def _work(self) -> None:
        while True:
            batch, ending = self._take()
            self._batch = batch
            if batch:
                self._commit(batch)
            if ending or (self._snapshot_due is not None and time.monotonic() >= self._snapshot_due):
                self._snapshot()
            if ending:
                return

    def _take(self) -> tuple[list[Order], bool]:
        """Wait for an order, or for the snapshot's time; then take all that is there."""
        timeout = None if self._snapshot_due is None else max(0.0, self._snapshot_due - time.monotonic())
        batch: list[Order] = []
        try:
            order = self._orders.get(timeout=timeout)
            while order is not None:
                batch.append(order)
                if len(batch) >= _BATCH:
                    return batch, False
                order = self._orders.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _commit(self, batch: list[Order]) -> None:
        stale = [order for order in batch if order.epoch < self._epoch]
        fresh = [order for order in batch if order.epoch >= self._epoch]
        if stale:
            self._tell(stale, StoreFailed("the change was not stored: it followed one that could not be"))
        if not fresh:
            return
        try:
            self._database.write([change for order in fresh for change in order.changes])
        except (DiskFull, StoreFailed) as error:
            # What is queued behind was computed from documents that now do not exist.
            self._epoch = fresh[-1].epoch + 1
            self._tell(fresh, error)
            return
        if self._snapshot_due is None:
            self._snapshot_due = time.monotonic() + self._snapshot_delay
        self._tell(fresh, None)

    def _snapshot(self) -> None:
        if self._snapshot_due is None:
            return
        try:
            self._database.snapshot()
            self._snapshot_due = None
        except (DiskFull, StoreFailed, OSError):
            # The database itself is well; the next attempt comes when there may be room.
            self._snapshot_due = time.monotonic() + 10 * self._snapshot_delay

    def _tell(self, orders: Sequence[Order], error: TakoError | None) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._report, orders, error)
