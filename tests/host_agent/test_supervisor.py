"""The host agent with real processes: what is wanted comes to run, stays so, and is told when it cannot."""

import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tako.host_agent import life
from tako.host_agent.agent import HostAgent
from tako.host_agent.applog import AppLogs
from tako.host_agent.isolation import IsolationMode, detect
from tako.host_agent.layout import Layout
from tako.host_agent.processes import Processes
from tako.host_agent.rollout import Timing
from tako.host_agent.template import Template
from tako.host_agent.views import AppView, InstanceView
from tako.model.kinds import InstanceState
from tako.model.names import DeploymentId, ReleaseId
from tests.host_agent.world import APP, gone, until

SERVE = Path(__file__).parents[2] / "e2e" / "apps" / "serve.py"
INTERPRETER = str(Path(sys.executable).resolve())
QUICK = Timing(startup=10.0, settle=0.1, drain=5.0, stop=5.0, idle=300.0)


class Server:
    """A host agent, what it said, and the means to replace it by a second one."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.refused: list[tuple[DeploymentId, str]] = []
        self.views: list[AppView] = []  # one for each change
        self.begin()

    def begin(self) -> None:
        self.processes = Processes(self.layout)
        self.agent = HostAgent(
            self.layout,
            self.processes,
            AppLogs(self.layout),
            detect(IsolationMode.OFF),
            changed=self._changed,
            refuse=lambda app, reason: self.refused.append((app, reason)),
        )
        self.agent.adopt()

    def _changed(self, app: DeploymentId) -> None:
        self.views.append(self.agent.view(app))
        for one in self.views[-1].instances:
            if one.state is InstanceState.DRAINING:
                self.agent.drained(app, one.id)  # the proxy's word: nothing is in flight here

    def end(self) -> None:
        self.agent.close()
        self.agent.logs.close()
        self.processes.close()

    @property
    def view(self) -> AppView:
        return self.agent.view(APP)

    @property
    def healthy(self) -> tuple[InstanceView, ...]:
        return self.view.healthy

    def pids(self) -> set[int]:
        return {one.pid for one in self.view.instances}

    def want(self, template: Template, instances: int = 1, timing: Timing = QUICK) -> None:
        self.agent.want(APP, template, instances, timing)

    async def reach(self, template: Template, instances: int = 1, timing: Timing = QUICK) -> None:
        """Want it and wait until exactly that runs and nothing is left to do."""
        self.agent.want(APP, template, instances, timing)
        await until(lambda: self.calm(template, instances), 20)

    def calm(self, template: Template, instances: int) -> bool:
        view = self.view
        right = [one for one in view.healthy if one.template == template.hash]
        return (
            len(right) == len(view.instances) == instances
            and view.settled == template.hash
            and view.differs_since is None
        )


@pytest.fixture
async def server(layout: Layout) -> AsyncIterator[Server]:
    server = Server(layout)
    yield server
    server.end()


Release = Callable[..., Template]


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """Make a release of the test application; keywords are its environment."""

    def make(version: str = "v1", **env: str) -> Template:
        path = tmp_path / "releases" / version
        path.mkdir(parents=True, exist_ok=True)
        if not (path / "serve.py").exists():  # it may be asked for again while an instance reads it
            shutil.copy(SERVE, path / "serve.py")
        return Template(
            app=APP,
            release=ReleaseId(version),
            path=str(path),
            main="serve.py",
            start=(INTERPRETER, "-I", "-S", "{main}"),
            env=env,
        )

    return make


# --- starting and healing ---------------------------------------------------------------------------------------


async def test_what_is_wanted_is_started_and_becomes_healthy(server: Server, release: Release) -> None:
    await server.reach(release(), 2)
    assert len({one.port for one in server.healthy}) == 2
    assert server.view.last_failure is None


async def test_wanting_the_same_again_changes_nothing(server: Server, release: Release) -> None:
    await server.reach(release(), 2)
    seen, changes = server.view, len(server.views)
    server.agent.want(APP, release(), 2, QUICK)
    await until(lambda: server.view.differs_since is None)
    assert (server.view, len(server.views)) == (seen, changes)


async def test_a_killed_instance_is_replaced_at_once_and_the_other_is_left_alone(
    server: Server, release: Release
) -> None:
    await server.reach(release(), 2)
    victim, other = server.healthy
    os.kill(victim.pid, signal.SIGKILL)
    await until(lambda: server.view.last_failure is not None and server.calm(release(), 2))
    assert other.pid in server.pids() and victim.pid not in server.pids()
    failure = server.view.last_failure
    assert failure is not None and failure.signal == "SIGKILL" and failure.was_ready


async def test_a_crash_loop_backs_off_and_tells_code_and_last_output(server: Server, release: Release) -> None:
    server.want(release(MODE="exit"))
    await until(lambda: server.view.failures >= 2)
    view = server.view
    assert view.retry_at is not None and view.last_failure is not None
    assert view.last_failure.code == 3 and "cannot reach the database" in "\n".join(view.last_failure.last_output)
    assert "exited with 3" in view.last_failure.reason and "before it reported a port" in view.last_failure.reason


async def test_those_who_wait_for_an_app_that_crashes_are_refused(server: Server, release: Release) -> None:
    server.want(release(MODE="exit"), 0)
    server.agent.wake(APP, 3)
    await until(lambda: server.refused)
    assert server.refused[0] == (APP, "startup_failed")


async def test_those_who_come_while_it_backs_off_are_refused_without_a_start(server: Server, release: Release) -> None:
    server.want(release(MODE="exit"))
    await until(lambda: server.view.failures >= 3 and not server.view.instances)
    server.agent.wake(APP, 1)
    assert server.refused == [(APP, "startup_failed")] and not server.view.instances


@pytest.mark.parametrize(
    ("mode", "told"),
    [("hang", "did not report a port"), ("silent", "did not report a port"), ("wrong-port", "was not healthy within")],
)
async def test_an_app_that_does_not_come_up_in_time_is_stopped_and_told(
    server: Server, release: Release, mode: str, told: str
) -> None:
    server.want(release(MODE=mode), 1, replace(QUICK, startup=0.5))
    await until(lambda: server.view.last_failure is not None)
    assert server.view.last_failure is not None and told in server.view.last_failure.reason


async def test_an_app_that_answers_500_never_becomes_healthy(server: Server, release: Release) -> None:
    server.want(release(MODE="unwell"), 1, replace(QUICK, startup=0.6))
    await until(lambda: server.view.last_failure is not None)
    assert not any(view.healthy for view in server.views)
    failure = server.view.last_failure
    assert failure is not None and "500" in failure.reason and not failure.was_ready


async def test_a_waiter_is_refused_as_too_late_when_the_start_takes_too_long(server: Server, release: Release) -> None:
    server.want(release(MODE="hang"), 0, replace(QUICK, startup=0.4))
    server.agent.wake(APP, 1)
    await until(lambda: server.refused)
    assert server.refused == [(APP, "startup_timeout")]


async def test_a_missing_directory_is_told_and_mended_when_it_comes_back(server: Server, release: Release) -> None:
    template = release()
    away = Path(template.path).with_name("away")
    Path(template.path).rename(away)
    server.want(template)
    await until(lambda: server.view.last_failure is not None)
    assert server.view.last_failure is not None and "does not exist" in server.view.last_failure.reason
    away.rename(template.path)
    await until(lambda: server.calm(template, 1))


async def test_an_instance_that_hangs_later_is_replaced(server: Server, release: Release) -> None:
    await server.reach(release())
    (stuck,) = server.healthy
    os.kill(stuck.pid, signal.SIGSTOP)
    await until(lambda: gone(stuck.pid) and server.calm(release(), 1), 30)
    assert server.view.last_failure is not None and "probes in a row" in server.view.last_failure.reason


# --- rollout ----------------------------------------------------------------------------------------------------


async def test_a_new_release_replaces_the_old_one_by_one_and_serves_throughout(
    server: Server, release: Release
) -> None:
    await server.reach(release("v1"), 3)
    server.views.clear()
    await server.reach(release("v2"), 3)
    assert all(len(view.healthy) >= 3 for view in server.views)
    assert all(len(view.instances) <= 5 for view in server.views)  # one more, and one that is going
    assert {one.release for one in server.healthy} == {"v2"}
    assert (server.layout.app(APP).current).readlink().name == "v2"


async def test_an_old_instance_is_not_drained_before_the_new_one_has_settled(server: Server, release: Release) -> None:
    await server.reach(release("v1"))
    (old,) = server.healthy
    drained_at: list[float] = []
    healthy_at: list[float] = []
    server.agent.want(APP, release("v2"), 1, replace(QUICK, settle=0.6))

    def watch() -> bool:
        states = {one.id: one.state for one in server.view.instances}
        if not healthy_at and any(one.release == "v2" for one in server.healthy):
            healthy_at.append(time.monotonic())
        if not drained_at and states.get(old.id) is not InstanceState.HEALTHY:
            drained_at.append(time.monotonic())
        return bool(drained_at)

    await until(watch)
    assert drained_at[0] - healthy_at[0] >= 0.55


async def test_a_release_that_crashes_three_times_is_given_up_and_the_old_one_is_not_touched(
    server: Server, release: Release
) -> None:
    await server.reach(release("v1"), 2)
    pids = server.pids()
    server.views.clear()
    server.want(release("v2", MODE="exit"), 2)
    await until(lambda: server.view.given_up, 20)
    assert {one.pid for one in server.healthy} == pids
    assert all({one.pid for one in view.healthy} == pids for view in server.views)
    assert server.view.target == server.view.settled == release("v1").hash
    assert server.view.last_failure is not None and server.view.last_failure.release == "v2"


async def test_after_a_rollback_a_killed_instance_is_replaced_by_the_old_release(
    server: Server, release: Release
) -> None:
    await server.reach(release("v1"))
    server.want(release("v2", MODE="exit"))
    await until(lambda: server.view.given_up, 20)
    (old,) = server.healthy
    os.kill(old.pid, signal.SIGKILL)
    await until(lambda: server.healthy and server.healthy[0].pid != old.pid)
    assert server.healthy[0].release == "v1"


async def test_a_release_after_a_rolled_back_one_is_rolled_out(server: Server, release: Release) -> None:
    await server.reach(release("v1"))
    server.want(release("v2", MODE="exit"))
    await until(lambda: server.view.given_up, 20)
    await server.reach(release("v3"))
    assert not server.view.given_up


# --- scale ------------------------------------------------------------------------------------------------------


async def test_scaling_up_starts_only_what_is_missing_and_down_keeps_who_stays(
    server: Server, release: Release
) -> None:
    await server.reach(release(), 1)
    first = server.pids()
    await server.reach(release(), 3)
    assert first < server.pids()
    three = server.pids()
    await server.reach(release(), 2)
    assert server.pids() < three


async def test_an_idle_app_goes_to_zero_and_a_request_wakes_it_within_the_call(
    server: Server, release: Release
) -> None:
    timing = replace(QUICK, idle=0.3)
    server.agent.want(APP, release(), 0, timing)
    await until(lambda: server.healthy)  # a new release is shown warm once
    await until(lambda: not server.view.instances)
    assert server.view.last_failure is None
    server.agent.wake(APP, 1)
    assert [one.state for one in server.view.instances] == [InstanceState.STARTING]
    await until(lambda: server.healthy)
    assert server.refused == []


async def test_a_start_by_a_request_is_counted_and_timed_and_one_by_declaration_is_not(
    server: Server, release: Release
) -> None:
    template = release()
    await server.reach(template)
    counted = server.agent.cold_starts()[APP]
    await server.reach(template, 0, replace(QUICK, idle=0.1))
    await until(lambda: not server.view.instances)
    assert counted.begun == 0
    for _ in range(3):
        server.agent.wake(APP, 1)
    await until(lambda: server.healthy)
    assert (counted.begun, counted.durations.total, counted.failures) == (1, 1, {})
    assert counted.durations.sum_seconds > 0


@pytest.mark.parametrize("reason", ["spawn_failed", "instance_dead"])
async def test_a_start_by_a_request_that_fails_is_counted_with_its_reason(
    server: Server, release: Release, reason: str
) -> None:
    template = release()
    await server.reach(template)
    await server.reach(template, 0, replace(QUICK, idle=0.1))
    await until(lambda: not server.view.instances)
    if reason == "spawn_failed":
        Path(template.path).rename(Path(template.path).with_name("away"))
    else:
        (Path(template.path) / "serve.py").write_text("raise SystemExit(1)")
    server.agent.wake(APP, 1)
    await until(lambda: server.refused)
    counted = server.agent.cold_starts()[APP]
    assert (counted.begun, counted.durations.total, counted.failures) == (1, 1, {reason: 1})


async def test_an_app_that_is_used_does_not_go_to_sleep(server: Server, release: Release) -> None:
    server.agent.want(APP, release(), 0, replace(QUICK, idle=0.3))
    await until(lambda: server.healthy)
    (one,) = server.healthy
    server.agent.used(APP, one.id, 1, 0.0, 1)
    ends = time.monotonic() + 0.8
    await until(lambda: time.monotonic() > ends or not server.healthy)
    assert server.healthy


async def test_requests_are_told_now_and_then_and_not_each_time_they_are_counted(
    server: Server, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.reach(release())
    (one,) = server.healthy
    assert (one.requests, one.last_request) == (0, None)
    told = len(server.views)
    for count in range(1, 50):
        server.agent.used(APP, one.id, 1, 0.0, count)
    assert len(server.views) == told and server.healthy[0].requests == 0
    monkeypatch.setattr(life, "USE_TOLD_EVERY_SECONDS", 0.0)
    server.agent.used(APP, one.id, 0, 0.0, 50)
    assert len(server.views) == told + 1
    assert server.healthy[0].requests == 50 and server.healthy[0].last_request is not None
    server.agent.used(APP, one.id, 0, 10.0, 50)
    assert len(server.views) == told + 1, "nothing has changed"


async def test_requests_of_an_adopted_instance_are_unknown_until_the_proxy_tells(
    server: Server, release: Release
) -> None:
    template = release()
    await server.reach(template)
    server.end()
    server.begin()
    assert [one.requests for one in server.view.instances] == [None]
    server.want(template)
    await until(lambda: server.calm(template, 1))


async def test_many_wakes_of_one_app_start_one_instance(server: Server, release: Release) -> None:
    server.agent.want(APP, release(), 0, replace(QUICK, idle=0.1))
    await until(lambda: server.view.settled is not None and not server.view.instances)
    for waiting in range(1, 20):
        server.agent.wake(APP, waiting)
    assert len(server.view.instances) == 1
    await until(lambda: server.healthy)


async def test_wanting_nothing_stops_everything(server: Server, release: Release) -> None:
    await server.reach(release(), 2)
    pids = server.pids()
    server.agent.want(APP, None, 0, QUICK)
    await server.agent.until_empty(APP)
    assert all(gone(pid) for pid in pids) and server.view.last_failure is None


async def test_an_app_that_ignores_sigterm_is_killed_after_its_time(server: Server, release: Release) -> None:
    template = release()
    path = Path(template.path) / "serve.py"
    path.write_text(path.read_text().replace("lambda *_: os._exit(0)", "signal.SIG_IGN"))
    await server.reach(template)
    (one,) = server.healthy
    server.agent.want(APP, None, 0, replace(QUICK, stop=0.3))
    await server.agent.until_empty(APP)
    assert gone(one.pid)


async def test_a_retired_instance_is_replaced_before_it_goes(server: Server, release: Release) -> None:
    await server.reach(release())
    (old,) = server.healthy
    server.views.clear()
    assert server.agent.retire(APP, old.id)
    await server.agent.until_gone(APP, old.id)
    await until(lambda: server.calm(release(), 1))
    assert all(view.healthy for view in server.views)
    assert server.healthy[0].pid != old.pid and server.view.last_failure is None


# --- a server that comes after another ---------------------------------------------------------------------------


async def test_a_second_server_adopts_every_instance_and_starts_or_signals_nothing(
    server: Server, release: Release
) -> None:
    await server.reach(release(), 2)
    before = {(one.id, one.pid, one.start_ticks, one.port) for one in server.healthy}
    server.end()
    server.begin()
    await server.reach(release(), 2)
    assert {(one.id, one.pid, one.start_ticks, one.port) for one in server.healthy} == before
    assert server.view.last_failure is None


async def test_a_second_server_replaces_what_died_in_between(server: Server, release: Release) -> None:
    await server.reach(release(), 2)
    victim, other = server.healthy
    server.end()
    os.kill(victim.pid, signal.SIGKILL)
    await until(lambda: gone(victim.pid))
    server.begin()
    await server.reach(release(), 2)
    assert other.pid in server.pids() and victim.pid not in server.pids()


async def test_a_second_server_falls_back_on_the_release_that_served_before_it(
    server: Server, release: Release
) -> None:
    await server.reach(release("v1"))
    pids = server.pids()
    server.end()
    server.begin()
    server.want(release("v2", MODE="exit"))
    await until(lambda: server.view.given_up, 20)
    assert {one.pid for one in server.healthy} == pids and server.view.settled_release == "v1"


async def test_a_second_server_finishes_a_rollout_that_the_first_began(server: Server, release: Release) -> None:
    await server.reach(release("v1"), 2)
    server.agent.want(APP, release("v2"), 2, QUICK)
    await until(lambda: any(one.release == "v2" for one in server.healthy))
    server.end()
    server.begin()
    server.views.clear()
    await server.reach(release("v2"), 2)
    assert all(len(view.healthy) >= 2 for view in server.views)


async def test_instances_of_an_undeclared_app_are_stopped(server: Server, release: Release) -> None:
    await server.reach(release())
    (one,) = server.healthy
    server.end()
    server.begin()
    server.agent.retire_undeclared([])
    await server.agent.until_empty(APP)
    assert gone(one.pid)
