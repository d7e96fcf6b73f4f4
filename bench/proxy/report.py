"""From samples to the tables of docs/benchmarks.md; pure."""

import statistics
from collections.abc import Mapping, Sequence

from bench.proxy.cases import Case
from bench.proxy.contenders import NGINX
from bench.proxy.measure import Sample
from bench.table import Table

COLUMNS = ("proxy", "requests/s", "× nginx", "CPU per request", "× nginx's", "p99", "errors", "memory")
# What each proxy gave in one round; one that cannot do the case is not in it.
Round = Mapping[str, Sample]


def table(case: Case, rounds: Sequence[Round], names: Sequence[str]) -> Table:
    """Return a case's table, a row for each proxy in the order of `names`."""
    note = f"{case.generator.value}; median of {len(rounds)} rounds."
    return Table(case.title, note, COLUMNS, tuple(_row(name, rounds) for name in names))


def _row(name: str, rounds: Sequence[Round]) -> tuple[str, ...]:
    samples = [each[name] for each in rounds if name in each]
    if not samples:
        return (name, *["–"] * (len(COLUMNS) - 1))
    p99 = [sample.p99_ms for sample in samples if sample.p99_ms is not None]
    return (
        name,
        f"{statistics.median(sample.requests_per_second for sample in samples):,.0f}",
        _times([_rate(each[name]) / _rate(each[NGINX.name]) for each in rounds if {name, NGINX.name} <= each.keys()]),
        f"{statistics.median(sample.cpu_us_per_request for sample in samples):.1f} µs",
        _times([_cpu(each[name]) / _cpu(each[NGINX.name]) for each in rounds if {name, NGINX.name} <= each.keys()]),
        f"{statistics.median(p99):.1f} ms" if p99 else "–",
        f"{sum(sample.errors for sample in samples):,}",
        f"{statistics.median(sample.memory_bytes for sample in samples) / 2**20:,.0f} MiB",
    )


def _rate(sample: Sample) -> float:
    return sample.requests_per_second or float("nan")


def _cpu(sample: Sample) -> float:
    return sample.cpu_us_per_request or float("nan")


def _times(ratios: Sequence[float]) -> str:
    """The median of the ratios within a round: what slows a whole round down is in both its figures."""
    return f"{statistics.median(ratios):.2f}" if ratios else "–"


def idle_table(count: int, bytes_by_name: Mapping[str, float]) -> Table:
    return Table(
        "Memory of an idle TLS connection",
        f"{count:,} connections, each of which has carried a request and waits for another: what the proxy's memory "
        "grew by, divided by their number. The kernel's part is not in it.",
        ("proxy", "for each connection"),
        tuple((name, f"{size / 1000:.1f} kB") for name, size in bytes_by_name.items()),
    )
