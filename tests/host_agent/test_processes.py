"""Processes are started by the contract, seen to end at once, and leave nothing behind."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from tako.adapters import processes as os_processes
from tako.host_agent.exits import ExitSeen
from tako.host_agent.layout import Layout
from tako.host_agent.processes import NotReady, Processes
from tako.model.errors import Refused
from tests.host_agent.world import APP, SERVE, TOKEN, gone, order_of, until


async def test_a_process_reports_its_port_on_fd_4(layout: Layout, processes: Processes) -> None:
    running = processes.spawn(order_of(layout, SERVE))
    assert await running.port(10) == 4711
    assert running.alive and running.record.port == 4711


async def test_the_contract_is_what_a_process_finds(layout: Layout, processes: Processes, tmp_path: Path) -> None:
    """Descriptors, directory, umask, session, limits, signals and environment, as the process itself sees them."""
    cwd = tmp_path / "release dir"
    cwd.mkdir()
    program = """
import json, os, resource, signal, stat, sys
mask = os.umask(0)
print(json.dumps({
    "envelope": os.read(3, 65536).decode(), "end": os.read(3, 1).decode(),
    "fifos": [stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in (3, 4)],
    "stdin": os.readlink("/proc/self/fd/0"), "open": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:6],
    "cwd": os.getcwd(), "umask": mask, "leader": os.getsid(0) == os.getpid() == os.getpgrp(),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    "argv": sys.argv, "env": dict(os.environ)}))
"""
    running = processes.spawn(order_of(layout, program, cwd=cwd, env={"COLOUR": "blue"}))
    assert await running.exited() == ExitSeen(code=0)
    seen = json.loads(running.last_output()[-1])
    assert json.loads(seen["envelope"]) == {"token": TOKEN, "secrets": {"DB_URL": "x"}, "storages": {}}
    assert seen["end"] == "" and seen["fifos"] == [True, True]
    assert seen["stdin"] == "/dev/null"
    assert seen["open"][:5] == [0, 1, 2, 3, 4] and len(seen["open"]) == 6  # the last one reads the directory
    assert seen["cwd"] == str(cwd) and seen["umask"] == 0o027 and seen["leader"]
    assert seen["files"] == 4096
    assert seen["argv"][1:] == ["--instance", "abcd1234"]
    assert seen["env"]["PORT"] == "0" and seen["env"]["COLOUR"] == "blue"
    assert TOKEN not in json.dumps(seen["env"])


async def test_signals_that_python_ignores_are_not_ignored_by_the_app(layout: Layout, processes: Processes) -> None:
    running = processes.spawn(order_of(layout, "grep SigIgn /proc/self/status", shell=True))
    await running.exited()
    assert int(running.last_output()[0].split()[1], 16) & 0x7FFF_FFFF == 0  # 32 and 33 are libc's own


@pytest.mark.parametrize(
    ("program", "seen"),
    [
        ("exit 3", ExitSeen(code=3)),
        ("exit 0", ExitSeen(code=0)),
        ("kill -SEGV $$", ExitSeen(signal="SIGSEGV")),
        ("kill -KILL $$", ExitSeen(signal="SIGKILL")),
        ("kill -40 $$", ExitSeen(signal="signal 40")),
        ("exec /no/such/program", ExitSeen(code=127)),
    ],
)
async def test_how_a_process_ended_is_told(layout: Layout, processes: Processes, program: str, seen: ExitSeen) -> None:
    running = processes.spawn(order_of(layout, program, shell=True))
    assert await running.exited() == seen
    assert not running.alive
    running.terminate()
    running.kill()  # neither minds that it is gone


async def test_an_exit_is_seen_without_asking(layout: Layout, processes: Processes) -> None:
    running = processes.spawn(order_of(layout, SERVE))
    await running.port(10)
    os.kill(running.pid, 9)
    await asyncio.wait_for(running.exited(), 30)
    assert not running.alive


async def test_no_zombie_is_left(layout: Layout, processes: Processes) -> None:
    running = processes.spawn(order_of(layout, "exit 1", shell=True))
    await running.exited()
    assert os_processes.process_stat(running.pid) is None


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("exec 4>&-; exec sleep 60", "Process closed readiness pipe before reporting a port"),
        ("exit 1", "The process exited with 1 before it reported a port"),
        ("kill -KILL $$", "The process was ended by SIGKILL before it reported a port"),
        ("echo nonsense >&4; exec sleep 60", "The process reported 'nonsense' on fd 4, which is not a port"),
        ("echo 70000 >&4; exec sleep 60", "The process reported '70000' on fd 4, which is not a port"),
        ("exec sleep 60", "The process did not report a port on fd 4 within 0.3 s"),
        # A child that keeps fd 4 open must not hide that the process itself is gone.
        ("sleep 60 & exit 7", "The process exited with 7 before it reported a port"),
    ],
)
async def test_a_process_that_never_gets_ready_says_why(
    layout: Layout, processes: Processes, program: str, message: str
) -> None:
    running = processes.spawn(order_of(layout, program, shell=True))
    with pytest.raises(NotReady, match=f"^{message}$"):
        await running.port(0.3 if "0.3" in message else 10)


async def test_a_port_written_just_before_the_exit_is_still_read(layout: Layout, processes: Processes) -> None:
    running = processes.spawn(order_of(layout, "echo 4711 >&4; exit 0", shell=True))
    await running.exited()
    assert await running.port(1) == 4711


async def test_what_a_process_started_dies_with_it(layout: Layout, processes: Processes) -> None:
    running = processes.spawn(order_of(layout, "sleep 300 >/dev/null 2>&1 & echo $!; exec sleep 300", shell=True))
    await until(lambda: running.last_output())
    child = int(running.last_output()[0])
    os.kill(running.pid, 9)
    await running.exited()
    await until(lambda: gone(child))


async def test_a_process_that_ignores_sigterm_ends_by_kill(layout: Layout, processes: Processes) -> None:
    ignoring = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))\n" + (
        "print('up', flush=True)\nwhile True: time.sleep(60)"
    )
    running = processes.spawn(order_of(layout, ignoring))
    await until(lambda: running.last_output() == ["up"])
    running.terminate()
    await until(lambda: running.last_output() == ["up", "no"])  # and once only: some programs take two as "at once"
    assert running.alive
    running.kill()
    assert await running.exited() == ExitSeen(signal="SIGKILL")


async def test_a_process_that_forks_twice_is_found_by_kill(layout: Layout, processes: Processes) -> None:
    """The daemon has left group and session, closed its output, and is a child of init."""
    daemon = """
