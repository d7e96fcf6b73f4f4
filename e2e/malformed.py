"""Sends the cases of ``tests/golden/malformed.json`` to a server, and says what came of each.

Bytes are written as Latin-1 text: a character is a byte. After each case comes a well-formed request for ``/last`` on
the same connection, so that every case ends by itself, and shows whether the connection could be used after it.
"""

import json
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "malformed.json"
LAST = b"GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
TIMEOUT_SECONDS = 10.0
# What stands for the status of an answer that is not HTTP/1.x: HTTP/0.9, or frames of HTTP/2.
NOT_HTTP1 = 9


@dataclass(frozen=True, slots=True)
class Outcome:
    """Statuses in their order, whether the connection was closed before `/last`, and what reached the application."""

    answers: list[int]
    closed: bool
    reached: list[str]

    def document(self) -> dict[str, Any]:
        return {"answers": self.answers, "closed": self.closed, "reached": self.reached}


def golden() -> dict[str, Any]:
    document = json.loads(GOLDEN.read_text())
    assert isinstance(document, dict)
    return document


def spell(parts: str | list[Any]) -> bytes:
    """The bytes of a case: text, or a list of text and of ``[text, times]``."""
    pieces = [parts] if isinstance(parts, str) else parts
    return b"".join((piece if isinstance(piece, str) else piece[0] * piece[1]).encode("latin-1") for piece in pieces)


class Application:
    """Answers every request with 200 and notes what it was: method, target, host and body."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.reached: list[str] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer, peer.makefile("rb") as stream:
                while self._serve_request(peer, stream):
                    pass
        except (OSError, ValueError, OverflowError):
            pass

    def _serve_request(self, peer: socket.socket, stream: Any) -> bool:
        line = stream.readline()
        if not line:
            return False
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = read_body(stream, headers)
        brief = target if len(target) < 60 else f"{target[:20]}... of {len(target)}"
        self.reached.append(f"{method} {brief} {headers.get('host', '-')} {body.decode('latin-1')}".rstrip())
        close = headers.get("connection", "").lower() == "close"
        peer.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + (b"Connection: close\r\n" if close else b"") + b"\r\n"
        )
        return not close


def read_body(stream: Any, headers: dict[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", "").lower():
        return bytes(stream.read(int(headers.get("content-length", 0))))
    body = b""
    while size := int(stream.readline().split(b";")[0], 16):
        body += stream.read(size)
        stream.readline()
    while stream.readline() not in (b"\r\n", b""):
        pass
    return body


def try_case(port: int, application: Application, parts: str | list[Any], *, tls: bool = False) -> Outcome:
    application.reached.clear()
    said = _converse(port, spell(parts) + LAST, tls)
    reached = list(application.reached)
    closed = not any(each.startswith("GET /last ") for each in reached)
    return Outcome(statuses(said, spell(parts).startswith(b"HEAD")), closed, reached)


def _converse(port: int, data: bytes, tls: bool) -> bytes:
    peer: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        peer = context.wrap_socket(peer, server_hostname="a.test")
    said = b""
    with peer:
        try:
            peer.sendall(data)
        except OSError:
            pass  # It was refused before all of it was sent; the answer is there to be read.
        try:
            while piece := peer.recv(65536):
                said += piece
        except TimeoutError:
            raise
        except OSError:
            pass  # Closed with our bytes unread.
    return said


def statuses(said: bytes, to_head: bool = False) -> list[int]:
    found: list[int] = []
    while said:
        if not said.startswith(b"HTTP/1."):
            return [*found, NOT_HTTP1]
        head, _, said = said.partition(b"\r\n\r\n")
        found.append(int(head.split(b" ", 2)[1]))
        lines = [line.partition(b":") for line in head.lower().split(b"\r\n")[1:]]
        headers = {name: value.strip() for name, _, value in lines}
        has_none = found[-1] < 200 or (to_head and len(found) == 1)
        if headers.get(b"transfer-encoding") == b"chunked" and not has_none:
            said = said.partition(b"0\r\n\r\n")[2]
        elif b"content-length" in headers and not has_none:
            said = said[int(headers[b"content-length"]) :]
        elif not has_none:
            said = b""
    return found
