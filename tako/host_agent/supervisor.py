"""Keeps the processes of one app as they are wanted: sees, plans with :mod:`rollout`, acts, at once.

Everything here runs on one event loop and a turn never awaits, so no two turns interleave. Resources are written
beside, by whoever listens to `changed`; nothing here waits for them.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Protocol

from tako.host_agent import rollout
from tako.host_agent.coldstarts import ColdStarts
from tako.host_agent.exits import ExitSeen
from tako.host_agent.life import Life
from tako.host_agent.processes import Running
from tako.host_agent.rollout import (
    STEADY_SECONDS,
    Drain,
    GiveUp,
    Kill,
    LookAgain,
    RefuseWaiters,
    Seen,
    Settle,
    Start,
    Step,
    Stop,
    TemplateHash,
    Timing,
    Wanted,
)
from tako.host_agent.template import Template
from tako.host_agent.views import AppView, FailureView
from tako.model.errors import TakoError
from tako.model.kinds import InstanceState
from tako.model.names import DeploymentId, InstanceId, ReleaseId

log = logging.getLogger(__name__)

LINES_KEPT = 20
DEFAULT_HEALTH_PATH = "/status"

Refusal = Literal["startup_failed", "startup_timeout", "unavailable"]


class Outlet(Protocol):
    """Where a supervisor's acts and news go."""

    def spawn(self, template: Template, restarts: int) -> Running:
        """Start a process of the template; TakoError when the host cannot."""

    def forget(self, app: DeploymentId, instance: InstanceId) -> None:
        """Drop what was recorded about a process that is gone."""

    def changed(self, app: DeploymentId) -> None:
        """Something about the app's processes is different."""

    def refuse(self, app: DeploymentId, reason: Refusal) -> None:
        """Tell those who wait for an instance that there will be none."""

    def settled(self, template: Template) -> None:
        """This template serves alone; it is the one to come back to, also after a restart."""

    def tell(self, app: DeploymentId, level: str, message: str, **fields: str | int | None) -> None:
        """Write a line of ours into the app's log."""


