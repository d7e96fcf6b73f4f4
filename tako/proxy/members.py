"""What the proxies are told and what they say: the wanted table down, and up what the handlers are for.

Usually one proxy is connected. One that was replaced stays as long as it has a connection; all are told the table, and
an instance is drained when none of them has a request in flight to it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from tako.model.control import (
    Ack,
    ConnectFailed,
    Down,
    Drained,
    Hello,
    Measure,
    Metrics,
    Reject,
    Stats,
    Up,
    Wake,
    Welcome,
)
from tako.proxy.control import Connection
from tako.proxy.delivery import Delivery
from tako.proxy.listeners import Listeners
from tako.proxy.measured import NOTHING, Measured, ended, only, sum_metrics
from tako.proxy.member import InstanceKey, Member, drained_by_all, draining_in, ended_stats, merge_stats
from tako.proxy.process import ProxyProcess
from tako.proxy.table import TableContent

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handlers:
    """What the proxy says, told on the event loop; none of them may block."""

    on_wake: Callable[[str, int], None] = lambda app, waiting: None
    on_drained: Callable[[str, str], None] = lambda app, instance: None
    on_stats: Callable[[Stats], None] = lambda stats: None
    on_connect_failed: Callable[[str, str, str], None] = lambda app, instance, error: None


class Members:
    """All proxies that run, and the table that they are to serve."""

    def __init__(self, handlers: Handlers) -> None:
        self.wanted: tuple[int, TableContent] | None = None
        self.last_generation = 0
        self._handlers = handlers
        self._by_pid: dict[int, Member] = {}
        self._reported: set[InstanceKey] = set()
        self._waiters: set[asyncio.Future[None]] = set()
        self._counted_before = NOTHING
        self._stats_before = Stats(connections=0)

    def __bool__(self) -> bool:
        return bool(self._by_pid)

    def all(self) -> list[Member]:
        return list(self._by_pid.values())

    def find(self, pid: int) -> Member | None:
        return self._by_pid.get(pid)

    def finishing(self) -> list[Member]:
        """Those that were replaced and still have connections, the oldest first."""
        return [member for member in self._by_pid.values() if member.is_finishing]

    def add(self, process: ProxyProcess) -> Member:
        member = self._by_pid[process.pid] = Member(process)
        return member

    def remove(self, member: Member) -> None:
        """Forget a proxy that has ended; what only it had in flight is no longer."""
        if member.connection is not None:
            # Its last word may still be in the socket: that a process has ended can be known before it is read.
            member.connection.read_rest()
            member.connection.close()
        del self._by_pid[member.process.pid]
        if member.stats is not None:
            self._stats_before = merge_stats((self._stats_before, ended_stats(member.stats)))
        if member.metrics is not None:
            self._counted_before = sum_metrics((self._counted_before, ended(member.metrics)))
        self._report_drained()

    def release(self) -> None:
        """Close the connections and leave the processes running."""
        for member in self._by_pid.values():
            if member.connection is not None:
                member.connection.close()
            member.process.release()
        self._by_pid.clear()

    # --- down -----------------------------------------------------------------------------------------------------

    def want(self, content: TableContent) -> int:
        """Number the table and tell it to every proxy; returns its generation."""
        self.last_generation += 1
        self.wanted = (self.last_generation, content)
        draining = draining_in(content)
        there = {(app.app, found.instance) for app in content.apps for found in app.endpoints}
        kept = tuple(one for one in self._stats_before.instances if (one.app, one.instance) in there)
        self._stats_before = Stats(connections=0, instances=kept)
        self._reported &= draining
        for member in self._by_pid.values():
            member.drained &= draining
            self._deliver(member)
        return self.last_generation

    def connect(self, member: Member, connection: Connection, hello: Hello, on_lost: Callable[[], None]) -> None:
        """Listen to this connection of a proxy, in place of the one it had."""
        if member.connection is not None:
            member.connection.close()
        member.connection, member.hello, member.delivery, member.is_welcomed = connection, hello, Delivery(), False
        member.owes_metrics = False
        connection.start(lambda message: self._receive(member, message), on_lost)

    def welcome(self, member: Member, listeners: Listeners) -> None:
        """Answer a proxy's hello, with the sockets when it has none, and bring it to the wanted table."""
        if member.is_welcomed or member.connection is None or member.hello is None:
            return
        if member.hello.listeners or member.is_finishing:
            member.connection.send(Welcome())
        else:
            member.connection.send(Welcome(listeners=listeners.names), listeners.descriptors)
        member.is_welcomed = True
        self.last_generation = max(self.last_generation, member.hello.generation)
        if self.wanted is not None and member.hello.generation >= self.wanted[0]:
            # Generations only grow: what it holds may be of an earlier server, so ours is told as a later one.
            self.want(self.wanted[1])
        self._deliver(member)
        self.notify()

    def tell(self, member: Member, message: Down) -> None:
        if member.connection is not None and member.is_welcomed:
            member.connection.send(message)

    def _deliver(self, member: Member) -> None:
        if self.wanted is not None and member.is_welcomed:
            message = member.delivery.next_message(*self.wanted)
            if message is not None:
                self.tell(member, message)

    # --- up -------------------------------------------------------------------------------------------------------

    def _receive(self, member: Member, message: Up) -> None:
        match message:
            case Ack(generation=generation):
                member.delivery.acknowledge(generation)
                self._deliver(member)
            case Reject(generation=generation, error=error):
                log.error("proxy %d refused table %d: %s", member.process.pid, generation, error)
                member.delivery.reject(generation, error)
                self._deliver(member)
            case Wake(app=app, waiting=waiting):
                self._handlers.on_wake(app, waiting)
            case Drained(app=app, instance=instance):
                member.drained.add((app, instance))
                self._report_drained()
            case ConnectFailed(app=app, instance=instance, error=error):
                self._handlers.on_connect_failed(app, instance, error)
            case Stats():
                member.stats = message
                self._handlers.on_stats(self._stats())
            case Metrics():
                member.metrics, member.owes_metrics = message, False
        self.notify()

    def _stats(self) -> Stats:
        """Add up what every proxy counts, those that have ended included, of the instances that are there."""
        running = merge_stats(one.stats for one in self._by_pid.values() if one.stats)
        there = {(one.app, one.instance) for one in running.instances}
        before = tuple(one for one in self._stats_before.instances if (one.app, one.instance) in there)
        return merge_stats((running, Stats(connections=0, instances=before)))

    def _report_drained(self) -> None:
        for app, instance in sorted(drained_by_all(self._by_pid.values()) - self._reported):
            self._reported.add((app, instance))
            self._handlers.on_drained(app, instance)

    # --- counts ---------------------------------------------------------------------------------------------------

    async def measure(self, timeout_seconds: float) -> Measured:
        """Ask every proxy what it has counted; what does not answer in time is taken as it was the last time."""
        for member in self._by_pid.values():
            if member.is_connected and member.is_welcomed and not member.owes_metrics:
                member.owes_metrics = True
                self.tell(member, Measure())
        try:
            async with asyncio.timeout(timeout_seconds):
                await self.until(lambda: not any(one.owes_metrics for one in self._connected()))
        except TimeoutError:
            pass
        running = list(self._by_pid.values())
        if self.wanted is not None:
            self._counted_before = only(self._counted_before, (app.app for app in self.wanted[1].apps))
        counted = sum_metrics((self._counted_before, *(one.metrics for one in running if one.metrics)))
        is_fresh = bool(running) and all(one.is_connected and not one.owes_metrics for one in running)
        return Measured(counted, is_fresh)

    def _connected(self) -> list[Member]:
        return [member for member in self._by_pid.values() if member.is_connected]

    # --- waiting ----------------------------------------------------------------------------------------------------

    async def until(self, is_reached: Callable[[], bool]) -> None:
        """Return once `is_reached`, which is asked again whenever a proxy said something, came or went."""
        while not is_reached():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
