"""What several proxies count, as one: those that run, and those that have ended since this server began. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

from tako.model.control import AppMetrics, Histogram, Metrics, TlsFailures

NOTHING = Metrics(tls_failures=TlsFailures(no_sni=0, cert_missing=0))


@dataclass(frozen=True, slots=True)
class Measured:
    """`is_fresh` says that every proxy that runs was asked and has answered; otherwise it is what they said last."""

    metrics: Metrics
    is_fresh: bool


def sum_metrics(parts: Iterable[Metrics]) -> Metrics:
    """Add up what several proxies counted of the same apps."""
    apps: dict[str, AppMetrics] = {}
    no_sni = cert_missing = 0
    for part in parts:
        no_sni += part.tls_failures.no_sni
        cert_missing += part.tls_failures.cert_missing
        for found in part.apps:
            apps[found.app] = _add(apps[found.app], found) if found.app in apps else found
    failures = TlsFailures(no_sni=no_sni, cert_missing=cert_missing)
    return Metrics(apps=tuple(apps[name] for name in sorted(apps)), tls_failures=failures)


def ended(metrics: Metrics) -> Metrics:
    """Return what stays of a proxy's counts when it is gone: nothing is in progress in it."""
    return metrics.model_copy(update={"apps": tuple(app.model_copy(update={"active": 0}) for app in metrics.apps)})


def only(metrics: Metrics, apps: Iterable[str]) -> Metrics:
    """Leave out apps that are not there any more; else the counts of every app there ever was would be kept."""
    known = set(apps)
    return metrics.model_copy(update={"apps": tuple(app for app in metrics.apps if app.app in known)})


def _add(one: AppMetrics, other: AppMetrics) -> AppMetrics:
    classes = sorted({*one.statuses, *other.statuses})
    return AppMetrics(
        app=one.app,
        statuses={name: one.statuses.get(name, 0) + other.statuses.get(name, 0) for name in classes},
        duration=_add_histograms(one.duration, other.duration),
        upstream=_add_histograms(one.upstream, other.upstream),
        active=one.active + other.active,
    )


def _add_histograms(one: Histogram, other: Histogram) -> Histogram:
    counts = tuple(a + b for a, b in zip_longest(one.counts, other.counts, fillvalue=0))
    return Histogram(counts=counts, sum_us=one.sum_us + other.sum_us)
