"""What Prometheus is told: the names, labels and buckets of the specification, from a server that runs."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tako.model.control import Metrics
from tako.model.kinds import HOST
from tako.proxy.measured import Measured
from tako.server.metrics import HostMeasured, families
from tako.server.scrape import MetricsEndpoint
from tests.server.world import Served, until

GOLDEN = Metrics.model_validate_json(
    (Path(__file__).parents[1] / "golden" / "control" / "metrics.json").read_text(),
)
# The specification's table: name, type, labels.
SPECIFIED = {
    ("tako_http_requests", "counter", ("app", "server", "status")),
    ("tako_http_request_duration_seconds", "histogram", ("app", "server")),
    ("tako_upstream_request_duration_seconds", "histogram", ("app", "server")),
    ("tako_http_active_connections", "gauge", ("app", "server")),
    ("tako_cold_starts", "counter", ("app", "server")),
    ("tako_cold_start_duration_seconds", "histogram", ("app", "server")),
    ("tako_cold_start_failures", "counter", ("app", "reason", "server")),
    ("tako_tls_handshake_failures", "counter", ("reason", "server")),
    ("tako_instance_health", "gauge", ("app", "instance", "server")),
    ("tako_instances_running", "gauge", ("app", "server")),
}


async def get(port: int, path: str = "/metrics", **headers: str) -> tuple[aiohttp.ClientResponse, bytes]:
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(f"http://127.0.0.1:{port}{path}", headers={"Accept-Encoding": "identity", **headers}) as response,
    ):
        return response, await response.read()


async def samples(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    _, body = await get(port)
    found = text_string_to_metric_families(body.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in found for s in family.samples}


def labelled(**labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"server": "here", **labels}.items()))


# --- rendering --------------------------------------------------------------------------------------------------


def seen() -> HostMeasured:
    return HostMeasured(Measured(GOLDEN, is_fresh=True), 7, 0, views={}, cold_starts={})


def test_counts_of_the_proxy_become_the_specified_samples() -> None:
    found = {
        (s.name, tuple(sorted(s.labels.items()))): s.value for one in families("here", seen()) for s in one.samples
    }
    shop = {"app": "shop/production"}
    assert found["tako_http_requests_total", labelled(status="2xx", **shop)] == 40
    assert found["tako_http_requests_total", labelled(status="5xx", **shop)] == 1
    assert found["tako_http_active_connections", labelled(**shop)] == 2
    assert found["tako_tls_handshake_failures_total", labelled(reason="no_sni")] == 3
    durations = "tako_http_request_duration_seconds"
    # Buckets are cumulative, and the last one is everything.
    assert found[f"{durations}_bucket", labelled(le="0.001", **shop)] == 1
    assert found[f"{durations}_bucket", labelled(le="0.005", **shop)] == 41
    assert found[f"{durations}_bucket", labelled(le="10.0", **shop)] == 44
    assert found[f"{durations}_bucket", labelled(le="+Inf", **shop)] == 45
    assert found[f"{durations}_count", labelled(**shop)] == 45
    assert found[f"{durations}_sum", labelled(**shop)] == pytest.approx(12.345678)
    assert found["tako_proxy_connections", labelled()] == 7


def test_every_sample_says_which_server_it_is_of() -> None:
    found = [sample for family in families("here", seen()) for sample in family.samples]
    assert found and all(sample.labels["server"] == "here" for sample in found)
    assert any(sample.name == "process_resident_memory_bytes" for sample in found)


# --- the endpoint -----------------------------------------------------------------------------------------------


async def test_a_port_that_is_taken_is_told_and_served_when_it_is_free() -> None:
    async def nothing() -> Callable[[], list[Metric]]:
        return list

    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        endpoint = MetricsEndpoint(port, nothing)
        await endpoint.open()
        assert str(port) in endpoint.fault and "--metrics-port" in endpoint.fault
        assert endpoint.port is None
    await endpoint.open()
    assert (endpoint.fault, endpoint.port) == ("", port)
    assert (await get(port))[0].status == 200
    await endpoint.close()


# --- a host -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def measured(served: Served) -> AsyncIterator[Served]:
    await served.end()
    await served.begin(metrics_port=0)
    yield served


def port_of(served: Served) -> int:
    assert served.host.monitor.port is not None
    return served.host.monitor.port


async def test_a_host_publishes_the_specified_metrics_of_what_it_runs(measured: Served) -> None:
    measured.source("one")
    await measured.apply(measured.app("one", instances=2), measured.app("two", instances=0, source={"path": "/none"}))
    await measured.ready("one")
    assert (await measured.fetch("one.localhost"))[0] == 200
    response, body = await get(port_of(measured))
    assert response.status == 200 and response.content_type == "text/plain"
    names = {family.name: family for family in text_string_to_metric_families(body.decode())}
    for name, type_, _ in SPECIFIED:
        assert names[name].type == type_, name
    for name, _, labels in SPECIFIED:
        for sample in names[name].samples:
            assert tuple(sorted(set(sample.labels) - {"le"})) == labels, sample
    found = await samples(port_of(measured))
    assert found["tako_instances_running", labelled(app="one/production")] == 2
    assert found["tako_instances_running", labelled(app="two/production")] == 0
    healthy = [value for (name, labels), value in found.items() if name == "tako_instance_health" and labels]
    assert healthy == [1, 1]
    assert found["tako_reconciles_total", labelled(reconciler="app", result="ok")] >= 1
    assert found["tako_reconciles_total", labelled(reconciler="app", result="refused")] >= 1
    assert any(name == "tako_api_requests_total" for name, _ in found)


async def test_a_start_by_a_request_is_in_the_metrics(measured: Served) -> None:
    measured.source("one")
    await measured.apply(measured.app("one", instances=0, idleTimeoutSeconds=1))
    await measured.ready("one")
    await until(lambda: not measured.pids("one"), 60)
    assert (await measured.fetch("one.localhost"))[0] == 200
    found = await samples(port_of(measured))
    app = {"app": "one/production"}
    assert found["tako_cold_starts_total", labelled(**app)] == 1
    assert found["tako_cold_start_duration_seconds_count", labelled(**app)] == 1
    assert found["tako_cold_start_duration_seconds_bucket", labelled(le="30.0", **app)] == 1
    assert found["tako_cold_start_failures_total", labelled(reason="spawn_failed", **app)] == 0


async def test_the_text_is_compressed_for_who_asks_for_it(measured: Served) -> None:
    for path in ("/", "/metrics"):
        response, body = await get(port_of(measured), path, **{"Accept-Encoding": "gzip"})
        assert response.headers["Content-Encoding"] == "gzip"
        assert b"tako_tls_handshake_failures_total" in gzip.decompress(body)
        response, body = await get(port_of(measured), path, **{"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in response.headers
        assert b"tako_tls_handshake_failures_total" in body
    assert (await get(port_of(measured), "/else"))[0].status == 404


async def test_the_label_is_the_name_that_the_host_document_gives(measured: Served) -> None:
    await measured.host_document()
    patch = {"spec": {"serverName": "prod"}}
    await measured.host.api.resources.merge_patch(HOST.group_resource, None, "here", patch)
    found = await samples(port_of(measured))
    assert {dict(labels)["server"] for _, labels in found} == {"prod"}


async def test_the_host_says_where_metrics_are_or_why_they_are_not(measured: Served) -> None:
    async def told() -> dict[str, str]:
        doc = await measured.host_document()
        (condition,) = [one for one in doc["status"]["conditions"] if one["type"] == "MetricsServed"]
        return {**condition, "ready": doc["status"]["conditions"][0]["status"]}

    port = port_of(measured)
    assert f":{port}/metrics" in (await told())["message"]
    await measured.end()
    with socket.create_server(("127.0.0.1", port)):
        await measured.begin(metrics_port=port)
        await until(lambda: measured.host.proxy is not None and measured.host.proxy.seen.generation)
        fault = await told()
        assert (fault["status"], fault["reason"], fault["ready"]) == ("False", "PortUnavailable", "True")
        assert str(port) in fault["message"]


async def test_many_look_at_once(measured: Served) -> None:
    answers = await asyncio.gather(*(get(port_of(measured)) for _ in range(20)))
    assert {response.status for response, _ in answers} == {200}


async def test_a_host_without_metrics_asks_nobody_and_listens_nowhere(served: Served) -> None:
    assert served.host.monitor.port is None
    assert "metricsPort" not in (await served.host_document())["status"]
