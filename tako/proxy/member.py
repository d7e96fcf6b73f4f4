"""A proxy that serves us: its process, its connection when it has one, and what it said."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tako.model.control import Hello, InstanceStats, Metrics, Stats
from tako.proxy.control import Connection
from tako.proxy.delivery import Delivery
from tako.proxy.process import ProxyProcess
from tako.proxy.table import TableContent

FOR_EVER_MS = 2**53
InstanceKey = tuple[str, str]  # app, instance


@dataclass(slots=True, eq=False)
class Member:
    """Usually there is one; while a proxy is replaced, the old one finishes beside the new one."""

    process: ProxyProcess
    connection: Connection | None = None
    hello: Hello | None = None
    is_welcomed: bool = False
    # It accepts nothing any more, or is about to be told so, and ends with its last connection.
    is_finishing: bool = False
    # How long it may finish was said.
    has_deadline: bool = False
    delivery: Delivery = field(default_factory=Delivery)
    drained: set[InstanceKey] = field(default_factory=set)
    stats: Stats | None = None
    metrics: Metrics | None = None
    owes_metrics: bool = False

    @property
    def is_connected(self) -> bool:
        return self.connection is not None and self.connection.is_open


@dataclass(frozen=True, slots=True)
class ProxySeen:
    """What is seen of the data plane; `fault` says for a person why it is not well, or is empty."""

    pid: int | None
    version: str | None
    generation: int
    is_connected: bool
    restarts: int
    fault: str


def draining_in(content: TableContent) -> set[InstanceKey]:
    return {(app.app, found.instance) for app in content.apps for found in app.endpoints if found.state == "draining"}


def drained_by_all(members: Iterable[Member]) -> set[InstanceKey]:
    """Return the instances that no proxy has a request in flight to."""
    said = [member.drained for member in members]
    return set.intersection(*said) if said else set()


def merge_stats(parts: Iterable[Stats]) -> Stats:
    """Add up what several proxies count of the same instances."""
    merged: dict[InstanceKey, InstanceStats] = {}
    connections = 0
    for part in parts:
        connections += part.connections
        for found in part.instances:
            key = (found.app, found.instance)
            merged[key] = _add(merged[key], found) if key in merged else found
    return Stats(connections=connections, instances=tuple(merged[key] for key in sorted(merged)))


def ended_stats(stats: Stats) -> Stats:
    """Return what stays of a proxy's counts when it is gone: nothing is in flight in it, and how long is for others."""
    instances = tuple(one.model_copy(update={"in_flight": 0, "idle_ms": FOR_EVER_MS}) for one in stats.instances)
    return Stats(connections=0, instances=instances)


def _add(one: InstanceStats, other: InstanceStats) -> InstanceStats:
    return one.model_copy(
        update={
            "in_flight": one.in_flight + other.in_flight,
            "requests": one.requests + other.requests,
            "idle_ms": min(one.idle_ms, other.idle_ms),
        }
    )
