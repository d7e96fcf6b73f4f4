"""The planner: cases a person can read, then a seeded world that crashes, delays and reorders."""

import random
from dataclasses import dataclass, field, replace

import pytest

from tako.host_agent.rollout import (
    ATTEMPTS_BEFORE_ROLLBACK,
    Drain,
    GiveUp,
    Kill,
    LookAgain,
    RefuseWaiters,
    Seen,
    SeenInstance,
    Settle,
    Start,
    Step,
    Stop,
    TemplateHash,
    Timing,
    Wanted,
    next_steps,
)
from tako.model.kinds import InstanceState as State
from tako.model.names import InstanceId

OLD, NEW = TemplateHash("old"), TemplateHash("new")
NOW = 1000.0


def one(
    name: str, template: TemplateHash = NEW, state: State = State.HEALTHY, age: float = 100.0, **more: object
) -> SeenInstance:
    healthy = NOW - age if state is State.HEALTHY else None
    base = SeenInstance(InstanceId(name), template, state, since=NOW - age, healthy_since=healthy)
    return replace(base, **more)  # type: ignore[arg-type]


def acts(steps: tuple[Step, ...]) -> list[Step]:
    return [s for s in steps if not isinstance(s, LookAgain)]


def plan(wanted: int = 1, template: TemplateHash | None = NEW, **seen: object) -> list[Step]:
    return acts(next_steps(Wanted(template, wanted), Seen(**seen), NOW))  # type: ignore[arg-type]


def test_a_first_release_starts_all_its_instances_at_once() -> None:
    assert plan(3) == [Start(NEW)] * 3


def test_nothing_is_done_while_a_start_is_under_way() -> None:
    assert plan(1, instances=(one("a", state=State.STARTING, age=1),)) == []


def test_the_first_release_is_kept_as_soon_as_it_serves() -> None:
    assert plan(1, instances=(one("a", age=0),)) == [Settle(NEW)]


def test_a_settled_app_is_left_alone() -> None:
    assert plan(2, settled=NEW, instances=(one("a"), one("b"))) == []


def test_an_app_that_sleeps_is_shown_warm_once_after_a_release() -> None:
    assert plan(0) == [Start(NEW)]


def test_a_sleeping_app_starts_when_somebody_waits() -> None:
    assert plan(0, settled=NEW) == []
    assert plan(0, settled=NEW, waiting=3) == [Start(NEW)]


def test_an_idle_instance_of_a_sleeping_app_is_drained() -> None:
    assert plan(0, settled=NEW, instances=(one("a", age=299),)) == []
    assert plan(0, settled=NEW, instances=(one("a", age=301),)) == [Drain(InstanceId("a"))]


def test_an_instance_is_not_idle_while_it_serves() -> None:
    assert plan(0, settled=NEW, instances=(one("a", age=900, in_flight=1),)) == []
    assert plan(0, settled=NEW, instances=(one("a", age=900, last_request_at=NOW - 5),)) == []


def test_a_new_release_starts_one_beside_the_old_ones() -> None:
    old = tuple(one(n, OLD) for n in "abc")
    assert plan(3, settled=OLD, instances=old) == [Start(NEW)]


def test_an_old_instance_stays_until_the_new_one_has_settled() -> None:
    old = tuple(one(n, OLD) for n in "abc")
    assert plan(3, settled=OLD, instances=(*old, one("d", age=1.0))) == []
    assert plan(3, settled=OLD, instances=(*old, one("d", age=2.0))) == [Drain(InstanceId("a")), Start(NEW)]


def test_a_release_that_keeps_failing_is_given_up_and_the_old_one_serves_on() -> None:
    old = (one("a", OLD),)
    failures = ATTEMPTS_BEFORE_ROLLBACK
    assert plan(1, settled=OLD, instances=old, failures=failures, failed_at=NOW) == [GiveUp(NEW)]
    assert plan(1, settled=OLD, instances=old, given_up=NEW) == []


def test_after_giving_up_half_a_rollout_is_rolled_back_one_at_a_time() -> None:
    mixed = (one("a", OLD), one("b", NEW))
    assert plan(2, settled=OLD, instances=mixed, given_up=NEW) == [Start(OLD)]
    settled = (*mixed, one("c", OLD))
    assert plan(2, settled=OLD, instances=settled, given_up=NEW) == [Drain(InstanceId("b"))]


