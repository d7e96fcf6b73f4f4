"""The examples that the demo runs, as they are: every runtime, through its own SDK."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.host import Host
from e2e.load import fetch
from e2e.processes import kill

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.timeout(600)
def test_every_example_is_served_and_survives_the_death_of_its_process(host: Host) -> None:
    prepare = [REPOSITORY / "examples" / "prepare.sh", host.data_dir]
    subprocess.run(prepare, check=True, timeout=300, env={**os.environ, "PYTHON": sys.executable})
    files = [str(file) for file in sorted((REPOSITORY / "examples").glob("*/app.yaml"))]
    host.tako("apply", *(part for file in files for part in ("-f", file)), "--wait", timeout=200)
    apps = host.documents("apps.tako.sh")
    assert {app["spec"].get("runtime") for app in apps} >= {"python-asgi", "python-wsgi", "node", "bun"}
    for app in apps:
        name = app["metadata"]["name"]
        (route, *_) = app["spec"]["routes"]
        answer = fetch(host.https_port, route)
        assert answer.status == 200, f"{name}: {answer.status} {answer.body!r}"
        before = host.await_healthy(name, 1)
        kill(before.values())
        assert fetch(host.https_port, route).status == 200
        assert host.healthy(name).keys().isdisjoint(before)
