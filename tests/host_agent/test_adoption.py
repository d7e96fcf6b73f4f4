"""A new tako-server finds what a killed one had started: the same processes, no line lost or doubled."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tako.adapters import processes as os_processes
from tako.host_agent.applog import AppLogs
from tako.host_agent.exits import ExitSeen
from tako.host_agent.layout import Layout
from tako.host_agent.processes import NotReady, Processes
from tako.host_agent.records import InstanceRecord, Records
from tako.model.names import InstanceId
from tests.host_agent.world import APP, SERVE, TOKEN, gone, order_of, until

A = InstanceId("aaaa1111")

# A tako-server reduced to what starts and logs: starts one program, says its pid, and waits to be killed.
_SERVER = """
import asyncio, sys
from pathlib import Path
from tako.host_agent.applog import AppLogs
from tako.host_agent.layout import Layout
from tako.host_agent.processes import Processes
from tests.host_agent.world import order_of

async def serve():
    layout = Layout(Path(sys.argv[1]))
    logs = AppLogs(layout)
    logs.start()
    running = Processes(layout).spawn(order_of(layout, sys.argv[2], "aaaa1111"))
    if sys.argv[3] == "ready":
        await running.port(20)
    print(running.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""


async def server_killed(layout: Layout, program: str, *, ready: bool = True) -> int:
    """Start a server that starts the program, kill it with SIGKILL, return the program's pid."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _SERVER,
        str(layout.data_dir),
        program,
        "ready" if ready else "starting",
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert server.stdout is not None
    pid = int(await server.stdout.readline())
    server.kill()
    await server.wait()
    return pid


async def test_the_same_process_goes_on_under_the_next_server(layout: Layout, processes: Processes) -> None:
    pid = await server_killed(layout, SERVE)
    (running,) = processes.adopt()
    assert running.pid == pid and running.adopted and running.alive
    assert await running.port(1) == 4711
    assert running.record.token == TOKEN
    assert processes.dead_records() == [] and processes.orphans() == []


async def test_the_end_of_an_adopted_process_is_seen_at_once(layout: Layout, processes: Processes) -> None:
    pid = await server_killed(layout, SERVE)
    (running,) = processes.adopt()
    begin = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    assert await running.exited() == ExitSeen(None, None)
    assert time.perf_counter() - begin < 0.2
    assert [record.id for record in processes.dead_records()] == [A]
    processes.forget(A)
    assert processes.dead_records() == [] and list(layout.app(APP).instances.iterdir()) == []


async def test_an_adopted_process_is_stopped_with_what_it_started(layout: Layout, processes: Processes) -> None:
    program = (
        "import subprocess; c = subprocess.Popen(['sleep', '300'], stdout=-3, stderr=-3); print(c.pid, flush=True)\n"
    )
    await server_killed(layout, program + SERVE)
    (running,) = processes.adopt()
    child = int(running.last_output()[0])
    running.terminate()
    assert await running.exited() == ExitSeen(None, None)
    await until(lambda: gone(child))


async def test_what_an_adopted_process_leaves_in_its_session_is_ended(layout: Layout, processes: Processes) -> None:
    """It ignores SIGTERM, has no argument of ours and prints nowhere: only its session tells that it is ours."""
    program = """
import subprocess
child = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 300; :"], stdout=-3, stderr=-3)
print(child.pid, flush=True)
"""
    await server_killed(layout, program + SERVE)
    (running,) = processes.adopt()
    child = int(running.last_output()[0])
    os.kill(running.pid, signal.SIGTERM)
    await running.exited()
    await until(lambda: gone(child))


async def test_a_process_that_was_still_starting_cannot_tell_its_port_any_more(
    layout: Layout, processes: Processes
) -> None:
    await server_killed(layout, "import signal; signal.pause()", ready=False)
    (running,) = processes.adopt()
    with pytest.raises(NotReady, match="tako-server was restarted before the process reported its port"):
        await running.port(10)


async def test_a_server_killed_between_spawn_and_record_leaves_no_orphan(layout: Layout, processes: Processes) -> None:
    pid = await server_killed(layout, SERVE)
    records = Records(layout)
    (record,) = records.read()
    assert isinstance(record, InstanceRecord)
    records.write(replace(record, pid=None, start_ticks=None))
    (running,) = processes.adopt()
    assert running.pid == pid
    assert running.record.start_ticks == record.start_ticks


async def test_a_process_that_died_while_no_server_ran_is_a_dead_record(layout: Layout, processes: Processes) -> None:
    pid = await server_killed(layout, SERVE)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: gone(pid))
    assert processes.adopt() == []
    assert [record.id for record in processes.dead_records()] == [A]


@pytest.mark.parametrize("change", ["ticks", "boot"])
async def test_a_reused_pid_is_not_adopted(layout: Layout, processes: Processes, change: str) -> None:
    """The pid is alive, but started at another time, or in another life of the host: it is a stranger."""
    pid = await server_killed(layout, SERVE)
    records = Records(layout)
    (record,) = records.read()
    assert isinstance(record, InstanceRecord) and record.start_ticks is not None
    stranger = subprocess.Popen(["sleep", "300"])
    try:
        records.write(
            replace(record, pid=stranger.pid)
            if change == "ticks"
            else replace(record, boot_id="00000000-0000-0000-0000-000000000000")
        )
        assert processes.adopt() == []
        processes.forget(A)
        assert stranger.poll() is None  # whoever has the number now is left alone
        await until(lambda: gone(pid))
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id": "aaaa1111"}', b"\xff\0"])
async def test_a_process_whose_record_is_damaged_is_an_orphan(
    layout: Layout, processes: Processes, content: bytes
) -> None:
    """Without its token it can be neither probed nor trusted, so the caller ends it."""
    pid = await server_killed(layout, SERVE)
    (layout.app(APP).instances / f"{A}.json").write_bytes(content)
    assert processes.adopt() == [] and processes.dead_records() == []
    (orphan,) = processes.orphans()
    assert (orphan.pid, orphan.instance) == (pid, A)
    orphan.kill()
    await until(lambda: gone(pid))
    assert processes.orphans() == []


async def test_processes_of_another_data_directory_are_strangers(
    layout: Layout, processes: Processes, tmp_path: Path
) -> None:
    other = Layout(tmp_path / "other")
    elsewhere = Processes(other)
    running = elsewhere.spawn(order_of(other, SERVE, A))
    assert processes.orphans() == []
    running.kill()
    await running.exited()
    elsewhere.close()


async def test_a_data_directory_behind_a_symlink_is_the_same(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(layout.data_dir)
    linked = Processes(Layout(tmp_path / "link"))
    running = linked.spawn(order_of(layout, SERVE, A))
    (layout.app(APP).instances / f"{A}.json").unlink()
    assert [orphan.pid for orphan in linked.orphans()] == [running.pid]
    running.kill()
    await running.exited()
    linked.close()


async def test_a_record_is_private_and_its_token_is_in_no_repr(layout: Layout, processes: Processes) -> None:
    running = processes.spawn(order_of(layout, SERVE, A))
    path = layout.app(APP).instances / f"{A}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert TOKEN not in repr(running.record)
    assert TOKEN not in repr(order_of(layout, SERVE))
    assert json.loads(path.read_text())["pid"] == running.pid
    assert os_processes.process_stat(running.pid) is not None


_CHATTY = """
import itertools, os, time
os.write(4, b"4711\\n"); os.close(4)
for n in itertools.count():
    print(f"{n:08d}", flush=True)
    time.sleep(0.0002)
"""


async def test_no_line_is_lost_or_doubled_over_five_killed_servers(layout: Layout) -> None:
    pid = await server_killed(layout, _CHATTY)
    current = layout.app(APP).current_log
    for number in range(5):
        size = _size(current)
        server = subprocess.Popen(
            [sys.executable, "-c", _ADOPTING, str(layout.data_dir)], env={**os.environ, "PYTHONPATH": "."}
        )
        await until(lambda size=size: _size(current) > size + 2000)  # type: ignore[misc]
        await asyncio.sleep(0.003 * number)  # a different moment each time
        server.kill()
        server.wait()
    processes = Processes(layout)
    logs = AppLogs(layout)
    logs.start()
    (running,) = processes.adopt()
    assert running.pid == pid
    running.kill()
    await running.exited()
    last = int(running.last_output(1)[0])
    await logs.drained(APP, A)
    seen = Counter([line.text async for line in logs.follow(APP, follow=False)])
    logs.close()
    processes.close()
    assert seen == Counter(f"{n:08d}" for n in range(last + 1))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


_ADOPTING = """
import asyncio, sys
from pathlib import Path
from tako.host_agent.applog import AppLogs
from tako.host_agent.layout import Layout
from tako.host_agent.processes import Processes

async def serve():
    layout = Layout(Path(sys.argv[1]))
    AppLogs(layout).start()
    assert len(Processes(layout).adopt()) == 1
    await asyncio.Event().wait()

asyncio.run(serve())
"""