import os, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2): os.dup2(null, fd)
        while True: signal.pause()
    os._exit(0)
while True: signal.pause()
"""
    running = processes.spawn(order_of(layout, daemon))
    await until(lambda: running.last_output())
    escaped = int(running.last_output()[0])
    assert os.getsid(escaped) != running.pid
    running.kill()
    await running.exited()
    await until(lambda: gone(escaped))


async def test_a_daemon_that_outlived_its_parent_ends_when_it_is_forgotten(
    layout: Layout, processes: Processes
) -> None:
    line = "setsid sh -c 'echo $$; exec sleep 300' & sleep 0.2; exit 0"
    running = processes.spawn(order_of(layout, line, shell=True))
    await running.exited()
    escaped = int(running.last_output()[0])
    processes.forget(running.record.id)
    await until(lambda: gone(escaped))


async def test_a_command_that_cannot_start_is_told_by_its_output(layout: Layout, processes: Processes) -> None:
    running = processes.spawn(order_of(layout, "", argv=("no-such-program", "--instance", "abcd1234")))
    assert await running.exited() == ExitSeen(code=127)
    assert "no-such-program: not found" in running.last_output()[-1]


async def test_a_missing_directory_is_refused_and_leaves_no_record(layout: Layout, processes: Processes) -> None:
    with pytest.raises(Refused, match=r"its directory /no/such/directory does not exist"):
        processes.spawn(order_of(layout, SERVE, cwd=Path("/no/such/directory")))
    assert list(layout.app(APP).instances.iterdir()) == []


async def test_an_environment_the_kernel_does_not_take_is_refused(layout: Layout, processes: Processes) -> None:
    with pytest.raises(Refused, match="larger than the kernel passes"):
        processes.spawn(order_of(layout, SERVE, env={"BIG": "x" * 200_000}))
    assert list(layout.app(APP).instances.iterdir()) == []


async def test_an_envelope_larger_than_a_pipe_arrives_whole(layout: Layout, processes: Processes) -> None:
    program = "import sys; print(len(open(3, 'rb').read()))"
    running = processes.spawn(order_of(layout, program, envelope=b"x" * 500_000))
    await running.exited()
    assert running.last_output() == ["500000"]


async def test_no_descriptor_leaks_into_a_process(layout: Layout) -> None:
    """Not of one that is started at the same moment, nor one that tako-server itself was started with."""
    inherited = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inherited, True)
    processes = Processes(layout)
    started = [
        processes.spawn(order_of(layout, "for fd in /proc/$$/fd/*; do readlink $fd; done", f"many{n:04d}", shell=True))
        for n in range(20)
    ]
    for running in started:
        await running.exited()
        open_files = running.last_output()
        assert len(open_files) == 5, open_files
    processes.close()
    os.close(inherited)