def test_a_crash_of_a_steady_instance_is_replaced_at_once() -> None:
    assert plan(2, settled=NEW, instances=(one("a"),), failures=1, failed_at=NOW) == [Start(NEW)]


def test_a_crash_loop_waits_and_tells_those_who_wait() -> None:
    assert plan(1, settled=NEW, failures=4, failed_at=NOW) == []
    assert plan(1, settled=NEW, failures=4, failed_at=NOW, waiting=2) == [RefuseWaiters()]
    assert next_steps(Wanted(NEW, 1), Seen(settled=NEW, failures=4, failed_at=NOW), NOW) == (LookAgain(NOW + 4.0),)


def test_an_explicit_scale_down_drains_the_idlest() -> None:
    three = (one("a", in_flight=3), one("b", in_flight=1), one("c", in_flight=2))
    assert plan(1, settled=NEW, instances=three) == [Drain(InstanceId("b")), Drain(InstanceId("c"))]


def test_drained_means_stopped_and_stubborn_means_killed() -> None:
    a = InstanceId("a")
    assert plan(0, settled=NEW, instances=(one("a", state=State.DRAINING, age=1, drained=True),)) == [Stop(a)]
    assert plan(0, settled=NEW, instances=(one("a", state=State.DRAINING, age=31),)) == [Stop(a)]
    assert plan(0, settled=NEW, instances=(one("a", state=State.STOPPING, age=11),)) == [Kill(a, "ignored_sigterm")]
    assert plan(1, instances=(one("a", state=State.STARTING, age=31),)) == [Kill(a, "startup_timeout")]


def test_nothing_wanted_drains_everything() -> None:
    assert plan(1, None, instances=(one("a"),)) == [Drain(InstanceId("a"))]


def test_a_retired_instance_goes_after_its_replacement_serves() -> None:
    leaving = one("a", retired=True)
    assert plan(1, settled=NEW, instances=(leaving,)) == [Start(NEW)]
    assert plan(1, settled=NEW, instances=(leaving, one("b"))) == [Drain(InstanceId("a"))]


