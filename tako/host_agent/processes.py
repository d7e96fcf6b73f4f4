"""The processes of this host: started, watched, adopted from a former tako-server, ended.

Everything here is called on one asyncio loop. What should run is decided by the caller.
"""

from dataclasses import dataclass

from tako.host_agent.exits import ExitSeen
from tako.host_agent.launch import LaunchOrder
from tako.host_agent.layout import Layout
from tako.host_agent.records import InstanceRecord
from tako.model.errors import TakoError
from tako.model.names import InstanceId


class NotReady(TakoError):
    """A process did not report a port; the message says why, without the process's output."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """A process of this data directory that no record knows."""

    pid: int
    instance: InstanceId
    argv: tuple[str, ...]

    def kill(self) -> None:
        """SIGKILL it and everything it started."""
        raise NotImplementedError


class Running:
    """One live process."""

    record: InstanceRecord
    adopted: bool

    @property
    def pid(self) -> int:
        raise NotImplementedError

    @property
    def alive(self) -> bool:
        """False as soon as the exit was seen."""
        raise NotImplementedError

    async def port(self, timeout: float) -> int:
        """Wait for the port the process reports on fd 4; kept in the record once known.

        Raises `NotReady` when the process closes fd 4 or exits without a port, writes something else, or takes
        longer than `timeout` seconds; also for an adopted process that had not reported before tako-server died.
        """
        raise NotImplementedError

    async def exited(self) -> ExitSeen:
        """Wait for the end of the process; any number of callers may. What it leaves behind has been killed."""
        raise NotImplementedError

    def terminate(self) -> None:
        """Send SIGTERM to its process group; nothing when it is gone."""
        raise NotImplementedError

    def kill(self) -> None:
        """SIGKILL its process group, its session and whatever of it moved out of both; nothing when all are gone."""
        raise NotImplementedError

    def last_output(self, lines: int = 10) -> list[str]:
        """Return the last lines it printed, what is on stderr before what is on stdout; also after its end."""
        raise NotImplementedError


class Processes:
    """The processes below one data directory."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def spawn(self, order: LaunchOrder) -> Running:
        """Start a process within milliseconds.

        Its record is on disk before it exists. Raises `Refused` when the command or its directory cannot be
        started as given, `RetryLater` when the host is short of something (processes, files, disk).
        """
        raise NotImplementedError

    def adopt(self) -> list[Running]:
        """Return the live processes that a former tako-server started, told from reused pids by start time."""
        raise NotImplementedError

    def dead_records(self) -> list[InstanceRecord]:
        """Return the records whose process is gone and which were not forgotten; valid after `adopt`."""
        raise NotImplementedError

    def forget(self, id: InstanceId) -> None:
        """Drop the record of a process that has ended. Its output stays until it is in the log."""
        raise NotImplementedError

    def orphans(self) -> list[Orphan]:
        """Return the processes that carry our `--instance` below this data directory but have no record."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop watching; the processes go on."""
        raise NotImplementedError
