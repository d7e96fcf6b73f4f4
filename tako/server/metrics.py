"""What is seen of this host, as Prometheus metrics. Pure: values in, families out.

Names, labels and buckets of the first ten are the specification's; the others are tako-server's own.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import CollectorRegistry

from tako.host_agent.coldstarts import ColdStarts, StartFault
from tako.host_agent.views import AppView
from tako.model.control import LATENCY_BOUNDS, AppMetrics, Histogram
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
    found = [*_requests(seen.proxy), *_cold_starts(seen.cold_starts), *_instances(seen.views), *_own(seen), *_process()]
    for family in found:
        family.samples = [sample._replace(labels={"server": server, **sample.labels}) for sample in family.samples]
    return found


def _requests(measured: Measured) -> Iterator[Metric]:
    apps, failures = measured.metrics.apps, measured.metrics.tls_failures
    requests = CounterMetricFamily(
        "tako_http_requests", "Total proxied requests, by class of status.", labels=["app", "status"]
    )
    active = GaugeMetricFamily("tako_http_active_connections", "Proxied requests in progress.", labels=["app"])
    for app in apps:
        for status, count in app.statuses.items():
            requests.add_metric([app.app, status], count)
        active.add_metric([app.app], app.active)
    tls = CounterMetricFamily(
        "tako_tls_handshake_failures", "TLS handshakes that found no certificate but the default.", labels=["reason"]
    )
    tls.add_metric(["no_sni"], failures.no_sni)
    tls.add_metric(["cert_missing"], failures.cert_missing)
    yield requests
    yield _latency("tako_http_request_duration_seconds", "Proxied requests from end to end.", apps, "duration")
    yield _latency(
        "tako_upstream_request_duration_seconds",
        "From sending a request to an instance to the head of its response.",
        apps,
        "upstream",
    )
    yield active
    yield tls


def _latency(name: str, text: str, apps: Iterable[AppMetrics], of: str) -> Metric:
    family = HistogramMetricFamily(name, text, labels=["app"])
    for app in apps:
        histogram: Histogram = getattr(app, of)
        _add(family, [app.app], LATENCY_BOUNDS, histogram.counts, histogram.sum_us / 1e6)
    return family


def _cold_starts(starts: Mapping[DeploymentId, ColdStarts]) -> Iterator[Metric]:
    total = CounterMetricFamily("tako_cold_starts", "Starts of an instance because a request waited.", labels=["app"])
    duration = HistogramMetricFamily(
        "tako_cold_start_duration_seconds", "Duration of those starts, failed ones too.", labels=["app"]
    )
    failures = CounterMetricFamily("tako_cold_start_failures", "Those that failed.", labels=["app", "reason"])
    for app, counted in starts.items():
        total.add_metric([str(app)], counted.begun)
        _add_distribution(duration, [str(app)], counted.durations)
        for reason in START_FAULTS:
            failures.add_metric([str(app), reason], counted.failures[reason])
    yield from (total, duration, failures)


def _instances(views: Mapping[DeploymentId, AppView]) -> Iterator[Metric]:
    health = GaugeMetricFamily("tako_instance_health", "1: healthy, 0: not.", labels=["app", "instance"])
    running = GaugeMetricFamily("tako_instances_running", "Processes of the app that exist.", labels=["app"])
    for app, view in views.items():
        running.add_metric([str(app)], len(view.instances))
        for one in view.instances:
            health.add_metric([str(app), one.id], 1 if one.state is InstanceState.HEALTHY else 0)
    yield from (health, running)


def _own(seen: HostMeasured) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "tako_proxy_scrape_ok",
        "1: tako-proxyd was asked for this scrape; 0: it did not answer, and its counts are those it said last.",
        value=int(seen.proxy.is_fresh),
    )
    yield GaugeMetricFamily("tako_proxy_connections", "Connections of clients, idle ones too.", value=seen.connections)
    yield CounterMetricFamily(
        "tako_proxy_restarts", "Times tako-proxyd was started again after it ended.", value=seen.proxy_restarts
    )
    passes = CounterMetricFamily(
        "tako_reconciles", "Passes of the reconcilers, by how they ended.", labels=["reconciler", "result"]
    )
    for (reconciler, result), count in seen.passes.items():
        passes.add_metric([reconciler, result], count)
    durations = HistogramMetricFamily(
        "tako_reconcile_duration_seconds", "Duration of those passes.", labels=["reconciler"]
    )
    for reconciler, distribution in seen.pass_durations.items():
        _add_distribution(durations, [reconciler], distribution)
    requests = CounterMetricFamily(
        "tako_api_requests", "Requests to the resource API, watches once they end.", labels=["method", "code"]
    )
    for (method, code), count in seen.api_requests.items():
        requests.add_metric([method, str(code)], count)
    yield from (passes, durations, requests)
    if seen.loop_lag is not None:
        lag = HistogramMetricFamily(
            "tako_event_loop_lag_seconds", "How late tako-server's event loop comes to a timer.", labels=[]
        )
        _add_distribution(lag, [], seen.loop_lag)
        yield lag


def _process() -> Iterator[Metric]:
    """Memory, CPU and descriptors of tako-server, under the names that every dashboard knows."""
    # Without a registry of its own it would be added to the library's global one.
    return iter(ProcessCollector(registry=CollectorRegistry()).collect())


def _add_distribution(family: HistogramMetricFamily, labels: list[str], seen: Distribution) -> None:
    _add(family, labels, seen.bounds, seen.counts, seen.sum_seconds)


def _add(
    family: HistogramMetricFamily,
    labels: list[str],
    bounds: Iterable[float],
    counts: Iterable[int],
    sum_seconds: float,
) -> None:
    buckets: list[tuple[str, float]] = []
    reached = 0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        reached += count
        buckets.append((bound, reached))
    family.add_metric(labels, buckets, sum_seconds)