@dataclass
class World:
    """A host in which anything may happen; `promised` is what the planner must not go below by its own acts."""

    random: random.Random
    wanted: Wanted
    bad: frozenset[TemplateHash] = frozenset()
    now: float = 0.0
    seen: Seen = field(default_factory=Seen)
    counter: int = 0
    trouble: bool = True
    log: list[str] = field(default_factory=list)

    def change(self, name: InstanceId, **values: object) -> None:
        self.seen = replace(
            self.seen,
            instances=tuple(replace(i, **values) if i.id == name else i for i in self.seen.instances),  # type: ignore[arg-type]
        )

    def remove(self, one: SeenInstance) -> None:
        self.seen = replace(self.seen, instances=tuple(i for i in self.seen.instances if i.id != one.id))

    def fail(self, one: SeenInstance) -> None:
        self.remove(one)
        steady = one.healthy_since is not None and self.now - one.healthy_since >= 10
        self.seen = replace(self.seen, failures=1 if steady else self.seen.failures + 1, failed_at=self.now)

    def healthy(self) -> int:
        return sum(i.state is State.HEALTHY for i in self.seen.instances)

    def act(self, step: Step) -> None:
        self.log.append(f"{self.now:.1f} {step}")
        match step:
            case Start(template):
                self.counter += 1
                born = SeenInstance(InstanceId(f"i{self.counter:04}"), template, State.STARTING, self.now)
                self.seen = replace(self.seen, instances=(*self.seen.instances, born))
            case Drain(name):
                was_healthy = any(i.id == name and i.state is State.HEALTHY for i in self.seen.instances)
                before = self.healthy()
                self.change(name, state=State.DRAINING, since=self.now)
                promised = self.wanted.instances if self.wanted.template else 0
                if was_healthy and promised:
                    assert self.healthy() >= min(promised, before), self.log[-20:]
                    assert self.healthy() >= promised, self.log[-20:]
            case Stop(name):
                self.change(name, state=State.STOPPING, since=self.now)
            case Kill(name):
                for victim in [i for i in self.seen.instances if i.id == name]:
                    if victim.state is State.STOPPING:
                        self.remove(victim)
                    else:
                        self.fail(victim)
            case Settle(template):
                self.seen = replace(self.seen, settled=template)
            case GiveUp(template):
                self.seen = replace(self.seen, given_up=template, failures=0)
            case RefuseWaiters():
                self.seen = replace(self.seen, waiting=0)

    def happen(self) -> None:
        """Let time pass and processes do what processes do, in any order."""
        self.now += self.random.choice([0.0, 0.1, 0.5, 1.0, 3.0])
        instances = list(self.seen.instances)
        self.random.shuffle(instances)
        for seen in instances:
            if self.random.random() < 0.3:
                continue  # delayed
            if self.trouble and self.random.random() < 0.05:
                self.fail(seen)
            elif seen.state in (State.STARTING, State.READY):
                if seen.template in self.bad:
                    self.fail(seen)
                elif not (self.trouble and self.random.random() < 0.1):
                    after = State.READY if seen.state is State.STARTING else State.HEALTHY
                    self.change(seen.id, state=after, healthy_since=self.now if after is State.HEALTHY else None)
            elif seen.state is State.DRAINING:
                self.change(seen.id, drained=True)
            elif seen.state is State.STOPPING and self.random.random() < 0.7:
                self.remove(seen)

    def turn(self) -> None:
        for step in next_steps(self.wanted, self.seen, self.now):
            # An act may be lost (the server died before it) and is then planned again.
            if not (self.trouble and self.random.random() < 0.1):
                self.act(step)
        if self.trouble and self.random.random() < 0.2:
            for step in next_steps(self.wanted, self.seen, self.now):  # a duplicate wake-up
                self.act(step)

    def calm(self) -> bool:
        """Nothing to do and nothing to wait for, but the idle timeout of these worlds (a billion seconds)."""
        steps = next_steps(self.wanted, self.seen, self.now)
        waits = all(isinstance(s, LookAgain) and s.at > self.now + 1e6 for s in steps)
        return waits and all(i.state is State.HEALTHY for i in self.seen.instances)

    def until_calm(self) -> None:
        quiet = 0
        for _ in range(2000):
            self.happen()
            self.turn()
            quiet = quiet + 1 if self.calm() else 0
            if quiet > 20:
                return
        raise AssertionError(f"never converged: {self.seen}\n" + "\n".join(self.log[-30:]))


def run_world(seed: int) -> tuple[Seen, list[str]]:
    rng = random.Random(seed)
    timing = Timing(settle=rng.choice([0.0, 2.0]), idle=1e9)
    world = World(rng, Wanted(OLD, rng.randint(0, 4), timing))
    for _ in range(rng.randint(5, 60)):
        world.happen()
        world.turn()
    world.trouble = False
    world.until_calm()
    assert world.seen.settled == OLD
    # A new release arrives; in a third of the worlds it can not start.
    bad = rng.random() < 0.33
    world.bad = frozenset({NEW}) if bad else frozenset()
    world.wanted = replace(world.wanted, template=NEW)
    world.seen = replace(world.seen, failures=0)
    world.trouble = rng.random() < 0.5 and not bad
    for _ in range(rng.randint(1, 40)):
        world.happen()
        world.turn()
    world.trouble = False
    world.until_calm()
    final = world.seen
    expected = {OLD} if bad or final.given_up == NEW else {NEW}
    floor = world.wanted.instances
    assert {i.template for i in final.instances} <= expected
    assert len(final.instances) >= floor
    if floor:
        assert len(final.instances) == floor
    # And when it is deleted nothing is left.
    world.wanted = replace(world.wanted, template=None)
    world.until_calm()
    assert world.seen.instances == ()
    return final, world.log


@pytest.mark.parametrize("block", range(10))
def test_every_seeded_world_converges_and_is_never_worse_on_the_way(block: int) -> None:
    for seed in range(block * 300, block * 300 + 300):
        run_world(seed)


def test_the_same_seed_tells_the_same_story() -> None:
    assert run_world(7) == run_world(7)
