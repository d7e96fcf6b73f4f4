"""Keep one tako-proxyd serving, whatever dies, and tell it the table.

The listening sockets are ours: a proxy that ends is started again at once and finds waiting in them whoever connected
meanwhile. A proxy that an earlier tako-server left running hands them back and goes on without a pause.
All of it runs on one event loop; no method may be called from another thread.
"""

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from tako.model.control import Hello, Shutdown, StartFailed
from tako.model.errors import Refused, TakoError
from tako.proxy.control import Connection, ControlSocket
from tako.proxy.finishing import EXIT_GRACE_SECONDS, LAST_DRAIN_SECONDS, Finishing
from tako.proxy.listeners import Listeners, Ports, open_listeners
from tako.proxy.measured import Measured
from tako.proxy.member import Member, ProxySeen
from tako.proxy.members import Handlers, Members
from tako.proxy.process import ProxyPaths, ProxyProcess, build_of, generation_on_disk
from tako.proxy.record import find_recorded, write_record
from tako.proxy.restarts import MAX_RESTART_DELAY_SECONDS, Restarts, Timers
from tako.proxy.table import TableContent

__all__ = ["Handlers", "Proxy", "ProxySeen"]

log = logging.getLogger(__name__)

# How long a running proxy may take to come back to us; it tries several times a second.
ADOPT_TIMEOUT_SECONDS = 5.0
# How long a port that is taken may turn out to be held by a proxy of ours whose record was lost.
ORPHAN_TIMEOUT_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 10.0


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
        self._members = Members(handlers or Handlers())
        self._control = ControlSocket(self.paths.control, self._greet)
        self._listeners: Listeners | None = None
        self._serving: Member | None = None
        self._candidate: Member | None = None
        self._replacing = asyncio.Lock()
        self._restarts = Restarts()
        self._fault = ""
        self._is_closing = False
        self._timers = Timers()
        self._finishing = Finishing(self._members, self._timers)

    # --- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Adopt the proxy that runs, or open the ports and start one. `Refused` when the ports cannot be had."""
        self.paths.directory.mkdir(parents=True, exist_ok=True)
        self._members.last_generation = generation_on_disk(self.paths)
        self._control.open()
        try:
            await self._adopt_recorded()
            await self._have_listeners()
            if self._serving is None:
                self._serving = self._spawn(self._binary)
                self._record()
            elif self._serving.process.build != build_of(self._binary) or not self._have().serve(self._ports):
                await self._bring_up_to_date()
        except BaseException:
            self.detach()
            raise

    async def replace(self, binary: Path | None = None, drain_seconds: float | None = None) -> None:
        """Put a new proxy beside the running one, then let that finish. `Refused` when the new one does not come up.

        The old one stays as long as it has a connection, or for `drain_seconds` at most. One replacement at a time.
        """
        async with self._replacing:
            binary = binary or self._binary
            old, self._serving = await self._successor(binary)
            self._binary = binary
            if old is not None:
                old.is_finishing = True
            # Before the old one is told: a server that takes over in between finds both, and tells it.
            self._record()
            if old is not None:
                self._finishing.dismiss(old, drain_seconds)

    async def stop(self, drain_seconds: float = 30.0) -> None:
        """End serving: finish what is in flight, then close the ports."""
        self._is_closing = True
        for member in self._members.all():
            if member.is_connected:
                self._members.tell(member, Shutdown(drain_ms=int(drain_seconds * 1000)))
            else:
                member.process.kill()
        try:
            async with asyncio.timeout(drain_seconds + EXIT_GRACE_SECONDS):
                await self._members.until(lambda: not self._members)
        except TimeoutError:
            for member in self._members.all():
                member.process.kill()
            await self._members.until(lambda: not self._members)
        self.detach()
        self.paths.record.unlink(missing_ok=True)
        self.paths.control.unlink(missing_ok=True)

    def detach(self) -> None:
        """Go, and leave the proxy serving for the next tako-server."""
        self._is_closing = True
        self._control.close()
        self._timers.cancel()
        self._members.release()
        if self._listeners is not None:
            self._listeners.close()

    # --- what is wanted -----------------------------------------------------------------------------------------

    def push(self, content: TableContent) -> int:
        """Want this table; returns its generation. Wanting the same again sends nothing."""
        known = self.generation_of(content)
        return self._members.want(content) if known is None else known

    def generation_of(self, content: TableContent) -> int | None:
        """Return the generation under which this content is wanted, None when other content is."""
        wanted = self._members.wanted
        return wanted[0] if wanted is not None and wanted[1] == content else None

    async def settled(self, generation: int) -> None:
        """Return once each new request is decided by `generation` or a later one. `Refused` when it cannot be used."""
        await self._members.until(lambda: self._confirmed() >= generation or bool(self._table_fault()))
        if self._confirmed() < generation:
            raise Refused(f"tako-proxyd refused the table: {self._table_fault()}")

    def start_failed(
        self, app: str, reason: Literal["startup_failed", "startup_timeout", "unavailable"] = "startup_failed"
    ) -> None:
        """Answer those who wait for `app`."""
        for member in self._members.all():
            self._members.tell(member, StartFailed(app=app, reason=reason))

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
            restarts=self._restarts.count,
            fault=self._fault or self._table_fault(),
        )

    async def measure(self, timeout_seconds: float = 1.0) -> Measured:
        """Return what all proxies counted since this server began, those that have ended included."""
        return await self._members.measure(timeout_seconds)

    # --- starting, adopting, ending a process ------------------------------------------------------------------

    async def _adopt_recorded(self) -> None:
        """Wait for the proxy that was left running; those that finish beside it come when they come."""
        recorded = find_recorded(self.paths)
        for pid in recorded.finishing:
            if finishing := ProxyProcess.adopt(pid):
                member = self._enlist(finishing)
                member.is_finishing = True
                self._finishing.expect(member)
        process = ProxyProcess.adopt(*recorded.serving) if recorded.serving else None
        if process is None:
            return
        member = self._serving = self._enlist(process)
        try:
            async with asyncio.timeout(ADOPT_TIMEOUT_SECONDS):
                await self._members.until(lambda: member.is_connected or process.has_exited)
        except TimeoutError:
            log.warning("proxy %d runs and does not answer; it is replaced", process.pid)
            process.kill()
            await self._members.until(lambda: process.has_exited)

    async def _have_listeners(self) -> None:
        if self._listeners is None:
            try:
                self._listeners = open_listeners(self._ports, self._workers)
            except Refused:
                if not await self._is_orphan_coming():
                    raise
        if self._serving is not None:
            self._members.welcome(self._serving, self._have())

    async def _is_orphan_coming(self) -> bool:
        """Wait for a proxy of ours that holds the port and whose record was lost with the data directory."""
        try:
            async with asyncio.timeout(ORPHAN_TIMEOUT_SECONDS):
                await self._members.until(lambda: self._listeners is not None)
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
            self._fault = str(refusal)
            self._listeners.close(keep=held)
            self._listeners = held
        else:
            held.close(keep=self._listeners)

    async def _successor(self, binary: Path) -> tuple[Member | None, Member]:
        """Return the proxy that serves until now, and one that has begun to."""
        candidate = self._candidate = self._spawn(binary)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                await self._members.until(lambda: self._is_decided(candidate))
        except TimeoutError:
            pass
        except BaseException:
            self._give_up(candidate)
            raise
        finally:
            self._candidate = None
        if not self._has_come_up(candidate):
            self._give_up(candidate)
            if self._serving is None:
                self._restart()
            raise Refused(f"the new tako-proxyd did not come up, the old one goes on serving; see {self.paths.log}")
        return self._serving, candidate

    def _give_up(self, candidate: Member) -> None:
        # One that was given the sockets may have connections by now, also when it cannot use the table.
        if candidate.is_connected and candidate.is_welcomed:
            self._finishing.dismiss(candidate, LAST_DRAIN_SECONDS)
        else:
            candidate.process.kill()

    def _spawn(self, binary: Path) -> Member:
        self._control.restore()
        member = self._enlist(ProxyProcess.spawn(binary, self.paths, self._have().workers))
        self._restarts.spawned()
        self._timers.after(CONNECT_TIMEOUT_SECONDS, lambda: self._kill_if_silent(member))
        return member

    def _enlist(self, process: ProxyProcess) -> Member:
        member = self._members.add(process)
        process.watch(lambda: self._exited(member))
        return member

    def _kill_if_silent(self, member: Member) -> None:
        if member.hello is None and not member.process.has_exited:
            log.error("proxy %d did not connect in %g s", member.process.pid, CONNECT_TIMEOUT_SECONDS)
            member.process.kill()

    def _exited(self, member: Member) -> None:
        code = member.process.exit_code
        log.info("proxy %d ended%s", member.process.pid, "" if code is None else f" with {code}")
        if member is self._serving:
            self._serving = None
            self._restart()
        # After a successor is there: what it has not drained is not drained.
        self._members.remove(member)
        self._members.notify()

    def _restart(self) -> None:
        # Without listeners `start` is still at work, and a candidate is about to take over.
        if self._is_closing or self._listeners is None or self._candidate is not None:
            return
        delay_seconds = self._restarts.ended()
        if delay_seconds:
            failures = self._restarts.quick_failures
            self._fault = f"tako-proxyd ended right after its start, {failures} times; see {self.paths.log}"
            self._timers.after(delay_seconds, self._start_again)
        else:
            self._start_again()

    def _start_again(self) -> None:
        if self._is_closing or self._serving is not None:
            return
        self._restarts.count += 1
        try:
            self._serving = self._spawn(self._binary)
        except Refused as refusal:
            log.error("%s", refusal)
            self._fault = str(refusal)
            self._timers.after(MAX_RESTART_DELAY_SECONDS, self._start_again)
        else:
            self._record()

    def _record(self) -> None:
        if self._serving is None:
            return
        try:
            write_record(self.paths, self._serving.process, [one.process for one in self._members.finishing()])
        except TakoError as error:
            # A full disk must not keep the proxy from serving; without a record it is found by its port.
            log.warning("the running proxy is not recorded: %s", error)

    def _have(self) -> Listeners:
        assert self._listeners is not None, "the sockets are opened before a proxy is started"
        return self._listeners

    # --- greeting ------------------------------------------------------------------------------------------------

    def _greet(self, connection: Connection, hello: Hello) -> None:
        descriptors = connection.take_descriptors()
        member = self._members.find(connection.pid)
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
        self._members.connect(member, connection, hello, on_lost=lambda: self._lost(member))
        if hello.finishing:
            self._finishes(member)
        if self._listeners is not None:
            self._members.welcome(member, self._listeners)
        if member is self._serving:
            self._fault = ""
        if not hello.finishing and member not in (self._serving, self._candidate):
            self._finishing.dismiss(member, None)

    def _finishes(self, member: Member) -> None:
        """A proxy says that it accepts nothing any more; it may have been told so by a signal."""
        member.is_finishing = True
        if member is self._serving:
            log.warning("proxy %d was told by somebody else to end; another takes its place", member.process.pid)
            self._serving = None
            self._restart()

    def _lost(self, member: Member) -> None:
        self._members.notify()
        self._finishing.expect(member)

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

    # --- waiting ------------------------------------------------------------------------------------------------

    def _is_decided(self, candidate: Member) -> bool:
        refuses = candidate.delivery.refused is not None
        return candidate.process.has_exited or refuses or self._has_come_up(candidate)

    def _has_come_up(self, member: Member) -> bool:
        is_there = member.is_connected and member.is_welcomed and not member.process.has_exited
        return is_there and (self._members.wanted is None or member.delivery.confirmed > 0)

    def _confirmed(self) -> int:
        return self._serving.delivery.confirmed if self._serving is not None and self._serving.is_connected else 0

    def _table_fault(self) -> str:
        refused = self._serving.delivery.refused if self._serving is not None else None
        return refused[1] if refused is not None else ""


def _close_all(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
