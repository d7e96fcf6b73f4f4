"""An install is never left running by a server that stops waiting for it."""

import asyncio
from pathlib import Path

import pytest

from tako.adapters import processes
from tako.host_agent.install import install
from tako.host_agent.layout import Layout
from tako.model.kinds.app import Runtime, Source
from tako.model.kinds.release import ReleaseSpec
from tests.host_agent.world import gone, until


async def test_an_install_that_nobody_waits_for_any_more_is_ended_with_what_it_started(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, pids = tmp_path / "tools", tmp_path / "pids"
    tools.mkdir()
    npm = tools / "npm"
    npm.write_text(f"#!/bin/sh\nsleep 600 &\necho $$ $! > {pids}.new\nmv {pids}.new {pids}\nwait\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    release = tmp_path / "release"
    release.mkdir()
    (release / "package.json").write_text("{}")
    spec = ReleaseSpec(app="demo", version="v1", source=Source(path=str(release)), runtime=Runtime.NODE, main="a.js")

    running = asyncio.create_task(install(spec, release, layout, None))
    await until(pids.exists)
    started = [int(pid) for pid in pids.read_text().split()]
    assert all(processes.process_stat(pid) for pid in started)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: all(gone(pid) for pid in started))
    assert [path.name for path in release.iterdir()] == ["package.json"]
