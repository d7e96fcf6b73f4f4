"""The load generator counts what it should: a measure that cannot fail would prove nothing."""

import asyncio
import datetime
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from e2e.host import free_ports
from e2e.load import Load

GOOD = json.dumps({"app": "hello", "instance": "i", "release": "1"}).encode()


def response(status: str = "200 OK", body: bytes = GOOD, length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


@contextmanager
def tls_server(root: Path, answer: Callable[[int], bytes | None], each_connection: int = 10**9) -> Iterator[int]:
    """Serve `answer(number of the request)`, closing silently when it is None or a connection had its share."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(root))
    (port,) = free_ports(1)
    started, stop, count = threading.Event(), asyncio.Event(), iter(range(10**9))
    loop = asyncio.new_event_loop()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for _ in range(each_connection):
                await reader.readuntil(b"\r\n\r\n")
                if (said := answer(next(count))) is None:
                    break
                writer.write(said)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.transport.abort()

    async def serve() -> None:
        async with await asyncio.start_server(talk, "127.0.0.1", port, ssl=context):
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def certificate(root: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hello.localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    file = root / "server.pem"
    file.write_bytes(
        built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


def failures(port: int, keep_alive: int = 1, fresh: int = 0) -> list[tuple[str, bool]]:
    with Load(port, ["hello.localhost"], timeout_seconds=1, keep_alive=keep_alive, fresh=fresh) as load:
        load.wait_for_requests(10)
    return [(failure.phase, failure.reused) for failure in load.report.failures]


def test_a_server_that_answers_has_no_failure(root: Path) -> None:
    with tls_server(root, lambda _: response()) as port:
        assert failures(port, keep_alive=2, fresh=2) == []


def test_each_single_failure_among_good_answers_is_counted(root: Path) -> None:
    with tls_server(root, lambda n: response("503 No") if n == 5 else response()) as port:
        assert failures(port) == [("answer", True)]


@pytest.mark.parametrize(
    ("said", "phase"),
    [
        pytest.param(response(body=GOOD.replace(b"hello", b"other")), "answer", id="another app"),
        pytest.param(response(length=len(GOOD) + 5), "timeout", id="a body that never ends"),
        pytest.param(b"", "timeout", id="no answer at all"),
        pytest.param(None, "head", id="closed instead of an answer"),
    ],
)
def test_what_is_not_a_good_answer_is_a_failure(root: Path, said: bytes | None, phase: str) -> None:
    with tls_server(root, lambda n: said if n == 2 else response()) as port:
        assert failures(port) == [(phase, True)]


def test_a_connection_closed_without_a_word_fails_the_next_request(root: Path) -> None:
    with tls_server(root, lambda _: response(), each_connection=4) as port:
        seen = failures(port)
    assert seen
    assert set(seen) <= {("head", True), ("send", True)}


def test_a_refused_connection_is_a_failure_of_its_own_phase() -> None:
    (port,) = free_ports(1)
    assert set(failures(port, fresh=1)) == {("connect", False)}
