"""How a process is confined: the launcher's command line, and what it comes to on this host."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tako.host_agent.isolation import (
    AppUser,
    Confinement,
    Isolation,
    IsolationMode,
    app_user,
    confine,
    detect,
    user_name,
)
from tako.host_agent.launch import launcher
from tako.host_agent.layout import Layout
from tako.host_agent.processes import Processes
from tako.model.kinds.app import Limits
from tako.model.names import DeploymentId
from tests.host_agent.world import order_of

USER = AppUser("tako-x", 4001, 4002, (4003, 4004))


def launched(layout: Layout, **confinement: object) -> tuple[str, tuple[str, ...]]:
    order = order_of(layout, "", argv=("app",), cwd=Path("/rel"), confinement=Confinement(**confinement))  # type: ignore[arg-type]
    shell, option, script, *rest = launcher(order)
    assert (shell, option, rest[0]) == ("/bin/sh", "-c", "tako-launch")
    return script, tuple(rest[1:])


def test_without_isolation_a_process_only_gets_its_directory_umask_and_file_limit(layout: Layout) -> None:
    script, arguments = launched(layout)
    assert script == 'cd -- "$1" || exit 126; umask 027; ulimit -n 4096; shift 2; exec "$@"'
    assert arguments == ("/rel", "", "app")


def test_processes_are_only_counted_for_a_user_that_runs_nothing_else(layout: Layout) -> None:
    assert "ulimit -u 512" not in launched(layout, no_new_privs=True)[0]
    assert "ulimit -u 512" in launched(layout, user=USER)[0]


def test_a_user_comes_without_capabilities_and_with_its_groups_only(layout: Layout) -> None:
    _, arguments = launched(layout, user=USER, no_new_privs=True)
    assert arguments[2].endswith("/setpriv")
    assert arguments[3:] == (
        "--no-new-privs",
        "--reuid=4001",
        "--regid=4002",
        "--groups=4003,4004",
        "--inh-caps=-all",
        "--ambient-caps=-all",
        "--",
        "app",
    )


def test_a_cgroup_is_entered_before_anything_of_the_app_runs(layout: Layout) -> None:
    script, arguments = launched(layout, cgroup=Path("/sys/fs/cgroup/x"))
    assert script.index('> "$2/cgroup.procs"') < script.index("exec")
    assert arguments[:2] == ("/rel", "/sys/fs/cgroup/x")


async def test_no_new_privileges_holds_for_the_process(layout: Layout, processes: Processes) -> None:
    order = order_of(
        layout, "grep NoNewPrivs /proc/self/status", shell=True, confinement=Confinement(no_new_privs=True)
    )
    running = processes.spawn(order)
    await running.exited()
    assert running.last_output()[0].split() == ["NoNewPrivs:", "1"]


def test_off_asks_for_nothing_and_says_so() -> None:
    isolation = detect(IsolationMode.OFF)
    (missing,) = isolation.missing
    assert "--isolation off" in missing and not isolation.user_switch
    assert confine(isolation, DeploymentId("a", "b"), Limits()) == Confinement()


def test_asking_whose_files_they_are_leaves_the_limits_of_what_runs(tmp_path: Path) -> None:
    isolation = Isolation(user_switch=False, cgroup_v2=tmp_path)
    assert app_user(isolation, DeploymentId("a", "b")) is None
    assert list(tmp_path.iterdir()) == []


def test_what_the_host_does_not_allow_is_named() -> None:
    isolation = detect(IsolationMode.AUTO)
    limits = [text for text in isolation.missing if "memory, CPU and process limits" in text]
    assert bool(limits) == (isolation.cgroup_v2 is None)
    users = [text for text in isolation.missing if "a user for each app" in text]
    assert bool(users) == (not isolation.user_switch)


def test_a_users_name_is_the_contracts() -> None:
    assert user_name(DeploymentId("demo", "production")) == "tako-00b56d5c38d91684"


@pytest.fixture
def user_app() -> Iterator[DeploymentId]:
    """An app whose user does not exist yet; the user is removed again."""
    app = DeploymentId(f"t{os.getpid()}", "test")
    yield app
    subprocess.run(["userdel", user_name(app)], check=False, capture_output=True)


@pytest.mark.skipif(not detect().user_switch, reason="users for apps need CAP_SETUID, useradd and setpriv")
async def test_an_app_runs_as_its_own_user_without_any_capability(
    layout: Layout, processes: Processes, user_app: DeploymentId
) -> None:
    confinement = confine(detect(), user_app, Limits())
    assert confinement.user is not None
    assert confine(detect(), user_app, Limits()) == confinement  # the second time it is there
    program = "id -u; id -g; id -G; grep -h -E 'CapEff|CapAmb|CapInh' /proc/self/status; ulimit -n; kill -USR1 1; :"
    running = processes.spawn(order_of(layout, program, shell=True, app=user_app, confinement=confinement))
    await running.exited()
    out = (layout.app(user_app).spool / "abcd1234.out").read_text().splitlines()
    assert int(out[0]) == confinement.user.uid and int(out[1]) == confinement.user.gid
    assert {int(group) for group in out[2].split()} == {confinement.user.gid, *confinement.user.groups}
    assert all(int(line.split()[1], 16) == 0 for line in out[3:6])
    assert out[6] == "4096"


@pytest.mark.skipif(not detect().user_switch, reason="users for apps need CAP_SETUID, useradd and setpriv")
async def test_processes_of_another_user_are_adopted_and_ended_too(
    layout: Layout, processes: Processes, user_app: DeploymentId
) -> None:
    confinement = confine(detect(), user_app, Limits())
    # In sh, because the tests' interpreter may be where the app's user cannot reach it.
    serve = "echo 4711 >&4; exec 4>&-; exec sleep 300"
    running = processes.spawn(order_of(layout, serve, shell=True, app=user_app, confinement=confinement))
    assert await running.port(10) == 4711
    second = Processes(layout)
    (adopted,) = second.adopt()
    adopted.kill()
    assert (await adopted.exited()).code is None
    second.close()
