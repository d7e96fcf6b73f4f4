"""tako-proxyd under everything that changes it: tables, certificates, and builds of itself, while visitors stay.

The first test drives the real control socket and the real binary with the code of tako-server that does it (`Proxy`),
because a thousand real rollouts would take an hour; the others are whole hosts.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from e2e.host import BIN, Host, eventually
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
# Some are opened later, so that every fifth of the replaced proxies stays for its own.
LATER_WEBSOCKETS, LATER_EVERY = 100, 5
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


@pytest.mark.timeout(400)
async def test_no_visitor_notices_a_thousand_tables_and_a_hundred_proxies(root: Path) -> None:
    """Counted, whatever the machine's speed: nothing is reset, nothing but 200 is answered, no WebSocket ends."""
    raise_file_limit()
    with upstream("one") as one, upstream("two") as two:
        changes = Changes(root / "certs", one, two)
        async with proxy_on(root / "proxy") as proxy:
            await proxy.settled(proxy.push(changes.content(0)))
            load = Load(proxy.https_port or 0, [HOST], keep_alive=8, fresh=2, expected_app=lambda _: "shop")
            stayers = Stayers(proxy.https_port or 0, HOST, uploads=4)
            with load, stayers:
                await asyncio.to_thread(stayers.open, WEBSOCKETS - LATER_WEBSOCKETS)
                for turn in range(1, TABLE_CHANGES + 1):
                    await proxy.settled(proxy.push(changes.content(turn)))
                    if turn % (TABLE_CHANGES // REPLACEMENTS) == 0:
                        await proxy.replace()
                    if turn % (TABLE_CHANGES // REPLACEMENTS * LATER_EVERY) == 0:
                        await asyncio.to_thread(stayers.open, LATER_WEBSOCKETS * LATER_EVERY // REPLACEMENTS)
                await asyncio.to_thread(load.wait_for_requests, 50)
                await asyncio.to_thread(stayers.wait_for_uploads, 8)
                answering = await asyncio.to_thread(stayers.answering)
                proxies = named(root, "tako-proxyd")
    assert load.report.failures == [], load.report.explain()
    assert stayers.talk.failures == [], stayers.talk.explain()
    assert (stayers.talk.opened, answering) == (WEBSOCKETS, WEBSOCKETS)
    # The old ones are still there, with the WebSockets that they had.
    assert len(proxies) > REPLACEMENTS // LATER_EVERY // 2


def with_its_own_proxy(host: Host) -> Path:
    """Give the host's server an installation that can be upgraded; returns the path of its proxy."""
    bin_directory = host.root / "installed" / "bin"
    bin_directory.mkdir(parents=True)
    shutil.copy(BIN.parent / "pyvenv.cfg", bin_directory.parent)
    (bin_directory.parent / "lib").symlink_to(BIN.parent / "lib")
    (bin_directory / "python").symlink_to(Path(sys.executable).resolve())
    host.server_command = [str(bin_directory / "python"), str(BIN / "tako-server")]
    binary = bin_directory / "tako-proxyd"
    upgrade(binary)
    return binary


def upgrade(binary: Path) -> None:
    """What an installer does: another file under the same name."""
    newer = binary.with_name("newer")
    shutil.copy(BIN / "tako-proxyd", newer)
    newer.replace(binary)


def await_another_proxy(host: Host, before: set[int]) -> None:
    eventually("a proxy of the new build", lambda: named(host.data_dir, "tako-proxyd") - before)


def test_a_new_build_is_taken_up_on_sighup_and_websockets_outlive_it_and_the_server(stopped_host: Host) -> None:
    host = stopped_host
    binary = with_its_own_proxy(host)
    host.start()
    # The WebSockets' app runs the echo application's code; the other one is rolled out meanwhile.
    host.apply(host.document("hello"), host.document("world", instances=2))
    host.await_healthy("hello", 1)
    first = host.proxy_pid()
    with Stayers(host.https_port, "hello.localhost") as stayers, Load(host.https_port, ["world.localhost"]) as load:
        stayers.open(20)
        for release in ("2", "3"):
            before = named(host.data_dir, "tako-proxyd")
            upgrade(binary)
            os.kill(host.server.pid, signal.SIGHUP)
            await_another_proxy(host, before)
            eventually("the API to answer", host.answers, 30)
            stayers.open(5)
            host.apply(host.document("world", instances=2, env={"RELEASE": release}))
        host.kill_server()
        host.start()
        host.apply(host.document("third"))
        load.wait_for_requests(50)
        assert stayers.answering() == 30
        assert first in named(host.data_dir, "tako-proxyd")
    assert load.report.failures == [], load.report.explain()
    assert stayers.talk.failures == [], stayers.talk.explain()
    # Each of the old ones ends when its last WebSocket has.
    eventually("one proxy", lambda: len(named(host.data_dir, "tako-proxyd")) == 1)
