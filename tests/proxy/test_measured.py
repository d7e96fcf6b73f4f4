"""Counts of several proxies are one count, and none is lost or counted twice while proxies come and go."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tako.model.control import AppMetrics, Endpoint, Histogram, Metrics, TableApp, TlsFailures
from tako.model.names import DeploymentId
from tako.proxy.measured import ended, only, sum_metrics
from tako.proxy.proxyd import Proxy
from tako.proxy.table import Claim, compile_table
from tests.proxy.conftest import StartProxy, until

GOLDEN = Path(__file__).parents[1] / "golden" / "control" / "metrics.json"
SHOP, BLOG = DeploymentId("shop", "production"), DeploymentId("blog", "production")


def counted(app: DeploymentId, ok: int, counts: tuple[int, ...] = (1, 2), active: int = 0) -> AppMetrics:
    histogram = Histogram(counts=counts, sum_us=10)
    return AppMetrics(app=str(app), statuses={"2xx": ok}, duration=histogram, upstream=histogram, active=active)


def metrics(*apps: AppMetrics, no_sni: int = 0) -> Metrics:
    return Metrics(apps=apps, tls_failures=TlsFailures(no_sni=no_sni, cert_missing=1))


def test_counts_of_two_proxies_are_added_up() -> None:
    one = metrics(counted(SHOP, 3, active=1), counted(BLOG, 1), no_sni=2)
    other = metrics(counted(SHOP, 4, (5, 6, 7), active=2), no_sni=3)
    total = sum_metrics([one, other])
    assert total.tls_failures == TlsFailures(no_sni=5, cert_missing=2)
    blog, shop = total.apps
    assert (blog.app, blog.statuses) == ("blog/production", {"2xx": 1})
    assert (shop.statuses, shop.active, shop.duration) == ({"2xx": 7}, 3, Histogram(counts=(6, 8, 7), sum_us=20))


def test_a_proxy_that_has_ended_leaves_its_counts_and_nothing_in_progress() -> None:
    golden = Metrics.model_validate_json(GOLDEN.read_text())
    left = ended(golden)
    assert golden.apps[0].active == 2 and left.apps[0].active == 0
    assert left.apps[0].statuses == golden.apps[0].statuses


def test_an_app_that_is_gone_is_not_counted_for_ever() -> None:
    assert [app.app for app in only(metrics(counted(SHOP, 1), counted(BLOG, 1)), ["blog/production"]).apps] == [
        "blog/production"
    ]


# --- through the control socket ---------------------------------------------------------------------------------

# What the real one counts is looked at in test_traffic.
on_the_fake = pytest.mark.parametrize("binary", ["fake"], indirect=True)


@pytest.fixture
async def proxy(start_proxy: StartProxy) -> Proxy:
    proxy = await start_proxy()
    app = TableApp(app=str(SHOP), endpoints=(Endpoint(instance="a", addr="127.0.0.1:9"),))
    await proxy.settled(proxy.push(compile_table([app], [Claim.declare(SHOP, "shop.localhost")])))
    return proxy


def visit(proxy: Proxy, times: int) -> None:
    for _ in range(times):
        with socket.create_connection(("127.0.0.1", proxy.http_port or 0), timeout=10) as visitor:
            visitor.sendall(b"GET / HTTP/1.1\r\n\r\n")
            while visitor.recv(4096):
                pass


async def answers(proxy: Proxy) -> int:
    return (await proxy.measure()).metrics.apps[0].statuses["4xx"]


@on_the_fake
async def test_a_proxy_is_asked_what_it_counted(proxy: Proxy) -> None:
    visit(proxy, 3)
    measured = await proxy.measure()
    assert measured.is_fresh
    (shop,) = measured.metrics.apps
    assert (shop.app, shop.statuses["4xx"], shop.active) == ("shop/production", 3, 1)
    assert measured.metrics.tls_failures.no_sni == 1


@on_the_fake
async def test_counts_go_on_when_the_proxy_is_replaced(proxy: Proxy) -> None:
    total = 0
    for _ in range(3):
        visit(proxy, 2)
        total += 2
        old = proxy.seen.pid
        await proxy.replace(drain_seconds=1)
        # Its last word is read although its death may be seen first.
        await until(lambda old=old: not Path(f"/proc/{old}").exists())
        await until(lambda: len(proxy._members.all()) == 1)
        assert await answers(proxy) == total


@on_the_fake
async def test_a_killed_proxy_has_counted_what_it_said_last(proxy: Proxy) -> None:
    visit(proxy, 2)
    assert await answers(proxy) == 2
    pid = proxy.seen.pid or 0
    os.kill(pid, signal.SIGKILL)
    await until(lambda: proxy.seen.pid not in (pid, None) and proxy.seen.generation)
    visit(proxy, 1)
    assert await answers(proxy) == 3


@on_the_fake
async def test_a_proxy_that_does_not_answer_is_counted_as_it_was(proxy: Proxy, directory: Path) -> None:
    visit(proxy, 2)
    assert await answers(proxy) == 2
    (directory / "silent").touch()
    visit(proxy, 1)
    measured = await proxy.measure(timeout_seconds=0.1)
    assert not measured.is_fresh
    assert measured.metrics.apps[0].statuses["4xx"] == 2


@on_the_fake
async def test_nothing_is_counted_where_no_proxy_runs(proxy: Proxy) -> None:
    await proxy.stop(drain_seconds=0.1)
    assert not (await proxy.measure()).is_fresh
