"""Real processes below a temporary data directory, started the way the host agent starts them."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tako.adapters import processes
from tako.host_agent.environment import envelope, http_environment
from tako.host_agent.isolation import Confinement
from tako.host_agent.launch import LaunchOrder
from tako.host_agent.layout import Layout
from tako.model.kinds.app import Limits
from tako.model.names import DeploymentId, InstanceId, ReleaseId

APP = DeploymentId("demo", "production")
TOKEN = "t" * 32

# Reports a port and stays.
SERVE = "import os, signal; os.write(4, b'4711\\n'); os.close(4); signal.pause()"


def order_of(
    layout: Layout,
    program: str,
    instance: str = "abcd1234",
    *,
    app: DeploymentId = APP,
    shell: bool = False,
    env: dict[str, str] | None = None,
    **changes: object,
) -> LaunchOrder:
    """An order for a Python program (or, with `shell`, a line of sh) that is given as text."""
    interpreter = ("/bin/sh", "-c", program, "sh") if shell else (sys.executable, "-c", program)
    dirs = layout.app(app)
    given: dict[str, object] = {
        "id": InstanceId(instance),
        "app": app,
        "release": ReleaseId("v1"),
        "template": "tmpl",
        "argv": (*interpreter, "--instance", instance),
        "environment": http_environment(
            app,
            ReleaseId("v1"),
            None,
            env or {},
            data_app=dirs.data_app,
            internal_socket=layout.internal_socket,
            inherited=os.environ,
        ),
        "cwd": Path("/"),
        "token": TOKEN,
        "envelope": envelope(TOKEN, {"DB_URL": "x"}),
        "limits": Limits(),
        "confinement": Confinement(),
        **changes,
    }
    return LaunchOrder(**given)  # type: ignore[arg-type]


async def until(condition: Callable[[], object], timeout: float = 10.0) -> None:
    """Wait for something to become true; fails the test when it does not."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    stat = processes.process_stat(pid)
    return stat is None or stat.dead
