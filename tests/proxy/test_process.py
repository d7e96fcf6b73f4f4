import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tako.model.errors import Refused
from tako.proxy.process import (
    ProxyPaths,
    ProxyProcess,
    build_of,
    find_binary,
    generation_on_disk,
)
from tako.proxy.record import Recorded, find_recorded, write_record


@pytest.fixture
def paths(tmp_path: Path) -> ProxyPaths:
    return ProxyPaths(tmp_path)


async def exit_of(process: ProxyProcess) -> int | None:
    ended = asyncio.Event()
    process.watch(ended.set)
    await ended.wait()
    return process.exit_code


@pytest.mark.parametrize(("program", "code"), [("false", 1), ("true", 0)])
async def test_the_end_of_a_process_is_seen_with_its_exit_code(paths: ProxyPaths, program: str, code: int) -> None:
    found = shutil.which(program)
    assert found is not None
    process = ProxyProcess.spawn(Path(found), paths, workers=1)
    assert await exit_of(process) == code
    assert process.has_exited


async def test_a_record_finds_the_processes_that_it_is_of_and_no_other(paths: ProxyPaths) -> None:
    assert find_recorded(paths) == Recorded()
    ours = ProxyProcess.adopt(os.getpid(), build=(1, 2, 3))
    older = ProxyProcess.adopt(os.getppid())
    assert ours is not None
    assert older is not None
    write_record(paths, ours, [older])
    assert find_recorded(paths) == Recorded((os.getpid(), (1, 2, 3)), (os.getppid(),))
    # The pid was given to a process that started at another time.
    paths.record.write_text(json.dumps(json.loads(paths.record.read_text()) | {"start_ticks": 1}))
    assert find_recorded(paths) == Recorded(None, (os.getppid(),))


async def test_a_process_that_has_ended_is_not_found_by_its_record(paths: ProxyPaths) -> None:
    process = ProxyProcess.spawn(Path(shutil.which("sleep") or ""), paths, workers=1)
    write_record(paths, process, [process])
    process.kill()
    await exit_of(process)
    assert find_recorded(paths) == Recorded()
    assert ProxyProcess.adopt(process.pid) is None


async def test_a_process_is_of_the_build_that_was_there_when_it_started(paths: ProxyPaths, tmp_path: Path) -> None:
    binary = tmp_path / "tako-proxyd"
    shutil.copy2(shutil.which("true") or "", binary)
    build = build_of(binary)
    process = ProxyProcess.spawn(binary, paths, workers=1)
    shutil.copy2(binary, tmp_path / "newer")
    (tmp_path / "newer").replace(binary)
    assert process.build == build
    assert process.build != build_of(binary)
    await exit_of(process)


def test_another_file_at_the_same_path_is_another_build(tmp_path: Path) -> None:
    binary = tmp_path / "tako-proxyd"
    assert build_of(binary) == ()
    binary.write_text("one")
    first = build_of(binary)
    newer = tmp_path / "newer"
    newer.write_text("two")
    newer.replace(binary)
    assert build_of(binary) != first


@pytest.mark.parametrize(
    ("text", "generation"),
    [(None, 0), ("", 0), ("[]", 0), ("{}", 0), ('{"generation": "x"}', 0), ('{"generation": 7}', 7)],
)
def test_the_generation_on_disk_is_read_when_it_can_be(paths: ProxyPaths, text: str | None, generation: int) -> None:
    if text is not None:
        paths.table.write_text(text)
    assert generation_on_disk(paths) == generation


def test_a_large_log_is_put_aside(paths: ProxyPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tako.proxy.process.MAX_LOG_BYTES", 3)
    paths.log.write_text("much")
    process = ProxyProcess.spawn(Path(shutil.which("true") or ""), paths, workers=1)
    os.waitpid(process.pid, 0)
    assert paths.log.with_suffix(".previous.log").read_text() == "much"


def test_a_binary_that_is_nowhere_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match=r"neither at .* nor on PATH"):
        find_binary()
    beside = tmp_path / "tako-proxyd"
    beside.write_text("#!/bin/sh\n")
    beside.chmod(0o755)
    assert find_binary() == beside
