import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tako.model.control import Ack, Hello, Shutdown, Table, TableApp, Up, Welcome
from tako.model.errors import Refused
from tako.proxy import control
from tako.proxy.control import Connection, ControlSocket
from tests.proxy.conftest import until

HELLO = b'{"type":"hello","protocol":0,"pid":1,"version":"x","generation":0,"listeners":[]}\n'


class Server:
    """A control socket and what arrived at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.greeted: list[tuple[Connection, Hello]] = []
        self.messages: list[Up] = []
        self.lost = 0
        self.control = ControlSocket(path, self._greet)

    def _greet(self, connection: Connection, hello: Hello) -> None:
        self.greeted.append((connection, hello))
        connection.start(self.messages.append, self._lose)

    def _lose(self) -> None:
        self.lost += 1

    def connect(self) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(str(self.path))
        return peer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    server = Server(tmp_path / "control.sock")
    server.control.open()
    yield server
    server.control.close()
    for connection, _ in server.greeted:
        connection.close()


async def test_messages_may_arrive_in_any_pieces(server: Server) -> None:
    with server.connect() as peer:
        for byte in HELLO + b'{"type":"ack","generation":4}\n':
            peer.send(bytes([byte]))
        await until(lambda: server.messages)
        peer.sendall(b'{"type":"ack","generation":5}\n{"type":"ack","generation":6}\n{"type"')
        peer.sendall(b':"ack","generation":7}\n')
        await until(lambda: len(server.messages) == 4)
    assert server.messages == [Ack(generation=number) for number in (4, 5, 6, 7)]
    assert server.greeted[0][0].pid == os.getpid()
    await until(lambda: server.lost)


async def test_what_is_not_understood_is_passed_over(server: Server) -> None:
    with server.connect() as peer:
        peer.sendall(HELLO + b'nonsense\n{"type":"from the future"}\n\xff\xfe\n{"type":"ack","generation":1}\n')
        await until(lambda: server.messages)
    assert server.messages == [Ack(generation=1)]


async def test_a_line_without_end_closes_the_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_LINE", 10_000)
    with server.connect() as peer:
        peer.sendall(HELLO)
        peer.sendall(b"x" * 20_000)
        await until(lambda: server.lost == 1)


async def test_whoever_says_nothing_is_sent_away(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "HELLO_TIMEOUT_SECONDS", 0.05)
    with server.connect() as peer:
        peer.setblocking(False)
        await until(lambda: closed(peer))
    assert server.greeted == []


def closed(peer: socket.socket) -> bool:
    try:
        return peer.recv(1) == b""
    except BlockingIOError:
        return False


async def test_a_large_table_reaches_a_peer_that_reads_slowly(server: Server) -> None:
    table = Table(generation=1, apps=tuple(TableApp(app=f"app{number}/production") for number in range(20_000)))
    with server.connect() as peer:
        peer.setblocking(False)
        peer.sendall(HELLO)
        await until(lambda: server.greeted)
        connection = server.greeted[0][0]
        connection.send(table)
        connection.send(Shutdown())
        received = bytearray()

        def read_a_little() -> bool:
            try:
                received.extend(peer.recv(65536))
            except BlockingIOError:
                pass
            return received.count(b"\n") == 2

        await until(read_a_little)
    first, second = received.splitlines()
    assert Table.model_validate_json(bytes(first)) == table
    assert json.loads(second)["type"] == "shutdown"


async def test_sockets_travel_both_ways(server: Server) -> None:
    with server.connect() as peer, socket.create_server(("127.0.0.1", 0)) as listener:
        socket.send_fds(peer, [HELLO], [listener.fileno()])
        await until(lambda: server.greeted)
        connection = server.greeted[0][0]
        (descriptor,) = connection.take_descriptors()
        with socket.socket(fileno=descriptor) as received:
            assert received.getsockname() == listener.getsockname()
            connection.send(Welcome(listeners=("http/0",)), [received.fileno()])
        data, (returned,), _, _ = socket.recv_fds(peer, 65536, 4)
        assert json.loads(data)["listeners"] == ["http/0"]
        with socket.socket(fileno=returned) as again:
            assert again.getsockname() == listener.getsockname()


async def test_a_peer_that_is_gone_is_noticed_when_it_is_told_something(server: Server) -> None:
    with server.connect() as peer:
        peer.sendall(HELLO)
        await until(lambda: server.greeted)
    server.greeted[0][0].send(Shutdown())
    assert server.lost == 1
    server.greeted[0][0].send(Shutdown())
    assert server.lost == 1


async def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120) / "control.sock"
    with pytest.raises(Refused, match=r"control\.sock cannot be opened"):
        ControlSocket(path, lambda connection, hello: None).open()
