"""tako-proxyd under everything that changes it: tables, certificates, and builds of itself, while visitors stay.

The first test drives the real control socket and the real binary with the code of tako-server that does it (`Proxy`),
because a thousand real rollouts would take an hour; the others are whole hosts.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from e2e.host import BIN
from e2e.load import Load
from e2e.processes import named
from e2e.sockets import Stayers
from tako.adapters.processes import raise_file_limit
from tako.certs.self_signed import default_certificate, hold
from tako.model.control import Endpoint, Policies, TableApp
from tako.model.names import DeploymentId
from tako.proxy.listeners import Ports
from tako.proxy.proxyd import Proxy
from tako.proxy.table import Claim, TableContent, compile_table

TABLE_CHANGES = 1000
REPLACEMENTS = 100
WEBSOCKETS = 1000
ECHO = Path(__file__).parent / "apps" / "echo.py"
SHOP = DeploymentId("shop", "production")
HOST = "shop.localhost"


@contextmanager
def upstream(name: str) -> Iterator[int]:
    """The echo application; its port."""
    argv = [sys.executable, str(ECHO), name]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


class Changes:
    """The tables of a busy host: each differs from the one before, and all of them have the shop's route."""

    def __init__(self, certs: Path, one: int, two: int) -> None:
        self._one, self._two = one, two
        self._default = default_certificate(certs)
        self._certificates = [hold(certs / str(number), (HOST,))[0].for_table for number in range(3)]

    def content(self, turn: int) -> TableContent:
        second = [
            [self._endpoint("two", self._two, "active")],
            [self._endpoint("two", self._two, "draining")],
            [],
        ][turn % 3]
        neighbour = DeploymentId(f"neighbour{turn % 5}", "production")
        apps = [
            TableApp(app=str(SHOP), endpoints=(self._endpoint("one", self._one, "active"), *second)),
            TableApp(app=str(neighbour), endpoints=(Endpoint(instance=f"n{turn}", addr="127.0.0.1:9"),)),
        ]
        claims = [Claim.declare(SHOP, HOST), Claim.declare(neighbour, f"n{turn % 11}.localhost/part")]
        return compile_table(
            apps,
            claims,
            [self._certificates[turn // 4 % 3]],
            policies=Policies(max_requests_per_ip=4000 + turn // 6 % 2, trusted_cidrs=("10.0.0.0/8",)),
            default_certificate=self._default,
        )

    def _endpoint(self, name: str, port: int, state: str) -> Endpoint:
        return Endpoint.model_validate({"instance": name, "addr": f"127.0.0.1:{port}", "state": state})


@asynccontextmanager
async def proxy_on(directory: Path) -> AsyncIterator[Proxy]:
    proxy = Proxy(directory, Ports(0, 0, address="127.0.0.1"), BIN / "tako-proxyd", workers=2)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop(drain_seconds=0.1)


async def test_no_visitor_notices_a_thousand_tables_and_a_hundred_proxies(root: Path) -> None:
    """One WebSocket is opened in each of the proxies and kept, so that all of them are still there at the end."""
    raise_file_limit()
    with upstream("one") as one, upstream("two") as two:
        changes = Changes(root / "certs", one, two)
        async with proxy_on(root / "proxy") as proxy:
            await proxy.settled(proxy.push(changes.content(0)))
            load = Load(proxy.https_port or 0, [HOST], keep_alive=8, fresh=2, expected_app=lambda _: "shop")
            stayers = Stayers(proxy.https_port or 0, HOST, uploads=4)
            with load, stayers:
                await asyncio.to_thread(stayers.open, WEBSOCKETS - REPLACEMENTS)
                for turn in range(1, TABLE_CHANGES + 1):
                    await proxy.settled(proxy.push(changes.content(turn)))
                    if turn % (TABLE_CHANGES // REPLACEMENTS) == 0:
                        await proxy.replace()
                        await asyncio.to_thread(stayers.open, 1)
                await asyncio.to_thread(load.wait_for_requests, 50)
                await asyncio.to_thread(stayers.wait_for_uploads, 8)
                answering = await asyncio.to_thread(stayers.answering)
                proxies = named(root, "tako-proxyd")
    assert load.report.failures == [], load.report.explain()
    assert stayers.talk.failures == [], stayers.talk.explain()
    assert (stayers.talk.opened, answering) == (WEBSOCKETS, WEBSOCKETS)
    assert len(proxies) == REPLACEMENTS + 1
