"""Proxies that were replaced: who stays, for how long, and who takes their place."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tako.certs.self_signed import default_certificate
from tako.model.control import Endpoint, Policies, TableApp
from tako.model.errors import Refused
from tako.model.names import DeploymentId
from tako.proxy import finishing
from tako.proxy.process import build_of
from tako.proxy.proxyd import Proxy
from tako.proxy.table import Claim, TableContent, compile_table
from tests.proxy.conftest import REAL, Said, StartProxy, Visitor, is_running, until

SHOP = DeploymentId("shop", "production")
UPGRADE = b"GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.fixture
def binary() -> Path:
    if not REAL.exists():
        pytest.skip("tako-proxyd is not built: cargo build --release in proxyd/")
    return REAL


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """An instance that switches protocols and sends back what it is sent."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCHED)
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


def content(tmp_path: Path, port: int, state: str = "active", policies: Policies | None = None) -> TableContent:
    endpoint = Endpoint.model_validate({"instance": "one", "addr": f"127.0.0.1:{port}", "state": state})
    return compile_table(
        [TableApp(app=str(SHOP), endpoints=(endpoint,))],
        [Claim.declare(SHOP, "shop.localhost")],
        policies=policies,
        default_certificate=default_certificate(tmp_path / "certs"),
    )


class Tunnel:
    """A connection that was switched to another protocol."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def echoes(self) -> bool:
        self.writer.write(b"there?")
        try:
            return await self._reader.readexactly(6) == b"there?"
        except (asyncio.IncompleteReadError, OSError):
            return False


@asynccontextmanager
async def tunnel(proxy: Proxy) -> AsyncIterator[Tunnel]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", proxy.https_port, ssl=context, server_hostname="shop.localhost"
    )
    try:
        writer.write(UPGRADE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        yield Tunnel(reader, writer)
    finally:
        writer.transport.abort()


async def test_a_tunnel_outlives_replacements_and_servers_and_holds_its_instance(
    start_proxy: StartProxy, said: Said, tmp_path: Path, port: int
) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(tmp_path, port)))
    first = proxy.seen.pid or 0
    async with tunnel(proxy) as talk:
        for _ in range(3):
            await proxy.replace()
        proxy.detach()
        proxy = await start_proxy()
        await proxy.settled(proxy.push(content(tmp_path, port, "draining")))
        assert proxy.seen.pid != first
        assert await talk.echoes()
        # The server that knows it only by its record waits for it as well.
        await until(lambda: proxy._members.find(first) is not None and "one" in said_in_flight(said))
        assert said.drained == []
    await until(lambda: said.drained)
    assert said.drained == [("shop/production", "one")]
    await until(lambda: not is_running(first))


def said_in_flight(said: Said) -> set[str]:
    return {one.instance for one in said.stats[-1].instances if one.in_flight} if said.stats else set()


async def test_replacements_asked_for_at_once_happen_one_after_the_other(
    start_proxy: StartProxy, tmp_path: Path, port: int
) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(tmp_path, port)))
    first = proxy.seen.pid or 0
    with Visitor(proxy.http_port or 0) as visitor:
        await asyncio.gather(*(proxy.replace() for _ in range(4)))
        await until(lambda: len(proxy._members.all()) == 1)
    assert (visitor.refused, visitor.unanswered) == ([], [])
    assert proxy.seen.pid != first
    assert proxy.seen.is_connected


async def test_a_proxy_that_somebody_else_told_to_end_is_replaced_at_once_and_keeps_its_tunnels(
    start_proxy: StartProxy, tmp_path: Path, port: int
) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(tmp_path, port)))
    told = proxy.seen.pid or 0
    with Visitor(proxy.http_port or 0) as visitor:
        async with tunnel(proxy) as talk:
            os.kill(told, signal.SIGTERM)
            await until(lambda: proxy.seen.pid not in (told, None) and proxy.seen.is_connected)
            assert await talk.echoes()
        await until(lambda: not is_running(told))
    assert (visitor.refused, visitor.unanswered) == ([], [])


async def test_beyond_their_limit_the_oldest_replaced_proxy_is_given_a_deadline(
    start_proxy: StartProxy, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "MAX_FINISHING", 2)
    monkeypatch.setattr(finishing, "LAST_DRAIN_SECONDS", 0.1)
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(tmp_path, port)))
    pids, talks = [], []
    for _ in range(3):
        # The connection is in this proxy and in no successor of its.
        talks.append(tunnel(proxy))
        pids.append(proxy.seen.pid or 0)
        await talks[-1].__aenter__()
        await proxy.replace()
    await until(lambda: not is_running(pids[0]))
    assert [is_running(pid) for pid in pids] == [False, True, True]
    for talk in talks:
        await talk.__aexit__(None, None, None)


async def test_a_new_build_that_cannot_use_the_table_is_sent_away_and_the_old_one_goes_on(
    start_proxy: StartProxy, tmp_path: Path, port: int
) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(tmp_path, port)))
    pid = proxy.seen.pid
    # The old one refuses it as well, and goes on with the one before.
    generation = proxy.push(
        compile_table([TableApp(app=str(SHOP), endpoints=(Endpoint(instance="x", addr="nowhere"),))], [])
    )
    with pytest.raises(Refused):
        await proxy.settled(generation)
    with pytest.raises(Refused, match="the old one goes on serving"):
        await proxy.replace()
    assert proxy.seen.pid == pid
    await until(lambda: len(proxy._members.all()) == 1)
    await proxy.settled(proxy.push(content(tmp_path, port)))


async def test_a_file_exchanged_after_the_start_is_noticed_by_the_next_server(
    start_proxy: StartProxy, binary: Path, tmp_path: Path
) -> None:
    installed = tmp_path / "installed"
    installed.write_bytes(binary.read_bytes())
    installed.chmod(0o755)
    first = await start_proxy(binary=installed)
    old = first.seen.pid or 0
    newer = tmp_path / "newer"
    newer.write_bytes(binary.read_bytes())
    newer.chmod(0o755)
    newer.replace(installed)
    # A record written after the exchange speaks of the build that runs, not of the file that is there.
    first._record()
    first.detach()
    second = await start_proxy(binary=installed)
    assert second.seen.pid != old
    assert second._serving is not None
    assert second._serving.process.build == build_of(installed)
