"""What is known of requests afterwards: a line in the app's log, and counts that a new proxy goes on with."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from tests.server.test_metrics import labelled, port_of, samples
from tests.server.world import Served, until


@pytest.fixture
async def measured(served: Served) -> AsyncIterator[Served]:
    await served.end()
    await served.begin(metrics_port=0)
    served.source("one")
    await served.apply(served.app("one"))
    await served.ready("one")
    yield served


async def counted(served: Served) -> float:
    found = await samples(port_of(served))
    assert found["tako_proxy_scrape_ok", labelled()] == 1
    return found["tako_http_requests_total", labelled(app="one/production", status="2xx")]


async def reaches(served: Served, wanted: float) -> None:
    """Wait for a count: a request is counted when its response has been sent, which is after its reader has it."""
    async with asyncio.timeout(10):
        while (await counted(served)) != wanted:
            pass


def records(served: Served) -> list[str]:
    path = served.layout.app(served.id("one")).current_log
    return re.findall(r"\[server\] \[proxy\] (INFO Request completed .*)", path.read_text())


async def test_each_request_leaves_a_line_in_the_log_of_its_app(measured: Served) -> None:
    for _ in range(3):
        assert (await measured.fetch("one.localhost"))[0] == 200
    await until(lambda: len(records(measured)) == 3)
    fields = dict(word.partition("=")[::2] for word in records(measured)[0].split())
    (instance,) = measured.host.agent.view(measured.id("one")).healthy
    assert fields["app"] == "one/production" and fields["source"] == "proxy"
    assert (fields["method"], fields["path"], fields["status"]) == ("GET", "/", "200")
    assert fields["instance"] == instance.id
    shown = [line async for line in measured.host.agent.logs.follow(measured.id("one"), follow=False)]
    kept = [
        line async for line in measured.host.agent.logs.follow(measured.id("one"), follow=False, access_records=False)
    ]
    assert sum(line.is_access_record for line in shown) == 3
    assert not any(line.is_access_record for line in kept)


async def test_requests_while_no_server_runs_are_recorded_and_counted(measured: Served) -> None:
    port = measured.host.https_port
    await measured.fetch("one.localhost")
    await reaches(measured, 1)
    await measured.end()
    for _ in range(2):
        assert (await asyncio.to_thread(measured._fetch, "one.localhost", port))[0] == 200
    await measured.begin(metrics_port=0)
    await measured.ready("one")
    await reaches(measured, 3)
    await until(lambda: len(records(measured)) == 3)


async def test_counts_and_records_go_on_when_the_proxy_is_replaced(measured: Served) -> None:
    for round_number in range(1, 4):
        assert (await measured.fetch("one.localhost"))[0] == 200
        assert measured.host.proxy is not None
        await measured.host.proxy.replace()
        await reaches(measured, round_number)
    await until(lambda: len(records(measured)) == 3)


async def test_a_request_that_wakes_an_app_is_measured_with_its_wait(measured: Served) -> None:
    measured.source("two")
    await measured.apply(measured.app("two", instances=0, idleTimeoutSeconds=1))
    await measured.ready("two")
    await until(lambda: not measured.pids("two"), 60)
    assert (await measured.fetch("two.localhost"))[0] == 200
    path = measured.layout.app(measured.id("two")).current_log
    await until(lambda: "Request completed" in path.read_text())
    found = re.search(r"cold_start_wait_ms=([0-9.]+)", path.read_text())
    assert found is not None and float(found[1]) > 0
