"""With root's rights each app is a user of its own; without them the host says what it lacks."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.host import Host, eventually

SYSTEM_PYTHON = Path("/usr/bin/python3")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="switching users needs root")
# The interpreter of the tests may lie where only their user can read.
needs_system_python = pytest.mark.skipif(not SYSTEM_PYTHON.exists(), reason=f"needs {SYSTEM_PYTHON}")


@pytest.fixture
def isolating(root: Path) -> Iterator[Host]:
    root.chmod(0o755)
    host = Host(root, isolation="auto")
    try:
        host.start()
        yield host
    finally:
        host.kill_everything()


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@needs_root
@needs_system_python
def test_each_app_runs_as_its_own_user_with_fewer_rights_than_the_server(isolating: Host) -> None:
    start = [str(SYSTEM_PYTHON), "-I", "-S", "{main}"]
    isolating.apply(isolating.document("one", start=start), isolating.document("two", start=start))
    seen = []
    for name in ("one", "two"):
        (pid,) = isolating.await_healthy(name, 1).values()
        seen.append(status_of(pid))
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "4096" in next(line for line in limits.splitlines() if line.startswith("Max open files"))
        assert isolating.fetch(name).json()["app"] == name
    users = [status["Uid"].split() for status in seen]
    assert len({user[0] for user in users}) == 2
    assert all(set(user) != {"0"} for user in users)
    assert [status["NoNewPrivs"] for status in seen] == ["1", "1"]
    assert [status["Umask"] for status in seen] == ["0027", "0027"]


def test_the_host_says_which_isolation_it_has_and_which_it_lacks(host: Host) -> None:
    def isolation() -> dict[str, str]:
<<<<<<< HEAD
        (document,) = host.every("hosts.tako.sh")
=======
        (document,) = host.documents("hosts.tako.sh")
>>>>>>> repo
        conditions = document.get("status", {}).get("conditions") or []
        return next((each for each in conditions if each["type"] == "Isolation"), {})

    seen = eventually("the condition Isolation", isolation)
    assert seen["status"] == "False"  # it was started with --isolation off
    assert seen["message"]
