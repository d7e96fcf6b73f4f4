"""Requests through the real tako-proxyd, told by our tables."""

import asyncio
import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tako.certs.self_signed import Held, default_certificate, hold
from tako.model.control import Endpoint, TableApp
from tako.model.names import DeploymentId
from tako.proxy.proxyd import Proxy
from tako.proxy.table import Claim, compile_table
from tests.proxy.conftest import REAL, Said, StartProxy, is_running, until

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "routes.json").read_text())
SHOP = DeploymentId("shop", "production")


@pytest.fixture
def binary() -> Path:
    if not REAL.exists():
        pytest.skip("tako-proxyd is not built: cargo build --release in proxyd/")
    return REAL


class Upstream:
    """An instance that answers each request with its name, once `gate` is open."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gate = threading.Event()
        self.gate.set()
        self.asked = 0
        upstream = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                upstream.asked += 1
                upstream.gate.wait()
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.01))

    def __enter__(self) -> "Upstream":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def endpoint(self, *, draining: bool = False) -> Endpoint:
        return Endpoint(
            instance=self.name,
            addr=f"127.0.0.1:{self._server.server_port}",
            state="draining" if draining else "active",
        )


def shake_hands(proxy: Proxy, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", proxy.https_port or 0), timeout=20)
    return context.wrap_socket(plain, server_hostname=host)


def ask_at_once(proxy: Proxy, host: str, path: str) -> tuple[int, str]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with shake_hands(proxy, host.strip(".").lower(), context) as visitor:
        visitor.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: visitor.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


async def ask(proxy: Proxy, host: str, path: str = "/") -> tuple[int, str]:
    """Ask over HTTPS on a new connection; returns status and body."""
    return await asyncio.to_thread(ask_at_once, proxy, host, path)


async def verify(proxy: Proxy, host: str, held: Held) -> None:
    """Shake hands as a visitor who trusts this certificate only."""
    context = ssl.create_default_context(cafile=str(held.chain_path))
    (await asyncio.to_thread(shake_hands, proxy, host, context)).close()


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Proxy:
    return await start_proxy()


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["name"])
async def test_routes_are_decided_as_the_golden_cases_say(
    proxy: Proxy, tmp_path: Path, case: dict[str, list[dict[str, str]]]
) -> None:
    claims = [
        Claim.declare(DeploymentId(f"app{index}", "production"), pattern)
        for index, pattern in enumerate(case["patterns"])
    ]
    with ExitStack() as stack:
        apps = [
            TableApp(app=str(claim.app), endpoints=(stack.enter_context(Upstream(str(claim.pattern))).endpoint(),))
            for claim in claims
        ]
        content = compile_table(apps, claims, default_certificate=default_certificate(tmp_path / "certs"))
        await proxy.settled(proxy.push(content))
        for request in case["requests"]:
            if request["path"].startswith("/") and not request["host"].startswith("."):
                expected = (200, request["wins"]) if request["wins"] else (404, "Not Found")
                status, body = await ask(proxy, request["host"], request["path"])
                assert (status, body.strip()) == expected


async def test_a_visitor_gets_the_certificate_of_the_host_it_names(proxy: Proxy, tmp_path: Path) -> None:
    exact, _ = hold(tmp_path / "certs", ("a.shop.test",))
    wildcard, _ = hold(tmp_path / "certs", ("*.shop.test",))
    content = compile_table(
        [], [], [exact.for_table, wildcard.for_table], default_certificate=default_certificate(tmp_path / "certs")
    )
    await proxy.settled(proxy.push(content))
    for host, held in [("a.shop.test", exact), ("b.shop.test", wildcard)]:
        await verify(proxy, host, held)


async def test_a_renewed_certificate_is_served_without_a_restart(proxy: Proxy, tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    for names in [("a.shop.test",), ("a.shop.test", "b.shop.test")]:
        held, _ = hold(certs, names)
        content = compile_table([], [], [held.for_table], default_certificate=default_certificate(certs))
        await proxy.settled(proxy.push(content))
        await verify(proxy, names[-1], held)


Push = Callable[..., int]


@pytest.fixture
def push(proxy: Proxy, tmp_path: Path) -> Push:
    default = default_certificate(tmp_path / "certs")

    def push(*endpoints: Endpoint) -> int:
        apps = [TableApp(app=str(SHOP), endpoints=endpoints)]
        return proxy.push(compile_table(apps, [Claim.declare(SHOP, "shop.test")], default_certificate=default))

    return push


async def test_a_request_wakes_an_app_without_instances_and_waits_for_one(proxy: Proxy, said: Said, push: Push) -> None:
    await proxy.settled(push())
    asked = asyncio.create_task(ask(proxy, "shop.test"))
    await until(lambda: said.wakes)
    assert said.wakes[0] == ("shop/production", 1)
    with Upstream("late") as upstream:
        push(upstream.endpoint())
        assert await asked == (200, "late")


@pytest.mark.parametrize(
    ("reason", "status"), [("startup_failed", 502), ("startup_timeout", 504), ("unavailable", 503)]
)
async def test_those_who_wait_for_an_app_that_cannot_start_are_told(
    proxy: Proxy, said: Said, push: Push, reason: str, status: int
) -> None:
    await proxy.settled(push())
    asked = asyncio.create_task(ask(proxy, "shop.test"))
    await until(lambda: said.wakes)
    proxy.start_failed(str(SHOP), reason)  # type: ignore[arg-type]
    assert (await asked)[0] == status


async def test_an_instance_is_drained_when_its_last_request_has_ended(proxy: Proxy, said: Said, push: Push) -> None:
    with Upstream("old") as old, Upstream("new") as new:
        await proxy.settled(push(old.endpoint()))
        old.gate.clear()
        slow = asyncio.create_task(ask(proxy, "shop.test"))
        await until(lambda: old.asked)
        await proxy.settled(push(old.endpoint(draining=True), new.endpoint()))
        for _ in range(20):
            assert await ask(proxy, "shop.test") == (200, "new")
        assert said.drained == []
        old.gate.set()
        assert await slow == (200, "old")
        await until(lambda: said.drained == [("shop/production", "old")])


async def test_an_instance_is_not_drained_while_the_proxy_that_is_replaced_still_uses_it(
    proxy: Proxy, said: Said, push: Push
) -> None:
    with Upstream("old") as old, Upstream("new") as new:
        await proxy.settled(push(old.endpoint()))
        old.gate.clear()
        slow = asyncio.create_task(ask(proxy, "shop.test"))
        await until(lambda: old.asked)
        await proxy.replace(drain_seconds=20)
        await proxy.settled(push(old.endpoint(draining=True), new.endpoint()))
        assert await ask(proxy, "shop.test") == (200, "new")
        assert said.drained == []
        old.gate.set()
        assert await slow == (200, "old")
        await until(lambda: said.drained == [("shop/production", "old")])


async def test_an_instance_that_refuses_connections_is_told(proxy: Proxy, said: Said, push: Push) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    await proxy.settled(push(Endpoint(instance="gone", addr=f"127.0.0.1:{port}")))
    asked = asyncio.create_task(ask(proxy, "shop.test"))
    await until(lambda: said.connect_failures)
    assert said.connect_failures[0][:2] == ("shop/production", "gone")
    proxy.start_failed(str(SHOP))
    assert (await asked)[0] == 502


async def test_requests_are_counted_per_instance(proxy: Proxy, said: Said, push: Push) -> None:
    with Upstream("one") as upstream:
        await proxy.settled(push(upstream.endpoint()))
        for _ in range(3):
            await ask(proxy, "shop.test")
        await until(lambda: said.stats and [s.requests for s in said.stats[-1].instances] == [3])
        assert said.stats[-1].instances[0].in_flight == 0


async def test_requests_of_an_instance_are_counted_on_when_the_proxy_is_replaced(
    proxy: Proxy, said: Said, push: Push
) -> None:
    with Upstream("one") as upstream:
        await proxy.settled(push(upstream.endpoint()))
        for round_number in range(1, 4):
            await ask(proxy, "shop.test")
            await until(lambda n=round_number: said.stats and [s.requests for s in said.stats[-1].instances] == [n])
            old = proxy.seen.pid
            await proxy.replace(drain_seconds=1)
            await until(lambda old=old: not is_running(old))
        await ask(proxy, "shop.test")
        await until(lambda: [s.requests for s in said.stats[-1].instances] == [4])
        # What an ended proxy saw long ago does not make an idle instance look used.
        assert said.stats[-1].instances[0].idle_ms < 60_000


def visit_until(stop: threading.Event, proxy: Proxy, answers: list[object]) -> None:
    while not stop.is_set():
        try:
            answers.append(ask_at_once(proxy, "shop.test", "/"))
        except (OSError, IndexError) as error:
            answers.append(error)


async def test_visitors_do_not_notice_that_the_proxy_is_replaced(proxy: Proxy, push: Push) -> None:
    answers: list[object] = []
    stop = threading.Event()
    with Upstream("one") as upstream:
        await proxy.settled(push(upstream.endpoint()))
        visitors = [threading.Thread(target=visit_until, args=(stop, proxy, answers)) for _ in range(2)]
        for visitor in visitors:
            visitor.start()
        for _ in range(5):
            seen = len(answers)
            await proxy.replace(drain_seconds=5)
            await until(lambda seen=seen: len(answers) > seen + 10)
        stop.set()
        await asyncio.to_thread(lambda: [visitor.join() for visitor in visitors])
    assert set(answers) == {(200, "one")}


async def test_visitors_are_answered_again_after_each_kill_of_the_proxy(proxy: Proxy, push: Push) -> None:
    answers: list[object] = []
    stop = threading.Event()
    with Upstream("one") as upstream:
        await proxy.settled(push(upstream.endpoint()))
        visitor = threading.Thread(target=visit_until, args=(stop, proxy, answers))
        visitor.start()
        for _ in range(5):
            pid = proxy.seen.pid or 0
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: proxy.seen.pid not in (pid, None) and proxy.seen.generation)
            seen = len(answers)
            await until(lambda seen=seen: len(answers) > seen + 10)
        stop.set()
        await asyncio.to_thread(visitor.join)
    failures = [answer for answer in answers if answer != (200, "one")]
    # The one request that was in flight to each killed process, and nobody was refused.
    assert len(failures) <= 5
    assert not any(isinstance(failure, ConnectionRefusedError) for failure in failures)
