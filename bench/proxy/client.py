"""One connection to a proxy, as plain as can be: what is asked is small, and answered with a length."""

import socket
import ssl
from typing import Self

TIMEOUT_SECONDS = 20


def insecure() -> ssl.SSLContext:
    """The certificate is nobody's; who answers is known."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


class Connection:
    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._host = f"localhost:{port}"
        plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
        self._socket = context.wrap_socket(plain, server_hostname="localhost")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fetch(self, path: str) -> tuple[dict[str, str], bytes]:
        """Return the headers, by names in lower case, and the body; `AssertionError` unless it is a 200."""
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        head, _, body = received.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        assert status.split()[1] == "200", f"{path}: {status}"
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers["content-length"]):
            body += self._receive()
        return headers, body

    def _receive(self) -> bytes:
        received = self._socket.recv(65536)
        if not received:
            raise ConnectionError("closed within an answer")
        return received
