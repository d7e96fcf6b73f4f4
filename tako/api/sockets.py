"""Where the API listens, and the lock that lets only one server have a data directory."""

import contextlib
import errno
import fcntl
import os
import socket
from pathlib import Path

from tako.model.errors import Refused

# Operators and benchmarks open hundreds of connections at once; asyncio's 100 makes some of them fail.
BACKLOG = 1024
_PATH_LIMIT = 107


class DirectoryLock:
    """An exclusive hold on a data directory; the kernel gives it up with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 32, 0).decode(errors="replace").strip()
            os.close(self._file)
            raise Refused(
                f"another tako-server (pid {holder or 'unknown'}) is running on {path.parent}; "
                "stop it, or use another --data-dir"
            ) from None
        with contextlib.suppress(OSError):  # on a full disk; the pid is only for the message above
            os.pwrite(self._file, str(os.getpid()).ljust(20).encode(), 0)

    def release(self) -> None:
        os.close(self._file)


def unix_listener(path: Path) -> socket.socket:
    """Listen on a Unix socket; a file left by a killed server is replaced, a live one refused."""
    if len(os.fsencode(path)) > _PATH_LIMIT:
        raise Refused(f"{path} is too long for a Unix socket ({_PATH_LIMIT} bytes at most); use a shorter --data-dir")
    if path.exists() and _is_live(path):
        raise Refused(f"a server is listening on {path} already; stop it, or use another --data-dir")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def tcp_listener(host: str, port: int) -> socket.socket:
    """Listen on TCP; port 0 takes any."""
    try:
        return socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        raise Refused(
            f"the API cannot listen on {host} port {port}: {error.strerror}; choose another with --api-port"
        ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_live(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True
