"""One run of one case against one proxy, and what idle connections cost."""

import contextlib
import time
from dataclasses import dataclass
from typing import Self

from bench.proxy import observe, sides
from bench.proxy.cases import Case
from bench.proxy.client import Connection, insecure
from bench.proxy.load import Load, NotUnderstood
from bench.proxy.probe import Probe
from bench.proxy.sides import Side

# After the figures are taken the load goes on for a moment, so that it surely covers them.
TAIL_SECONDS = 0.4
# Connections after which a proxy has what it allocates once.
WARM_UP = 20


@dataclass(frozen=True, slots=True)
class Sample:
    requests_per_second: float
    cpu_us_per_request: float
    p99_ms: float | None
    errors: int
    memory_bytes: int


def run(side: Side, case: Case, window_seconds: float) -> Sample:
    """Put the load on; raises `NotUnderstood` when the proxy cannot do what the case wants."""
    _check(side, case)
    with contextlib.ExitStack() as stack:
        probe = stack.enter_context(Probe(side.setting.port)) if case.is_probed else None
        load = stack.enter_context(Load(side, case, window_seconds + TAIL_SECONDS))
        began = _Moment.of(side) if case.is_whole else None
        _await_connections(side, case)
        began = began or _Moment.of(side)
        if probe:
            probe.begin()
        pause(side, window_seconds)
        memory = observe.memory_bytes(side.running.pids)
        ended = _Moment.of(side)
        p99_ms, errors = probe.end() if probe else (None, 0)
        seen = load.finish()
        if case.is_whole:
            ended = _Moment.of(side)
        requests = (
            round(seen.requests_per_second * (ended.at - began.at)) if case.is_whole else ended.count - began.count
        )
    return Sample(
        requests_per_second=requests / (ended.at - began.at),
        cpu_us_per_request=(ended.cpu_seconds - began.cpu_seconds) / max(requests, 1) * 1e6,
        p99_ms=p99_ms or seen.p99_ms,
        errors=errors + seen.errors,
        memory_bytes=memory,
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    at: float
    cpu_seconds: float
    count: int

    @classmethod
    def of(cls, side: Side) -> Self:
        return cls(time.monotonic(), observe.cpu_seconds(side.running.pids), side.answered())


def _check(side: Side, case: Case) -> None:
    _, body = sides.fetch(side, case.path)
    expected = sides.FILES.get(case.path)
    if expected is not None and len(body) != expected:
        raise NotUnderstood(f"{case.path} is not the file")


def _await_connections(side: Side, case: Case) -> None:
    if not case.is_awaited:
        return pause(side, case.ramp_seconds)
    end = time.monotonic() + case.ramp_seconds
    while time.monotonic() < end:
        pause(side, 1.0)
        if observe.asking(side.setting.port) >= case.connections:
            return None
    raise NotUnderstood(f"not all have connected after {case.ramp_seconds} s")


def pause(side: Side, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1.0))
        side.drop_records()


def idle_bytes(side: Side, count: int) -> float:
    """Return what a TLS connection occupies that has carried a request and waits for another."""
    context = insecure()
    with contextlib.ExitStack() as stack:
        for number in range(WARM_UP + count):
            if number == WARM_UP:
                before = observe.memory_bytes(side.running.pids)
            stack.enter_context(Connection(side.setting.port, context)).fetch("/")
        pause(side, 1.5)
        return (observe.memory_bytes(side.running.pids) - before) / count
