"""What to do next with the processes of one app: a pure function of what is wanted and what is seen.

:func:`next_steps` is called again after every change it causes and whenever a time it named has come, so it
never plans past a step whose outcome is unknown. It knows no process, no clock and no proxy; times are seconds
of one monotonic clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NewType

from tako.model.kinds import InstanceState
from tako.model.names import InstanceId

TemplateHash = NewType("TemplateHash", str)

# A process that dies after this long was running, not failing to start: it is replaced at once.
STEADY_SECONDS = 10.0
# Doubling from one second; long enough to spare the host, short enough that a mended cause is noticed.
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 60.0
# So many failures in a row of a new release while an old one serves end the rollout.
ATTEMPTS_BEFORE_ROLLBACK = 3

_STARTING = frozenset({InstanceState.STARTING, InstanceState.READY})
_LIVE = _STARTING | {InstanceState.HEALTHY, InstanceState.UNHEALTHY}


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the rollout is, in seconds."""

    startup: float = 30.0
    settle: float = 2.0
    drain: float = 30.0
    stop: float = 10.0
    idle: float = 300.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What should run. `template` None: nothing may run, everything is drained and stopped."""

    template: TemplateHash | None
    instances: int = 1
    timing: Timing = Timing()


@dataclass(frozen=True, slots=True)
class SeenInstance:
    """One process. `since` is when it entered its state, `healthy_since` when it last became healthy."""

    id: InstanceId
    template: TemplateHash
    state: InstanceState
    since: float
    healthy_since: float | None = None
    last_request_at: float | None = None
    in_flight: int = 0
    drained: bool = False
    retired: bool = False  # somebody asked for this one to go


@dataclass(frozen=True, slots=True)
class Seen:
    """What is there, and what happened to the wanted template before."""

    instances: tuple[SeenInstance, ...] = ()
    waiting: int = 0  # requests that wait for an instance
    settled: TemplateHash | None = None  # the last template that was rolled out completely
    failures: int = 0  # starts of the target in a row that came to nothing
    failed_at: float = 0.0
    given_up: TemplateHash | None = None  # a template that failed too often to be tried again


@dataclass(frozen=True, slots=True)
class Start:
    """Spawn one process of `template`."""

    template: TemplateHash


@dataclass(frozen=True, slots=True)
class Drain:
    """Take it out of routing and let its requests finish."""

    id: InstanceId


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM."""

    id: InstanceId


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL; `reason` is told when it was a fault of the instance."""

    id: InstanceId
    reason: Literal["ignored_sigterm", "startup_timeout"]


@dataclass(frozen=True, slots=True)
class Settle:
    """The template serves alone: remember it as the one to fall back to."""

    template: TemplateHash


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The template failed too often while another one serves; stay with that."""

    template: TemplateHash


@dataclass(frozen=True, slots=True)
class RefuseWaiters:
    """Nothing can be started now: those who wait are told."""


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Nothing else happens by itself: call again at `at`."""

    at: float


Step = Start | Drain | Stop | Kill | Settle | GiveUp | RefuseWaiters | LookAgain


def backoff_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row; the first is retried at once."""
    if failures <= 1:
        return 0.0
    return min(FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 2, 16), LONGEST_BACKOFF_SECONDS)


def target_of(wanted: Wanted, seen: Seen) -> TemplateHash | None:
    """Return the template to run: the wanted one, or after too many failures the last that worked."""
    if wanted.template is not None and wanted.template == seen.given_up and seen.settled is not None:
        return seen.settled
    return wanted.template


def next_steps(wanted: Wanted, seen: Seen, now: float) -> tuple[Step, ...]:
    """Return what to do now; empty means that the host agrees, or must first change by itself."""
    target = target_of(wanted, seen)
    ending = _end_what_is_going(wanted.timing, seen.instances, now)
    live = [i for i in seen.instances if i.state in _LIVE]
    if target is None:
        return (*ending, *(Drain(i.id) for i in live))
    retired = [i for i in live if i.retired]
    live = [i for i in live if not i.retired]
    ours = [i for i in live if i.template == target]
    others = [i for i in live if i.template != target]
    steps = _replace(wanted, seen, target, ours, others, now) if others else _keep(wanted, seen, target, ours, now)
    return (*ending, *steps, *_let_retired_go(retired, ours + others, _floor(wanted, seen, target)))


def _floor(wanted: Wanted, seen: Seen, target: TemplateHash) -> int:
    # A release that has not served yet is shown warm once, even when it may then sleep.
    return max(1, wanted.instances) if seen.settled != target else wanted.instances


def _end_what_is_going(timing: Timing, instances: Sequence[SeenInstance], now: float) -> list[Step]:
    steps: list[Step] = []
    for one in instances:
        if one.state is InstanceState.DRAINING:
            if one.drained or now >= one.since + timing.drain:
                steps.append(Stop(one.id))
            else:
                steps.append(LookAgain(one.since + timing.drain))
        elif one.state is InstanceState.STOPPING:
            if now >= one.since + timing.stop:
                steps.append(Kill(one.id, "ignored_sigterm"))
            else:
                steps.append(LookAgain(one.since + timing.stop))
        elif one.state in _STARTING:
            if now >= one.since + timing.startup:
                steps.append(Kill(one.id, "startup_timeout"))
            else:
                steps.append(LookAgain(one.since + timing.startup))
    return steps


