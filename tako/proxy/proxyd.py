"""Keep one tako-proxyd serving, whatever dies, and tell it the table.

The listening sockets are ours: a proxy that ends is started again at once and finds waiting in them whoever connected
meanwhile. A proxy that an earlier tako-server left running hands them back and goes on without a pause.
All of it runs on one event loop; no method may be called from another thread.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tako.model.control import (
    Ack,
    ConnectFailed,
    Down,
    Drained,
    Hello,
    Reject,
    Shutdown,
    StartFailed,
    Stats,
    Up,
    Wake,
    Welcome,
)
from tako.model.errors import Refused
from tako.proxy.control import Connection, ControlSocket
from tako.proxy.delivery import Delivery
from tako.proxy.listeners import Listeners, Ports, open_listeners
from tako.proxy.member import InstanceKey, Member, drained_by_all, draining_in, merge_stats
from tako.proxy.process import (
    ProxyPaths,
    ProxyProcess,
    build_of,
    find_recorded,
    generation_on_disk,
    write_record,
)
from tako.proxy.table import TableContent

log = logging.getLogger(__name__)

# How long a running proxy may take to come back to us; it tries several times a second.
ADOPT_TIMEOUT_SECONDS = 5.0
# How long a port that is taken may turn out to be held by a proxy of ours whose record was lost.
ORPHAN_TIMEOUT_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 10.0
# A proxy that lived this long did not fail at its start: the next one is started without delay.
STEADY_SECONDS = 1.0
MAX_RESTART_DELAY_SECONDS = 5.0
# What a proxy needs beyond its drain time before it is taken for hung.
EXIT_GRACE_SECONDS = 5.0
STRANGER_DRAIN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Handlers:
    """What the proxy says, told on the event loop; none of them may block."""

    on_wake: Callable[[str, int], None] = lambda app, waiting: None
    on_drained: Callable[[str, str], None] = lambda app, instance: None
    on_stats: Callable[[Stats], None] = lambda stats: None
    on_connect_failed: Callable[[str, str, str], None] = lambda app, instance, error: None


@dataclass(frozen=True, slots=True)
class ProxySeen:
    """What is seen of the data plane; `fault` says for a person why it is not well, or is empty."""

    pid: int | None
    version: str | None
    generation: int
    is_connected: bool
    restarts: int
    fault: str


class Proxy:
    """The data plane of this host."""

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        binary: Path,
        *,
        workers: int | None = None,
        handlers: Handlers | None = None,
    ) -> None:
        self.paths = ProxyPaths(directory)
        self._ports = ports
        self._binary = binary
        self._workers = workers or len(os.sched_getaffinity(0))
        self._handlers = handlers or Handlers()
        self._control = ControlSocket(self.paths.control, self._greet)
        self._listeners: Listeners | None = None
        self._members: dict[int, Member] = {}
        self._serving: Member | None = None
        self._candidate: Member | None = None
        self._wanted: tuple[int, TableContent] | None = None
        self._generation = 0
        self._restarts = 0
        self._quick_failures = 0
        self._spawned_at = 0.0
        self._spawn_fault = ""
        self._is_closing = False
        self._reported: set[InstanceKey] = set()
        self._timers: set[asyncio.TimerHandle] = set()
        self._waiters: set[asyncio.Future[None]] = set()

    # --- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Adopt the proxy that runs, or open the ports and start one. `Refused` when the ports cannot be had."""
        self.paths.directory.mkdir(parents=True, exist_ok=True)
        self._generation = generation_on_disk(self.paths)
        self._control.open()
        try:
            build = await self._adopt_recorded()
            await self._have_listeners()
            if self._serving is None:
                self._serving = self._spawn()
                self._record()
            elif build != build_of(self._binary) or not self._have().serve(self._ports):
                await self._bring_up_to_date()
        except BaseException:
            self.detach()
            raise

    async def replace(self, binary: Path | None = None, drain_seconds: float = 30.0) -> None:
        """Put a new proxy beside the running one, then let that finish. `Refused` when the new one does not come up."""
        self._binary = binary or self._binary
        candidate = self._candidate = self._spawn()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await self._until(lambda: candidate.process.has_exited or self._has_come_up(candidate))
        except TimeoutError:
            candidate.process.kill()
        finally:
            self._candidate = None
        if candidate.process.has_exited or not self._has_come_up(candidate):
            if self._serving is None:
                self._restart()
            raise Refused(f"the new tako-proxyd did not come up, the old one goes on serving; see {self.paths.log}")
        old, self._serving = self._serving, candidate
        self._record()
        if old is not None:
            self._dismiss(old, drain_seconds)

    async def stop(self, drain_seconds: float = 30.0) -> None:
        """End serving: finish what is in flight, then close the ports."""
        self._is_closing = True
        for member in self._members.values():
            self._tell(member, Shutdown(drain_ms=int(drain_seconds * 1000)))
        try:
            async with asyncio.timeout(drain_seconds + EXIT_GRACE_SECONDS):
                await self._until(lambda: not self._members)
        except TimeoutError:
            for member in self._members.values():
                member.process.kill()
            await self._until(lambda: not self._members)
        self.detach()
        self.paths.record.unlink(missing_ok=True)
        self.paths.control.unlink(missing_ok=True)

    def detach(self) -> None:
        """Go, and leave the proxy serving for the next tako-server."""
        self._is_closing = True
        self._control.close()
        for timer in self._timers:
            timer.cancel()
        for member in self._members.values():
            if member.connection is not None:
                member.connection.close()
            member.process.release()
        self._members.clear()
        if self._listeners is not None:
            self._listeners.close()

    # --- what is wanted -----------------------------------------------------------------------------------------

    def push(self, content: TableContent) -> int:
        """Want this table; returns its generation. Wanting the same again sends nothing."""
        if self._wanted is not None and self._wanted[1] == content:
            return self._wanted[0]
        self._want(content)
        return self._generation

    def generation_of(self, content: TableContent) -> int | None:
        """Return the generation under which this content is wanted, None when other content is."""
        return self._wanted[0] if self._wanted is not None and self._wanted[1] == content else None

    async def settled(self, generation: int) -> None:
        """Return once each new request is decided by `generation` or a later one. `Refused` when it cannot be used."""
        await self._until(lambda: self._confirmed() >= generation or bool(self._table_fault()))
        if self._confirmed() < generation:
            raise Refused(f"tako-proxyd refused the table: {self._table_fault()}")

    def start_failed(
        self, app: str, reason: Literal["startup_failed", "startup_timeout", "unavailable"] = "startup_failed"
    ) -> None:
        """Answer those who wait for `app`."""
        for member in self._members.values():
            self._tell(member, StartFailed(app=app, reason=reason))

    # --- what is seen -------------------------------------------------------------------------------------------

    @property
    def http_port(self) -> int | None:
        return self._listeners.port("http") if self._listeners else None

    @property
    def https_port(self) -> int | None:
        return self._listeners.port("https") if self._listeners else None

    @property
    def seen(self) -> ProxySeen:
        serving = self._serving
        return ProxySeen(
            pid=serving.process.pid if serving else None,
            version=serving.hello.version if serving and serving.hello else None,
            generation=self._confirmed(),
            is_connected=serving is not None and serving.is_connected,
            restarts=self._restarts,
            fault=self._spawn_fault or self._table_fault(),
        )

    # --- starting, adopting, ending a process ------------------------------------------------------------------

    async def _adopt_recorded(self) -> tuple[int, ...] | None:
        """Wait for the proxy that was left running; returns the build it was started from."""
        recorded = find_recorded(self.paths)
        process = ProxyProcess.adopt(recorded.pid) if recorded else None
        if recorded is None or process is None:
            return None
        member = self._serving = self._enlist(process)
        try:
            async with asyncio.timeout(ADOPT_TIMEOUT_SECONDS):
                await self._until(lambda: member.is_connected or process.has_exited)
        except TimeoutError:
            log.warning("proxy %d runs and does not answer; it is replaced", process.pid)
            process.kill()
            await self._until(lambda: process.has_exited)
        return recorded.build

    async def _have_listeners(self) -> None:
        if self._listeners is None:
            try:
                self._listeners = open_listeners(self._ports, self._workers)
            except Refused:
                if not await self._is_orphan_coming():
                    raise
        if self._serving is not None:
            self._welcome(self._serving)

    async def _is_orphan_coming(self) -> bool:
        """Wait for a proxy of ours that holds the port and whose record was lost with the data directory."""
        try:
            async with asyncio.timeout(ORPHAN_TIMEOUT_SECONDS):
                await self._until(lambda: self._listeners is not None)
        except TimeoutError:
            return False
        return True

    async def _bring_up_to_date(self) -> None:
        """Replace the adopted proxy by the build and on the ports that are asked for."""
        held = self._have()
        self._listeners = open_listeners(self._ports, self._workers, reuse=held)
        try:
            await self.replace()
        except Refused as refusal:
            log.error("%s", refusal)
            self._spawn_fault = str(refusal)
            self._listeners.close(keep=held)
            self._listeners = held
        else:
            held.close(keep=self._listeners)

    def _spawn(self) -> Member:
        member = self._enlist(ProxyProcess.spawn(self._binary, self.paths, self._have().workers))
        self._spawned_at = time.monotonic()
        self._later(CONNECT_TIMEOUT_SECONDS, lambda: self._kill_if_silent(member))
        return member

    def _enlist(self, process: ProxyProcess) -> Member:
        member = self._members[process.pid] = Member(process)
        process.watch(lambda: self._exited(member))
        return member

    def _kill_if_silent(self, member: Member) -> None:
        if member.hello is None and not member.process.has_exited:
            log.error("proxy %d did not connect in %g s", member.process.pid, CONNECT_TIMEOUT_SECONDS)
            member.process.kill()

    def _exited(self, member: Member) -> None:
        del self._members[member.process.pid]
        if member.connection is not None:
            member.connection.close()
        log.info("proxy %d ended (%s)", member.process.pid, member.process.exit_code)
        if member is self._serving:
            self._serving = None
            self._restart()
        self._report_drained()
        self._notify()

    def _restart(self) -> None:
        # Without listeners `start` is still at work, and a candidate is about to take over.
        if self._is_closing or self._listeners is None or self._candidate is not None:
            return
        lived_seconds = time.monotonic() - self._spawned_at
        self._quick_failures = 0 if lived_seconds > STEADY_SECONDS else self._quick_failures + 1
        if self._quick_failures > 1:
            self._later(restart_delay(self._quick_failures), self._start_again)
        else:
            self._start_again()

    def _start_again(self) -> None:
        if self._is_closing or self._serving is not None:
            return
        self._restarts += 1
        try:
            self._serving = self._spawn()
        except Refused as refusal:
            log.error("%s", refusal)
            self._spawn_fault = str(refusal)
            self._later(MAX_RESTART_DELAY_SECONDS, self._start_again)
        else:
            self._spawn_fault = ""
            self._record()

    def _dismiss(self, member: Member, drain_seconds: float) -> None:
        self._tell(member, Shutdown(drain_ms=int(drain_seconds * 1000)))
        self._later(drain_seconds + EXIT_GRACE_SECONDS, member.process.kill)

    def _record(self) -> None:
        if self._serving is not None:
            write_record(self.paths, self._serving.process.pid, self._binary)

    def _have(self) -> Listeners:
        assert self._listeners is not None, "the sockets are opened before a proxy is started"
        return self._listeners

    # --- talking ------------------------------------------------------------------------------------------------

    def _greet(self, connection: Connection, hello: Hello) -> None:
        descriptors = connection.take_descriptors()
        member = self._members.get(connection.pid)
        is_stranger = member is None
        if member is None:
            member = self._enlist_stranger(connection.pid, may_serve=bool(descriptors))
        if member is None or len(descriptors) != len(hello.listeners):
            log.error("process %d brought %d of %d sockets", connection.pid, len(descriptors), len(hello.listeners))
            _close_all(descriptors)
            connection.close()
            return
        if self._listeners is None and member is self._serving and descriptors:
            self._listeners = Listeners.adopt(hello.listeners, descriptors)
        else:
            _close_all(descriptors)
        if member.connection is not None:
            member.connection.close()
        member.connection, member.hello, member.delivery, member.is_welcomed = connection, hello, Delivery(), False
        connection.start(lambda message: self._receive(member, message), self._notify)
        self._welcome(member)
        if is_stranger and member is not self._serving:
            self._dismiss(member, STRANGER_DRAIN_SECONDS)

    def _enlist_stranger(self, pid: int, *, may_serve: bool) -> Member | None:
        """A proxy that nobody recorded: it serves when nothing else does and it holds the ports, else it finishes."""
        process = ProxyProcess.adopt(pid)
        if process is None:
            return None
        log.warning("proxy %d was not started by this server", pid)
        member = self._enlist(process)
        if may_serve and self._serving is None and self._listeners is None:
            self._serving = member
        return member

    def _welcome(self, member: Member) -> None:
        if member.is_welcomed or member.connection is None or member.hello is None or self._listeners is None:
            return
        if member.hello.listeners:
            member.connection.send(Welcome())
        else:
            member.connection.send(Welcome(listeners=self._listeners.names), self._listeners.descriptors)
        member.is_welcomed = True
        self._generation = max(self._generation, member.hello.generation)
        if self._wanted is not None and member.hello.generation >= self._wanted[0]:
            # Generations only grow: what it holds may be of an earlier server, so ours is told as a later one.
            self._want(self._wanted[1])
        self._deliver(member)
        self._notify()

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
                self._handlers.on_stats(merge_stats(one.stats for one in self._members.values() if one.stats))
        self._notify()

    def _want(self, content: TableContent) -> None:
        self._generation += 1
        self._wanted = (self._generation, content)
        draining = draining_in(content)
        self._reported &= draining
        for member in self._members.values():
            member.drained &= draining
            self._deliver(member)

    def _deliver(self, member: Member) -> None:
        if self._wanted is not None and member.is_welcomed:
            message = member.delivery.next_message(*self._wanted)
            if message is not None:
                self._tell(member, message)

    def _tell(self, member: Member, message: Down) -> None:
        if member.connection is not None and member.is_welcomed:
            member.connection.send(message)

    def _report_drained(self) -> None:
        for app, instance in sorted(drained_by_all(self._members.values()) - self._reported):
            self._reported.add((app, instance))
            self._handlers.on_drained(app, instance)

    # --- waiting ------------------------------------------------------------------------------------------------

    def _has_come_up(self, member: Member) -> bool:
        return member.is_welcomed and (self._wanted is None or member.delivery.confirmed > 0)

    def _confirmed(self) -> int:
        return self._serving.delivery.confirmed if self._serving is not None and self._serving.is_connected else 0

    def _table_fault(self) -> str:
        refused = self._serving.delivery.refused if self._serving is not None else None
        return refused[1] if refused is not None else ""

    async def _until(self, is_reached: Callable[[], bool]) -> None:
        while not is_reached():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def _notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _later(self, delay_seconds: float, act: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._timers = {timer for timer in self._timers if not timer.cancelled() and timer.when() > loop.time()}
        self._timers.add(loop.call_later(delay_seconds, act))


def restart_delay(quick_failures: int) -> float:
    """Return how long to wait, in seconds, after so many proxies in a row that ended right after their start."""
    return float(min(0.1 * 2 ** (quick_failures - 2), MAX_RESTART_DELAY_SECONDS)) if quick_failures > 1 else 0.0


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
