"""One live process: its port, its exit, its signals."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import replace

from tako.adapters import processes
from tako.host_agent import membership
from tako.host_agent.exits import ExitSeen
from tako.host_agent.layout import Layout
from tako.host_agent.records import InstanceRecord, Records
from tako.host_agent.spoolfiles import last_lines
from tako.model.errors import TakoError

# Longer than any line with a port; a process that writes more is not reporting one.
_LONGEST_REPORT = 64
# A dying process closes fd 4 just before its exit is seen, and the exit is the better explanation.
_EXIT_AFTER_EOF_SECONDS = 0.2


class NotReady(TakoError):
    """A process did not report a port; the message says why, without the process's output."""


class Running:
    """One live process. Made by :class:`tako.host_agent.processes.Processes` on its event loop."""

    def __init__(
        self,
        record: InstanceRecord,
        pidfd: int,
        readiness: int | None,
        records: Records,
        layout: Layout,
        *,
        adopted: bool,
        ended: Callable[["Running"], None],
    ) -> None:
        self.record = record
        self.adopted = adopted
        self._pidfd: int | None = pidfd
        self._readiness = readiness
        self._records = records
        self._layout = layout
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[ExitSeen] = self._loop.create_future()
        # The port, or what was wrong with the report.
        self._report: asyncio.Future[int | str] = self._loop.create_future()
        self._received = b""
        self._loop.add_reader(pidfd, self._on_exit)
        if readiness is not None:
            os.set_blocking(readiness, False)
            self._loop.add_reader(readiness, self._on_report)
        elif record.port is not None:
            self._report.set_result(record.port)
        else:
            self._report.set_result("tako-server was restarted before the process reported its port")

    @property
    def pid(self) -> int:
        assert self.record.pid is not None  # written before a Running exists
        return self.record.pid

    @property
    def alive(self) -> bool:
        """False as soon as the exit was seen."""
        return not self._exit.done()

    async def port(self, timeout: float) -> int:
        """Wait for the port the process reports on fd 4; kept in the record once known.

        Raises `NotReady` when the process closes fd 4 or exits without a port, writes something else, or takes
        longer than `timeout` seconds; also for an adopted process that had not reported before tako-server died.
        """
        try:
            report = await asyncio.wait_for(asyncio.shield(self._report), timeout)
        except TimeoutError:
            raise NotReady(f"The process did not report a port on fd 4 within {timeout:g} s") from None
        if isinstance(report, int):
            return report
        await asyncio.wait([self._exit], timeout=0 if self.record.role != "http" else _EXIT_AFTER_EOF_SECONDS)
        if self._exit.done():
            raise NotReady(f"The process {self._exit.result()} before it reported a port")
        raise NotReady(report)

    async def exited(self) -> ExitSeen:
        """Wait for the end of the process; any number of callers may. Its process group has been killed."""
        return await asyncio.shield(self._exit)

    def terminate(self) -> None:
        """Send SIGTERM to its process group; nothing when it is gone."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL its process group, its session and whatever of it moved out of both."""
        self._signal(signal.SIGKILL)
        self.sweep()

    def sweep(self) -> None:
        """SIGKILL what it started and left in other groups or sessions; some milliseconds."""
        for stat in membership.members(self.record, self._layout):
            processes.kill(stat.pid)

    def last_output(self, lines: int = 10) -> list[str]:
        """Return the last lines it printed, what is on stdout before what is on stderr; also after its end."""
        return last_lines(self._layout.app(self.record.app), self.record.id, lines)

    def close(self) -> None:
        """Stop watching; the process goes on."""
        self._close_readiness()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _signal(self, number: signal.Signals) -> None:
        # Its pid is ours as long as its exit was not seen: only then may the group be named by it.
        if self._pidfd is not None and processes.exists(self._pidfd):
            processes.signal_group(self.pid, number)

    def _on_report(self) -> None:
        assert self._readiness is not None  # no reader without it
        try:
            chunk = os.read(self._readiness, _LONGEST_REPORT)
        except BlockingIOError:
            return
        self._received += chunk
        line, newline, _ = self._received.partition(b"\n")
        if newline or len(self._received) > _LONGEST_REPORT:
            self._reported(line)
        elif not chunk:
            self._settle_report("Process closed readiness pipe before reporting a port")

    def _reported(self, line: bytes) -> None:
        text = line.strip()
        if not text.isdigit() or not 0 < int(text) < 65536:
            shown = text[:_LONGEST_REPORT].decode(errors="replace")
            self._settle_report(f"The process reported {shown!r} on fd 4, which is not a port")
            return
        self.record = replace(self.record, port=int(text))
        try:
            self._records.write(self.record)
        except TakoError:
            # A full disk must not end a good start; without it the next tako-server replaces this instance.
            pass
        self._settle_report(int(text))

    def _settle_report(self, result: int | str) -> None:
        self._close_readiness()
        if not self._report.done():
            self._report.set_result(result)

    def _close_readiness(self) -> None:
        if self._readiness is not None:
            self._loop.remove_reader(self._readiness)
            os.close(self._readiness)
            self._readiness = None

    def _on_exit(self) -> None:
        assert self._pidfd is not None  # no reader without it
        # Not reaped yet, its pid cannot be anybody else's: the group is named safely. What it started dies with it.
        if processes.wait_result(self._pidfd, reap=False) is not None:
            processes.signal_group(self.pid, signal.SIGKILL)
        result = processes.wait_result(self._pidfd, reap=True)
        if result is None:
            self.sweep()  # adopted: somebody else has reaped it, and its group is known by its members alone
        if self._readiness is not None:
            self._on_report()  # a port may be in the pipe that the loop had not come to
        self.close()
        self._exit.set_result(ExitSeen() if result is None else ExitSeen.from_wait(*result))
        self._settle_report("Process closed readiness pipe before reporting a port")
        self._ended(self)