def _let_retired_go(retired: Sequence[SeenInstance], rest: Sequence[SeenInstance], floor: int) -> list[Step]:
    healthy = sum(i.state is InstanceState.HEALTHY for i in rest)
    steps: list[Step] = []
    for one in retired:
        # Its replacement is started first (it is not counted any more), and serves before this one drains.
        if one.state is not InstanceState.HEALTHY or healthy >= floor:
            steps.append(Drain(one.id))
    return steps


def _replace(
    wanted: Wanted,
    seen: Seen,
    target: TemplateHash,
    ours: Sequence[SeenInstance],
    others: Sequence[SeenInstance],
    now: float,
) -> list[Step]:
    """One at a time: start, healthy, settled, then an old one may go. Never fewer ready than wanted."""
    if target == wanted.template and seen.failures >= ATTEMPTS_BEFORE_ROLLBACK and seen.settled not in (None, target):
        return [GiveUp(target)]
    floor = max(1, wanted.instances)
    settle = wanted.timing.settle
    settled = [i for i in ours if _settled(i, settle, now)]
    unsettled = [i for i in ours if i not in settled]
    serving = [i for i in others if i.state is InstanceState.HEALTHY]
    steps: list[Step] = []
    # What does not serve is no loss, but while the new one is unproven it may still recover.
    if settled:
        steps += [Drain(i.id) for i in others if i not in serving]
    spare = len(settled) + len(serving) - floor
    # The route moves before anything drains: the other order leaves a moment with no upstream.
    steps += [Drain(i.id) for i in _idlest(serving)[: max(0, spare)]]
    if unsettled:
        steps += [LookAgain(i.healthy_since + settle) for i in unsettled if i.healthy_since is not None]
    elif len(settled) < floor:
        steps += _start(1, seen, target, now)
    return steps


def _keep(wanted: Wanted, seen: Seen, target: TemplateHash, ours: Sequence[SeenInstance], now: float) -> list[Step]:
    floor = _floor(wanted, seen, target)
    steps: list[Step] = []
    healthy = [i for i in ours if i.state is InstanceState.HEALTHY]
    if seen.settled != target and len(healthy) >= floor:
        unproven = [i for i in healthy if not _settled(i, wanted.timing.settle, now)]
        # The very first release has nothing to be compared with: it serves, so it is the one to keep.
        if not unproven or seen.settled is None:
            steps.append(Settle(target))
        else:
            steps += [LookAgain((i.healthy_since or now) + wanted.timing.settle) for i in unproven]
    elif seen.settled not in (None, target) and target == wanted.template and seen.failures >= ATTEMPTS_BEFORE_ROLLBACK:
        return [GiveUp(target)]
    on_demand = 1 if seen.waiting and not healthy else 0
    missing = max(floor, on_demand) - len(ours)
    if missing > 0:
        steps += _start(missing, seen, target, now)
        if seen.waiting and not ours and not any(isinstance(s, Start) for s in steps):
            steps.append(RefuseWaiters())
    else:
        steps += _shrink(wanted, seen, floor, ours, now)
    return steps


def _shrink(wanted: Wanted, seen: Seen, floor: int, ours: Sequence[SeenInstance], now: float) -> list[Step]:
    excess = len(ours) - floor
    if excess <= 0:
        return []
    if wanted.instances > 0:
        starting = [i for i in ours if i.state is not InstanceState.HEALTHY]
        return [Drain(i.id) for i in (starting + _idlest([i for i in ours if i not in starting]))[:excess]]
    steps: list[Step] = []
    for one in _idlest([i for i in ours if i.state is InstanceState.HEALTHY])[:excess]:
        ends = _idle_since(one) + wanted.timing.idle
        if one.in_flight or seen.waiting:
            continue
        steps.append(Drain(one.id) if now >= ends else LookAgain(ends))
    return steps


def _start(count: int, seen: Seen, target: TemplateHash, now: float) -> list[Step]:
    due = seen.failed_at + backoff_seconds(seen.failures)
    if now < due:
        return [LookAgain(due)]
    # After a failure one at a time: a crash loop of ten is no better than of one.
    return [Start(target)] * (1 if seen.failures > 1 else count)


def _settled(one: SeenInstance, settle: float, now: float) -> bool:
    return one.state is InstanceState.HEALTHY and one.healthy_since is not None and now >= one.healthy_since + settle


def _idle_since(one: SeenInstance) -> float:
    return max(one.last_request_at or 0.0, one.healthy_since or one.since)


def _idlest(instances: Sequence[SeenInstance]) -> list[SeenInstance]:
    return sorted(instances, key=lambda i: (i.in_flight, _idle_since(i), i.id))