class Supervisor:
    """One app's processes."""

    def __init__(self, app: DeploymentId, outlet: Outlet, clock: Callable[[], float] = time.monotonic) -> None:
        self.app = app
        self.cold_starts = ColdStarts()
        self._outlet = outlet
        self._clock = clock
        self._lives: dict[InstanceId, Life] = {}
        self._templates: dict[TemplateHash, Template] = {}
        self._wanted = Wanted(None)
        self._known = False
        self._waiting = 0
        self._settled: TemplateHash | None = None
        self._given_up: TemplateHash | None = None
        self._failures = 0
        self._failed_at = 0.0
        self._retry_at: str | None = None
        self._last_failure: FailureView | None = None
        self._differs_since: str | None = None
        self._failing = False
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None

    # --- what is wanted -------------------------------------------------------------------------------------

    def want(self, template: Template | None, instances: int, timing: Timing) -> None:
        """Declare what should run; None drains everything. Saying the same again changes nothing."""
        wanted = Wanted(template.hash if template else None, instances, timing)
        if self._known and wanted == self._wanted:
            return
        if wanted.template != self._wanted.template:
            self._failures, self._retry_at, self._given_up, self._failing = 0, None, None, False
            if self._known:
                self._last_failure = None
            if wanted.template is None:
                self.cold_starts.abandon()
        if template is not None:
            self._templates[template.hash] = template
        self._wanted, self._known = wanted, True
        needed = {wanted.template, self._settled, *(life.template for life in self._lives.values())}
        self._templates = {name: known for name, known in self._templates.items() if name in needed}
        self.nudge()

    def rescale(self, instances: int, timing: Timing) -> None:
        """Run another number of what is wanted already, or of what served before a restart."""
        template = self._wanted.template or self._settled
        if template is not None:
            self.want(self._templates[template], instances, timing)

    def fall_back_on(self, template: Template) -> None:
        """Tell which template last served alone, as it was remembered before a restart."""
        self._templates[template.hash] = template
        self._settled = template.hash

    def adopt(self, running: Running) -> None:
        """Take over a process that an earlier server started."""
        self._begin(running).adopted()

    # --- what happens ---------------------------------------------------------------------------------------

    def wake(self, waiting: int) -> None:
        """Requests wait for an instance; spawn within this call when one is to be spawned."""
        self._waiting = waiting
        self._turn()

    def drained(self, instance: InstanceId) -> None:
        """Nothing is in flight to a draining instance any more."""
        if life := self._lives.get(instance):
            life.drained = True
            self.nudge()

    def used(self, instance: InstanceId, in_flight: int, idle_seconds: float, requests: int) -> None:
        """What the proxy counted for an instance."""
        if life := self._lives.get(instance):
            if life.used(in_flight, idle_seconds, requests):
                self._outlet.changed(self.app)
            if in_flight and self._waiting:
                self._waiting = 0

    def suspect(self, instance: InstanceId) -> None:
        """The proxy could not connect: look now, not at the next probe."""
        if life := self._lives.get(instance):
            life.look_now()

    def retire(self, instance: InstanceId) -> bool:
        """Replace this one; False when it does not exist (any more)."""
        life = self._lives.get(instance)
        if life is None:
            return False
        life.retired = True
        self.nudge()
        return True

    def nudge(self) -> None:
        """Plan soon; many nudges of one loop turn are one."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._turn)

    @property
    def empty(self) -> bool:
        return not self._lives

    def close(self) -> None:
        """Stop looking; the processes go on running."""
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()
        for life in self._lives.values():
            life.close()

    # --- view -----------------------------------------------------------------------------------------------

    def view(self) -> AppView:
        """Return what is seen, as a value."""
        settled = self._templates.get(self._settled) if self._settled else None
        wanted = self._templates[self._wanted.template] if self._wanted.template else None
        return AppView(
            app=self.app,
            instances=tuple(life.view() for life in self._lives.values()),
            wanted_template=self._wanted.template,
            wanted_release=wanted.release if wanted else None,
            target=rollout.target_of(self._wanted, self._seen()),
            settled=self._settled,
            settled_release=settled.release if settled else None,
            given_up=self._given_up is not None and self._given_up == self._wanted.template,
            failures=self._failures,
            failing=self._failing,
            retry_at=self._retry_at,
            last_failure=self._last_failure,
            differs_since=self._differs_since,
        )

    @property
    def wanted_instances(self) -> int:
        return self._wanted.instances if self._wanted.template else 0

    # --- planning and acting --------------------------------------------------------------------------------

    def _seen(self) -> Seen:
        return Seen(
            instances=tuple(life.seen() for life in self._lives.values()),
            waiting=self._waiting,
            settled=self._settled,
            failures=self._failures,
            failed_at=self._failed_at,
            given_up=self._given_up,
        )

    def _turn(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        if not self._known:
            return  # a process was adopted before its app was read: nothing may be decided about it yet
        if any(life.state is InstanceState.HEALTHY for life in self._lives.values()):
            self._serves()
        now = self._clock()
        steps = rollout.next_steps(self._wanted, self._seen(), now)
        acts = [step for step in steps if not isinstance(step, LookAgain)]
        for step in acts:
            self._act(step)
        self._note_difference(bool(acts))
        self._look_again([step.at for step in steps if isinstance(step, LookAgain)], now)
        if acts:
            self._outlet.changed(self.app)
            self.nudge()

    def _look_again(self, times: list[float], now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if times:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, min(times) - now), self._turn)

    def _note_difference(self, acting: bool) -> None:
        healthy = sum(life.state is InstanceState.HEALTHY for life in self._lives.values())
        settled = self._wanted.template == self._settled and not acting
        agrees = settled and healthy == len(self._lives) and healthy >= self.wanted_instances
        if agrees:
            self._differs_since, self._failing = None, False
        elif self._differs_since is None:
            self._differs_since = _now()

    def _act(self, step: Step) -> None:
        match step:
            case Start(template):
                self._start(self._templates[template])
            case Drain(name):
                self._lives[name].drain()
            case Stop(name):
                self._lives[name].stop()
            case Kill(name, reason):
                self._lives[name].kill(reason)
            case Settle(template):
                self._settled, self._failures, self._retry_at = template, 0, None
                self._outlet.settled(self._templates[template])
            case GiveUp(template):
                self._give_up(template)
            case RefuseWaiters():
                self._refuse("startup_failed")

    def _start(self, template: Template) -> None:
        if self._waiting and not self._wanted.instances:
            self.cold_starts.begin(self._clock())
        try:
            running = self._outlet.spawn(template, self._failures)
        except (TakoError, OSError) as error:
            self._failed(template, None, f"The process could not be started: {error}.", ExitSeen(None, None), ())
            return
        self._begin(running)

    def _begin(self, running: Running) -> Life:
        life = Life(running, self._clock, self._health_path, self._life_changed, self._life_ended)
        self._lives[life.id] = life
        life.begin()
        return life

    def _health_path(self, template: TemplateHash) -> str:
        # An adopted process may be of a template that nobody remembers; nearly every app has the default.
        known = self._templates.get(template)
        return known.health_path if known else DEFAULT_HEALTH_PATH

    def _give_up(self, template: TemplateHash) -> None:
        settled = self._templates[self._settled] if self._settled else None
        back = f"; release {settled.release} goes on serving" if settled else ""
        self._given_up, self._failures, self._retry_at = template, 0, None
        self._outlet.tell(self.app, "ERROR", f"Release {self._templates[template].release} was rolled back{back}")

    def _serves(self) -> None:
        self._waiting = 0
        self.cold_starts.succeed(self._clock())

    def _refuse(self, reason: Refusal) -> None:
        if self._waiting:
            self._waiting = 0
            self._outlet.refuse(self.app, reason)

    # --- what lives tell ------------------------------------------------------------------------------------

    def _life_changed(self, life: Life) -> None:
        if life.state is InstanceState.HEALTHY:
            self._serves()
        self._outlet.changed(self.app)
        self.nudge()

    def _life_ended(self, life: Life, seen: ExitSeen) -> None:
        del self._lives[life.id]
        last = tuple(life.last_output(LINES_KEPT))
        if life.state not in (InstanceState.DRAINING, InstanceState.STOPPING):
            template = self._templates.get(life.template)
            self._failed(template, life, life.account_for(seen), seen, last)
        self._outlet.forget(self.app, life.id)
        self._outlet.changed(self.app)
        self.nudge()

    def _failed(
        self,
        template: Template | None,
        life: Life | None,
        reason: str,
        seen: ExitSeen,
        last_output: tuple[str, ...],
    ) -> None:
        now = self._clock()
        steady = life is not None and life.healthy_since is not None and now - life.healthy_since >= STEADY_SECONDS
        self._last_failure = FailureView(
            id=life.id if life else InstanceId(""),
            release=template.release if template else ReleaseId(life.release if life else ""),
            template=template.hash if template else (life.template if life else TemplateHash("")),
            reason=reason,
            code=seen.code,
            signal=seen.signal,
            at=_now(),
            last_output=last_output,
            was_ready=life is not None and life.healthy_since is not None,
        )
        self._outlet.tell(self.app, "ERROR", reason, instance=life.id if life else None)
        target = rollout.target_of(self._wanted, self._seen())
        if template is None or template.hash != target:
            return  # an old one that dies while it is being replaced says nothing about the new one
        self._failing = True
        self._failures = 1 if steady else self._failures + 1
        self._failed_at = now
        wait = rollout.backoff_seconds(self._failures)
        self._retry_at = _now(wait) if wait else None
        if not (life and life.healthy_since):
            self.cold_starts.fail(now, "instance_dead" if life else "spawn_failed")
            self._refuse("startup_timeout" if life and life.timed_out else "startup_failed")


def _now(later: float = 0.0) -> str:
    return datetime.fromtimestamp(time.time() + later, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
