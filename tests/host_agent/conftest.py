"""A data directory, and the certainty that no process outlives its test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tako.adapters import processes as os_processes
from tako.host_agent import membership
from tako.host_agent.layout import Layout
from tako.host_agent.processes import Processes
from tests.host_agent.world import APP


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = Layout(tmp_path / "data")
    layout.app(APP).make()
    yield layout
    for pid in os_processes.pids():
        if membership.instance_of(pid, layout) is not None:
            os_processes.kill(pid)


@pytest.fixture
async def processes(layout: Layout) -> AsyncIterator[Processes]:
    processes = Processes(layout)
    yield processes
    for running in list(processes._running.values()):
        running.kill()
        await running.exited()
    processes.close()
