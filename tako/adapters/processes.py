"""Processes of this host: spawned, looked at in /proc, signalled, waited for."""

import errno
import fcntl
import os
import resource
import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tako.model.errors import Refused, RetryLater

# Python ignores these, which a child would inherit: its writes to a closed pipe would not end it.
_RESTORED_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT)
# Above the numbers that a child's descriptors get, so that placing one never overwrites the next.
_FIRST_SPARE_FD = 10


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """What /proc says of one process; `start_ticks` (since boot) tells a reused pid apart."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    start_ticks: int

    @property
    def dead(self) -> bool:
        """Ended, even if nobody has waited for it."""
        return self.state in "ZX"


def keep_descriptors() -> None:
    """Make sure that no process we start gets a descriptor we were ourselves started with, but for 0 to 2."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        fd = int(name)
        try:
            if fd > 2:
                os.set_inheritable(fd, False)
        except OSError as error:
            if error.errno != errno.EBADF:  # the one that read the directory is closed again
                raise


def raise_file_limit() -> None:
    """Let this process open as many files as it may: the usual 1,024 are too few for some hundred apps."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def spawn(argv: tuple[str, ...], environment: Mapping[str, str], fds: Mapping[int, int]) -> int:
    """Start `argv` in a session of its own with stdin from /dev/null; return its pid.

    `fds` maps the child's descriptor numbers to ours; every other one of ours stays closed to it.
    """
    with ExitStack() as spares:
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        ]
        for theirs, ours in fds.items():
            spare = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, _FIRST_SPARE_FD)
            spares.callback(os.close, spare)
            actions.append((os.POSIX_SPAWN_DUP2, spare, theirs))
        try:
            return os.posix_spawn(
                argv[0],
                argv,
                environment,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_RESTORED_SIGNALS,
            )
        except OSError as error:
            raise _cannot_spawn(argv[0], error) from error


def _cannot_spawn(program: str, error: OSError) -> Exception:
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return RetryLater(f"this host has no room for another process: {error.strerror}")
    if error.errno == errno.E2BIG:
        return Refused("the environment and command line are larger than the kernel passes to a process (128 KiB each)")
    return Refused(f"cannot start {program}: {error.strerror}")


def process_stat(pid: int) -> ProcessStat | None:
    """Return what /proc says of a pid, or None when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses and may itself contain both.
    fields = text.rpartition(")")[2].split()
    return ProcessStat(pid, fields[0], int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19]))


def pids() -> Iterator[int]:
    """Every process of this host."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 (ten times faster)


def command_line(pid: int) -> tuple[str, ...]:
    """Return a process's arguments; empty when it is gone, a zombie or a kernel thread."""
    try:
        content = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ()
    return tuple(os.fsdecode(part) for part in content.split(b"\0")[:-1])


def environment_variable(pid: int, name: str) -> str | None:
    """Return one variable that a process was started with; None also when we may not look."""
    try:
        content = Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    prefix = os.fsencode(name) + b"="
    return next((os.fsdecode(part[len(prefix) :]) for part in content.split(b"\0") if part.startswith(prefix)), None)


def open_file(pid: int, fd: int) -> str | None:
    """Return the path behind a process's descriptor; None also when we may not look."""
    try:
        return str(Path(f"/proc/{pid}/fd/{fd}").readlink())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None


@cache
def boot_id() -> str:
    """Return what tells this boot of the host from every other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends; None when it has gone."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def exists(pidfd: int) -> bool:
    """Whether this process still holds its pid: it runs, or nobody has waited for it yet."""
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except ProcessLookupError:
        return False
    return True


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group; nothing when it is empty or (its last zombie) not ours any more."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def kill(pid: int) -> None:
    """SIGKILL one process."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_result(pidfd: int, *, reap: bool) -> tuple[bool, int] | None:
    """Return (exited by itself, code or signal) of a child that has ended; None when it is not our child.

    With `reap` its pid becomes free; before that, its group can be signalled without hitting a stranger.
    """
    try:
        result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | (0 if reap else os.WNOWAIT))
    except ChildProcessError:
        return None
    return None if result is None else (result.si_code == os.CLD_EXITED, result.si_status)
