"""What runs below a data directory, read from /proc: found there even when nobody has a record of it."""

import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path


def processes_of(data_dir: Path) -> set[int]:
    """Pids with their working directory, or an argument, below `data_dir`."""
    return {pid for pid in _pids() if pid != os.getpid() and _belongs(pid, str(data_dir))}


def named(data_dir: Path, name: str) -> set[int]:
    """Those of them whose command line speaks of `name`."""
    return {pid for pid in processes_of(data_dir) if name in " ".join(_arguments(pid))}


def ports_of(pids: Iterable[int]) -> set[int]:
    """TCP ports these processes listen on."""
    inodes = {inode for pid in pids for inode in _sockets(pid)}
    return {port for inode, port in _listening() if inode in inodes}


def kill(pids: Iterable[int]) -> float:
    """SIGKILL all of them and return the moment (time.monotonic) at which the last was gone."""
    handles = []
    for pid in pids:
        try:
            handles.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    for handle in handles:
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for handle in handles:
        assert select.select([handle], [], [], 10)[0], "a process survived SIGKILL for 10 s"
        os.close(handle)
    return time.monotonic()


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _belongs(pid: int, data_dir: str) -> bool:
    try:
        working_directory = str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return False
    below = [working_directory, *_arguments(pid)]
    return any(text == data_dir or text.startswith(data_dir + "/") for text in below) and not _zombie(pid)


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return []


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _sockets(pid: int) -> Iterator[str]:
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                yield target[len("socket:[") : -1]
    except OSError:
        return


def _listening() -> Iterator[tuple[str, int]]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A":
                yield columns[9], int(columns[1].rpartition(":")[2], 16)
