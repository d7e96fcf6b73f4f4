"""The process tako-proxyd: starting it, finding it again after our own restart, and seeing it end at once."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tako.adapters.processes import spawn
from tako.model.errors import Refused, TakoError

MAX_LOG_BYTES = 10 * 1024 * 1024
HOW_TO_BUILD = "It comes with the package: run `pip install` of tako again, or `cargo build --release` in proxyd/."


@dataclass(frozen=True, slots=True)
class ProxyPaths:
    """Files of the proxy below ``{data_dir}/proxy``."""

    directory: Path

    @property
    def control(self) -> Path:
        return self.directory / "control.sock"

    @property
    def table(self) -> Path:
        return self.directory / "table.json"

    @property
    def log(self) -> Path:
        return self.directory / "proxyd.log"

    @property
    def record(self) -> Path:
        """Pids and start times of the proxies that run, for the tako-server that comes after us."""
        return self.directory / "proxyd.json"


class ProxyProcess:
    """One running tako-proxyd, our child or not, held by its pidfd so that a reused pid is never hit."""

    def __init__(self, pid: int, pidfd: int, build: tuple[int, ...], *, is_child: bool) -> None:
        self.pid = pid
        self.build = build  # of the file it was started from; empty: not known
        self.has_exited = False
        self.exit_code: int | None = None  # negative: the signal; None: not our child, or still running
        self._is_child = is_child
        self._pidfd = pidfd
        self._on_exit: Callable[[], None] = lambda: None

    @classmethod
    def spawn(cls, binary: Path, paths: ProxyPaths, workers: int) -> "ProxyProcess":
        """Start it in a session of its own: it outlives us on purpose."""
        argv = [str(binary), "--control", str(paths.control), "--state-dir", str(paths.directory)]
        argv += ["--threads", str(workers)]
        try:
            output = _open_log(paths.log)
        except OSError as error:
            raise Refused(f"the proxy's log {paths.log} cannot be opened: {error.strerror}") from error
        # Before the start: a file that is exchanged meanwhile costs a replacement too many, and never one too few.
        build = build_of(binary)
        try:
            pid = spawn(tuple(argv), os.environ, {1: output, 2: output})
        except TakoError as error:
            raise Refused(f"tako-proxyd cannot be started: {error}. {HOW_TO_BUILD}") from error
        finally:
            os.close(output)
        return cls(pid, os.pidfd_open(pid), build, is_child=True)

    @classmethod
    def adopt(cls, pid: int, build: tuple[int, ...] = ()) -> "ProxyProcess | None":
        """Take over a process that an earlier tako-server started; None when it is gone."""
        try:
            return cls(pid, os.pidfd_open(pid), build, is_child=False)
        except OSError:
            return None

    def watch(self, on_exit: Callable[[], None]) -> None:
        """Call `on_exit` once, as soon as the process has ended."""
        self._on_exit = on_exit
        asyncio.get_running_loop().add_reader(self._pidfd, self._exited)

    def release(self) -> None:
        """Stop watching; the process goes on."""
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def kill(self) -> None:
        if self._pidfd >= 0:
            with suppress(ProcessLookupError):  # it has ended, and the loop has not come to that yet
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _exited(self) -> None:
        if self._is_child:
            _, status = os.waitpid(self.pid, 0)
            self.exit_code = os.waitstatus_to_exitcode(status)
        self.has_exited = True
        self.release()
        self._on_exit()


def build_of(binary: Path) -> tuple[int, ...]:
    """Return what differs between two builds at one path; empty when there is none."""
    try:
        found = binary.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_mtime_ns)


def find_binary() -> Path:
    """Return tako-proxyd beside this Python's console scripts, or the one on PATH."""
    beside = Path(sys.executable).parent / "tako-proxyd"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("tako-proxyd")
    if found is None:
        raise Refused(f"tako-proxyd is neither at {beside} nor on PATH. {HOW_TO_BUILD}")
    return Path(found)


def generation_on_disk(paths: ProxyPaths) -> int:
    """Return the generation of the table that a proxy would start from; 0 when there is none to be read."""
    try:
        return int(json.loads(paths.table.read_text())["generation"])
    except (OSError, ValueError, KeyError, TypeError):
        # The proxy says its own when it connects, and we go on from there.
        return 0


def _open_log(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".previous.log"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
