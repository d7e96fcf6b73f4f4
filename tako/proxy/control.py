"""The control socket: tako-proxyd connects, and JSON lines and file descriptors go both ways.

This module moves messages. What to say, and to which proxy, is decided in :mod:`tako.proxy.proxyd`.
"""

import asyncio
import logging
import os
import select
import socket
import struct
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from tako.model.control import UP, Down, Hello, Up
from tako.model.errors import Refused

log = logging.getLogger(__name__)

READ_SIZE = 256 * 1024
# The kernel passes at most 253 descriptors in one message (SCM_MAX_FD).
MAX_DESCRIPTORS = 253
# What a proxy says is short; a line that never ends must not fill the memory.
MAX_LINE = 16 * 1024 * 1024
HELLO_TIMEOUT_SECONDS = 5.0


class Connection:
    """One proxy's connection. Reading begins with :meth:`start`; all calls are on the loop's thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._incoming = bytearray()
        self._outgoing: list[memoryview] = []
        self._on_message: Callable[[Up], None] = lambda message: None
        self._on_close: Callable[[], None] = lambda: None
        self.descriptors: list[int] = []
        # The kernel's word for who is there; `Hello.pid` is only what the proxy believes.
        self.pid, self.uid, _ = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))

    @property
    def is_open(self) -> bool:
        return self._sock.fileno() >= 0

    def start(self, on_message: Callable[[Up], None], on_close: Callable[[], None]) -> None:
        self._on_message, self._on_close = on_message, on_close
        self._loop.add_reader(self._sock, self._read)

    def send(self, message: Down, descriptors: Sequence[int] = ()) -> None:
        """Queue a message; it leaves at once when the socket has room. `descriptors` only with the first message."""
        if not self.is_open:
            return
        data = memoryview(message.model_dump_json().encode() + b"\n")
        if descriptors:
            try:
                data = data[socket.send_fds(self._sock, [data], list(descriptors)) :]
            except OSError as error:
                self._lose(error)
                return
        self._outgoing.append(data)
        self._write()

    def read_rest(self) -> None:
        """Hand on what has arrived already, when the other end is known to be gone."""
        if self.is_open:
            readable = select.poll()
            readable.register(self._sock, select.POLLIN)
            while self.is_open and readable.poll(0):
                self._read()

    def take_descriptors(self) -> list[int]:
        """Return what came attached to the messages so far; the caller owns it."""
        taken, self.descriptors = self.descriptors, []
        return taken

    def close(self) -> None:
        """Close without calling `on_close`; safe to call again."""
        if not self.is_open:
            return
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        for descriptor in self.take_descriptors():
            os.close(descriptor)

    def _lose(self, reason: Exception | str) -> None:
        if self.is_open:
            log.info("control connection of proxy %d ended: %s", self.pid, reason)
            self.close()
            self._on_close()

    def _read(self) -> None:
        try:
            data, descriptors = _receive_with_descriptors(self._sock)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        self.descriptors.extend(descriptors)
        if not data:
            self._lose("closed by the proxy")
            return
        self._incoming += data
        *lines, rest = bytes(self._incoming).split(b"\n")
        self._incoming = bytearray(rest)
        for line in lines:
            self._receive(line)
        if len(self._incoming) > MAX_LINE:
            self._lose(f"a message longer than {MAX_LINE} bytes")

    def _receive(self, line: bytes) -> None:
        if not self.is_open:
            return
        try:
            message = UP.validate_json(line)
        except ValidationError as error:
            # A newer proxy may say things that we do not know yet; what we know still holds.
            log.warning("proxy %d said what is not understood: %.200r (%d faults)", self.pid, line, error.error_count())
            return
        self._on_message(message)

    def _write(self) -> None:
        while self._outgoing:
            try:
                sent = self._sock.send(self._outgoing[0])
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._write)
                return
            except OSError as error:
                self._lose(error)
                return
            self._outgoing[0] = self._outgoing[0][sent:]
            if not self._outgoing[0]:
                self._outgoing.pop(0)
        self._loop.remove_writer(self._sock)


class ControlSocket:
    """Listens at a path and hands on each proxy that said :class:`Hello`, with the descriptors it brought."""

    def __init__(self, path: Path, on_proxy: Callable[[Connection, Hello], None]) -> None:
        self._path = path
        self._on_proxy = on_proxy
        self._sock: socket.socket | None = None
        self._greeting: dict[Connection, asyncio.TimerHandle] = {}

    def open(self) -> None:
        """Listen. A stale socket file is replaced, one that somebody serves is `Refused`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(self._path)
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # Bound under another name and renamed, so that the path never leads to a socket with wider permissions.
        unready = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        unready.unlink(missing_ok=True)
        try:
            opened.bind(str(unready))
            unready.chmod(0o600)
            opened.listen(16)
            unready.replace(self._path)
        except OSError as error:
            opened.close()
            raise Refused(
                f"the proxy's control socket {self._path} cannot be opened: {error.strerror or error}"
            ) from error
        self._sock = opened
        asyncio.get_running_loop().add_reader(opened, self._accept)

    def restore(self) -> None:
        """Listen again when the file is gone, as after the data directory was deleted under a running server."""
        if self._sock is not None and not self._path.exists():
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
            self.open()

    def close(self) -> None:
        """Stop listening. The file stays: a running proxy tries it again until the next server is there."""
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None
        for connection in list(self._greeting):
            self._forget(connection)
            connection.close()

    def _accept(self) -> None:
        assert self._sock is not None
        try:
            accepted, _ = self._sock.accept()
        except OSError as error:
            log.warning("a proxy could not connect: %s", error)
            return
        accepted.setblocking(False)
        connection = Connection(accepted)
        if connection.uid not in (0, os.geteuid()):
            log.warning("refused user id %d on the proxy's control socket", connection.uid)
            connection.close()
            return
        timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT_SECONDS, self._give_up, connection)
        self._greeting[connection] = timer
        connection.start(lambda message: self._greet(connection, message), lambda: self._forget(connection))

    def _greet(self, connection: Connection, message: Up) -> None:
        if isinstance(message, Hello):
            self._forget(connection)
            self._on_proxy(connection, message)

    def _give_up(self, connection: Connection) -> None:
        self._forget(connection)
        log.warning("process %d connected as a proxy and said nothing", connection.pid)
        connection.close()

    def _forget(self, connection: Connection) -> None:
        if timer := self._greeting.pop(connection, None):
            timer.cancel()


def _receive_with_descriptors(sock: socket.socket) -> tuple[bytes, list[int]]:
    """What `socket.recv_fds` does, which does not hand on its flags (seen in Python 3.11).

    Without this flag every program that we start at that moment would inherit the public sockets.
    """
    descriptors = array("i")
    room = socket.CMSG_SPACE(MAX_DESCRIPTORS * descriptors.itemsize)
    data, ancillary, _, _ = sock.recvmsg(READ_SIZE, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
    return data, descriptors.tolist()


def _remove_stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
        attempt.setblocking(False)
        try:
            attempt.connect(str(path))
        except (FileNotFoundError, NotADirectoryError):
            return
        except ConnectionRefusedError:
            served = False
        except BlockingIOError:
            served = True
        except OSError as error:
            raise Refused(f"the proxy's control socket {path} cannot be opened: {error.strerror or error}") from error
        else:
            served = True
    if served:
        raise Refused(f"another tako-server listens on {path}; stop it, or choose another --data-dir")
    with suppress(FileNotFoundError):
        path.unlink()
