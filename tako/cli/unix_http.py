"""Just enough HTTP/1.1 to talk to the resource API over its Unix socket, synchronously.

The standard library's `http.client` takes as long to import as the whole of `tako get` may last
(it loads the `email` package to read headers), so requests are written and answers are read here.
One request at a time on one kept-alive connection. Knows nothing of resources.
"""

import socket
from collections.abc import Iterator
from typing import NamedTuple

_READ_SIZE = 65536
_MAX_HEAD = 65536


class ServerUnreachable(Exception):
    """No answer could be had from the socket; `cause` tells the ways apart."""

    def __init__(self, path: str, cause: OSError | str) -> None:
        super().__init__(f"{path}: {cause}")
        self.path = path
        self.cause = cause


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """A kept-alive connection that is opened with the first request and again when the server closed it."""

    def __init__(self, path: str, timeout: float | None = 30.0) -> None:
        self.path = path
        self.timeout = timeout
        self._socket: socket.socket | None = None
        self._buffer = b""

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._buffer = b""

    def request(self, method: str, target: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        """Send one request and read its whole answer."""
        status, answer_headers = self._exchange(method, target, headers, body, self.timeout)
        content = b"".join(self._body(answer_headers, method))
        if answer_headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, answer_headers, content)

    def stream(
        self, target: str, headers: dict[str, str], timeout: float | None
    ) -> tuple[int, dict[str, str], Iterator[bytes]]:
        """Send a GET whose body is read piece by piece, each within `timeout`; close the connection afterwards."""
        status, answer_headers = self._exchange("GET", target, headers, b"", timeout)
        return status, answer_headers, self._body(answer_headers, "GET")

    def _exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes, timeout: float | None
    ) -> tuple[int, dict[str, str]]:
        lines = [f"{method} {target} HTTP/1.1", "Host: tako"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method not in ("GET", "HEAD", "DELETE"):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        opened = self._open(timeout)
        try:
            opened.sendall(head + body)
        except OSError as error:
            self.close()
            raise ServerUnreachable(self.path, error) from error
        return self._read_head()

    def _open(self, timeout: float | None) -> socket.socket:
        if self._socket is not None and _closed_by_peer(self._socket):
            self.close()
        if self._socket is None:
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            opened.settimeout(timeout)
            try:
                opened.connect(self.path)
            except OSError as error:
                opened.close()
                raise ServerUnreachable(self.path, error) from error
            self._socket = opened
        self._socket.settimeout(timeout)
        return self._socket

    def _receive(self) -> bytes:
        if self._socket is None:
            return b""
        try:
            return self._socket.recv(_READ_SIZE)
        except OSError as error:
            self.close()
            raise ServerUnreachable(self.path, error) from error

    def _fill(self) -> None:
        received = self._receive()
        if not received:
            self.close()
            raise ServerUnreachable(self.path, "the server closed the connection before it had answered")
        self._buffer += received

    def _read_until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            if len(self._buffer) > _MAX_HEAD:
                self.close()
                raise ServerUnreachable(self.path, "what answers there does not speak HTTP")
            self._fill()
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _read_head(self) -> tuple[int, dict[str, str]]:
        first, *rest = self._read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, _, after = first.partition(" ")
        if not version.startswith("HTTP/1.") or not after[:3].isdigit():
            self.close()
            raise ServerUnreachable(self.path, "what answers there does not speak HTTP")
        headers = {}
        for line in rest:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(after[:3]), headers

    def _body(self, headers: dict[str, str], method: str) -> Iterator[bytes]:
        if method == "HEAD":
            return
        if headers.get("transfer-encoding", "").lower() == "chunked":
            yield from self._chunks()
        elif "content-length" in headers:
            yield from self._exactly(int(headers["content-length"]))
        else:
            yield from self._until_closed()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._read_until(b"\r\n").split(b";")[0], 16):
            yield from self._exactly(size)
            self._read_until(b"\r\n")
        while self._read_until(b"\r\n"):  # trailers, which nobody sends us
            pass

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._buffer:
                self._fill()
            piece, self._buffer = self._buffer[:size], self._buffer[size:]
            size -= len(piece)
            yield piece

    def _until_closed(self) -> Iterator[bytes]:
        piece, self._buffer = self._buffer, b""
        while piece or (piece := self._receive()):
            yield piece
            piece = b""
        self.close()


def _closed_by_peer(opened: socket.socket) -> bool:
    """A kept-alive connection that is readable before we asked has been closed, or has lost its place."""
    opened.setblocking(False)
    try:
        opened.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
