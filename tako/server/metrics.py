"""What is seen of this host, as Prometheus metrics. Pure: values in, families out.

Names, labels and buckets of the first ten are the specification's; the others are tako-server's own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from tako.host_agent.coldstarts import ColdStarts, StartFault
from tako.host_agent.views import AppView
from tako.model.control import LATENCY_BOUNDS, Histogram
from tako.model.distribution import Distribution
from tako.model.kinds import InstanceState
from tako.model.names import DeploymentId
from tako.proxy.measured import Measured

START_FAULTS: tuple[StartFault, ...] = ("spawn_failed", "instance_dead")


@dataclass(frozen=True, slots=True)
class HostMeasured:
    """Everything that is published at one look."""

    proxy: Measured
    connections: int  # of clients, idle ones too
    proxy_restarts: int
    views: Mapping[DeploymentId, AppView]
    cold_starts: Mapping[DeploymentId, ColdStarts]
    passes: Mapping[tuple[str, str], int] = field(default_factory=dict)  # by reconciler and result
    pass_durations: Mapping[str, Distribution] = field(default_factory=dict)
    api_requests: Mapping[tuple[str, int], int] = field(default_factory=dict)  # by method and status code
    loop_lag: Distribution | None = None


def families(server: str, seen: HostMeasured) -> list[Metric]:
    """Return every family; each sample carries the label `server` first."""
    found = [
        *_requests(server, seen.proxy),
        *_cold_starts(server, seen.cold_starts),
        *_instances(server, seen.views),
        *_own(server, seen),
    ]
    for family in _process():
        family.samples = [sample._replace(labels={"server": server, **sample.labels}) for sample in family.samples]
        found.append(family)
    return found


def _requests(server: str, measured: Measured) -> Iterator[Metric]:
    apps, failures = measured.metrics.apps, measured.metrics.tls_failures
    requests = _counter("tako_http_requests", "Total proxied requests, by class of status.", "app", "status")
    active = _gauge("tako_http_active_connections", "Proxied requests in progress.", "app")
    for app in apps:
        for status, count in app.statuses.items():
            requests.add_metric([server, app.app, status], count)
        active.add_metric([server, app.app], app.active)
    tls = _counter("tako_tls_handshake_failures", "TLS handshakes that found no certificate but the default.", "reason")
    tls.add_metric([server, "no_sni"], failures.no_sni)
    tls.add_metric([server, "cert_missing"], failures.cert_missing)
    durations = _histogram("tako_http_request_duration_seconds", "Proxied requests from end to end.", "app")
    upstream = _histogram(
        "tako_upstream_request_duration_seconds",
        "From sending a request to an instance to the head of its response.",
        "app",
    )
    for app in apps:
        _add_latency(durations, [server, app.app], app.duration)
        _add_latency(upstream, [server, app.app], app.upstream)
    yield from (requests, durations, upstream, active, tls)


def _cold_starts(server: str, starts: Mapping[DeploymentId, ColdStarts]) -> Iterator[Metric]:
    total = _counter("tako_cold_starts", "Starts of an instance because a request waited.", "app")
    duration = _histogram("tako_cold_start_duration_seconds", "Duration of those starts, failed ones too.", "app")
    failures = _counter("tako_cold_start_failures", "Those that failed.", "app", "reason")
    for app, counted in starts.items():
        total.add_metric([server, str(app)], counted.begun)
        _add(duration, [server, str(app)], counted.durations)
        for reason in START_FAULTS:
            failures.add_metric([server, str(app), reason], counted.failures[reason])
    yield from (total, duration, failures)


def _instances(server: str, views: Mapping[DeploymentId, AppView]) -> Iterator[Metric]:
    health = _gauge("tako_instance_health", "1: healthy, 0: not.", "app", "instance")
    running = _gauge("tako_instances_running", "Processes of the app that exist.", "app")
    for app, view in views.items():
        running.add_metric([server, str(app)], len(view.instances))
        for one in view.instances:
            health.add_metric([server, str(app), one.id], 1 if one.state is InstanceState.HEALTHY else 0)
    yield from (health, running)


def _own(server: str, seen: HostMeasured) -> Iterator[Metric]:
    answers = _gauge(
        "tako_proxy_scrape_ok",
        "1: tako-proxyd was asked for this scrape; 0: it did not answer, and its counts are those it said last.",
    )
    answers.add_metric([server], int(seen.proxy.is_fresh))
    connections = _gauge("tako_proxy_connections", "Connections of clients, idle ones too.")
    connections.add_metric([server], seen.connections)
    restarts = _counter("tako_proxy_restarts", "Times tako-proxyd was started again after it ended.")
    restarts.add_metric([server], seen.proxy_restarts)
    passes = _counter("tako_reconciles", "Passes of the reconcilers, by how they ended.", "reconciler", "result")
    for (reconciler, result), count in seen.passes.items():
        passes.add_metric([server, reconciler, result], count)
    durations = _histogram("tako_reconcile_duration_seconds", "Duration of those passes.", "reconciler")
    for reconciler, distribution in seen.pass_durations.items():
        _add(durations, [server, reconciler], distribution)
    requests = _counter("tako_api_requests", "Requests to the resource API, watches once they end.", "method", "code")
    for (method, code), count in seen.api_requests.items():
        requests.add_metric([server, method, str(code)], count)
    lag = _histogram("tako_event_loop_lag_seconds", "How late tako-server's event loop comes to a timer.")
    if seen.loop_lag is not None:
        _add(lag, [server], seen.loop_lag)
    yield from (answers, connections, restarts, passes, durations, requests, lag)


def _process() -> Iterator[Metric]:
    """Memory, CPU and descriptors of tako-server, under the names that every dashboard knows."""
    # Without a registry of its own it would be added to the library's global one.
    return iter(ProcessCollector(registry=CollectorRegistry()).collect())


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, text, labels=["server", *labels])


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=["server", *labels])


def _histogram(name: str, text: str, *labels: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, text, labels=["server", *labels])


def _add_latency(family: HistogramMetricFamily, labels: list[str], seen: Histogram) -> None:
    _add(family, labels, Distribution(LATENCY_BOUNDS, list(seen.counts), seen.sum_us / 1e6))


def _add(family: HistogramMetricFamily, labels: list[str], seen: Distribution) -> None:
    buckets: list[tuple[str, float]] = []
    reached = 0
    for bound, count in zip((*map(str, seen.bounds), "+Inf"), seen.counts, strict=True):
        reached += count
        buckets.append((bound, reached))
    family.add_metric(labels, buckets, seen.sum_seconds)
