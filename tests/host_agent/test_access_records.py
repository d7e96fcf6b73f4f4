"""What the proxy records of requests reaches the app's log as it is: every line, once, whatever dies in between."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tako.host_agent.applog import AppLogs
from tako.host_agent.layout import Layout
from tako.host_agent.logline import LogLine
from tests.host_agent.test_applog import _PUMPING
from tests.host_agent.world import APP, until

AT = "2026-04-20T06:19:53.716Z"
# As in WIRE.md 8.3, and with what a client may send.
RECORD = (
    f"{AT} [server] [proxy] INFO Request completed app=demo/production source=proxy request_id=abc host=demo.localhost "
    'method=GET path="/ü \\"x\\"" route=demo.localhost instance=aaaa1111 status=200 total_ms=1.250 cache=-'
)


@pytest.fixture
def logs(layout: Layout) -> Iterator[AppLogs]:
    logs = AppLogs(layout)
    logs.start()
    yield logs
    logs.close()


def recorded(layout: Layout, *lines: str, end: str = "\n") -> None:
    """Append as the proxy does: it opens the file by its name for each batch."""
    with layout.app(APP).access_log.open("ab") as file:
        file.write(("\n".join(lines) + end).encode())


def numbered(numbers: range) -> list[str]:
    return [f"{AT} [server] [proxy] INFO Request completed request_id={n:08d} path=/{'x' * 200}" for n in numbers]


def content(layout: Layout) -> str:
    path = layout.app(APP).current_log
    return path.read_text() if path.exists() else ""


async def texts(logs: AppLogs, **options: object) -> list[str]:
    return [str(line) async for line in logs.follow(APP, follow=False, **options)]  # type: ignore[arg-type]


async def test_a_record_is_in_the_log_as_the_proxy_wrote_it(layout: Layout, logs: AppLogs) -> None:
    recorded(layout, RECORD)
    await until(lambda: content(layout))
    assert content(layout) == f"{RECORD}\n"
    assert await texts(logs) == [RECORD]


async def test_half_a_line_waits_for_its_other_half(layout: Layout, logs: AppLogs) -> None:
    recorded(layout, RECORD, RECORD[:50], end="")
    await until(lambda: content(layout))
    assert content(layout) == f"{RECORD}\n"
    recorded(layout, RECORD[50:])
    await until(lambda: content(layout) == f"{RECORD}\n{RECORD}\n")


async def test_a_line_without_an_end_does_not_hold_up_those_behind_it(layout: Layout, logs: AppLogs) -> None:
    recorded(layout, "x" * (3 * 1024 * 1024), RECORD)
    await until(lambda: content(layout).endswith(f"\n{RECORD}\n"))


async def test_what_a_power_cut_left_of_a_write_is_not_in_the_log(layout: Layout, logs: AppLogs) -> None:
    recorded(layout, "\0" * 4096 + RECORD)
    await until(lambda: content(layout) == f"{RECORD}\n")


async def test_records_can_be_left_out(layout: Layout, logs: AppLogs) -> None:
    dropped = f"{AT} [server] [proxy] WARN Access records were dropped lines=7"
    recorded(layout, RECORD, dropped)
    logs.server_line(APP, "tako-server", "INFO", "Request completed is what the proxy says")
    await until(lambda: content(layout).count("\n") == 3)
    kept = await texts(logs, access_records=False)
    assert dropped in kept and RECORD not in kept and len(kept) == 2


async def test_a_record_belongs_to_the_instance_that_answered(layout: Layout, logs: AppLogs) -> None:
    recorded(layout, RECORD, RECORD.replace("aaaa1111", "bbbb2222"))
    await until(lambda: content(layout).count("\n") == 2)
    assert await texts(logs, instance="aaaa1111") == [RECORD]


async def test_records_written_while_no_server_ran_are_moved_by_the_next(layout: Layout) -> None:
    logs = AppLogs(layout)
    logs.start()
    recorded(layout, *numbered(range(3)))
    await until(lambda: content(layout).count("\n") == 3)
    logs.close()
    recorded(layout, *numbered(range(3, 6)))
    second = AppLogs(layout)
    second.start()
    await until(lambda: content(layout).count("\n") == 6)
    second.close()
    assert content(layout).splitlines() == numbered(range(6))
    assert layout.app(APP).access_log.exists()


async def test_a_file_that_was_removed_begins_anew(layout: Layout, logs: AppLogs) -> None:
    recorded(layout, *numbered(range(10)))
    await until(lambda: content(layout).count("\n") == 10)
    layout.app(APP).access_log.unlink()
    recorded(layout, *numbered(range(10, 12)))
    await until(lambda: content(layout).splitlines() == numbered(range(12)))


async def test_an_app_that_was_removed_and_declared_again_is_recorded_from_the_first_request(
    layout: Layout, logs: AppLogs
) -> None:
    recorded(layout, *numbered(range(100)))
    await until(lambda: content(layout).count("\n") == 100)
    shutil.rmtree(layout.app(APP).root)
    await until(lambda: APP not in logs._followed)
    layout.app(APP).make()
    recorded(layout, *numbered(range(2)))
    logs.watch(APP)
    await until(lambda: content(layout).splitlines() == numbered(range(2)))


async def test_a_removed_file_while_no_server_ran_begins_anew(layout: Layout) -> None:
    logs = AppLogs(layout)
    logs.start()
    recorded(layout, *numbered(range(10)))
    await until(lambda: content(layout).count("\n") == 10)
    logs.close()
    layout.app(APP).access_log.unlink()
    recorded(layout, *numbered(range(10, 12)))
    second = AppLogs(layout)
    second.start()
    await until(lambda: content(layout).splitlines() == numbered(range(12)))
    second.close()


async def test_moved_records_are_given_back_to_the_disk(layout: Layout, logs: AppLogs) -> None:
    for begin in range(0, 20_000, 2_000):
        recorded(layout, *numbered(range(begin, begin + 2_000)))
    path = layout.app(APP).access_log
    assert path.stat().st_size > 5 * 1024 * 1024
    await until(lambda: path.stat().st_blocks * 512 < 1024 * 1024 + 128 * 1024)


async def test_two_proxies_append_while_lines_are_moved(layout: Layout, logs: AppLogs) -> None:
    """While a proxy is replaced there are two; 16 MB, with a rotation of the log in between."""
    program = """
import os, sys
path, first = sys.argv[1], int(sys.argv[2])
head = "2026-04-20T06:19:53.716Z [server] [proxy] INFO Request completed request_id="
for begin in range(first, first + 30_000, 500):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, "".join(f"{head}{n:08d} path=/{'x' * 200}\\n" for n in range(begin, begin + 500)).encode())
    os.close(fd)
"""
    seen: list[str] = []

    async def read() -> None:
        async for line in logs.follow(APP):
            seen.append(line.text)
            if len(seen) == 60_000:
                return

    reading = asyncio.create_task(read())
    writers = [
        subprocess.Popen([sys.executable, "-c", program, str(layout.app(APP).access_log), str(first)])
        for first in (0, 30_000)
    ]
    async with asyncio.timeout(60):
        await reading
    assert [writer.wait() for writer in writers] == [0, 0]
    assert set(Counter(seen).values()) == {1} and len(set(seen)) == 60_000


async def test_a_kill_at_any_moment_loses_and_doubles_no_record(layout: Layout) -> None:
    dirs = layout.app(APP)
    number = 0
    for round_number in range(12):
        pumping = subprocess.Popen(
            [sys.executable, "-c", _PUMPING, str(layout.data_dir)], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert pumping.stdout is not None
        size = _size(dirs.current_log)
        recorded(layout, *numbered(range(number, number + 4_000)))
        number += 4_000
        await asyncio.to_thread(pumping.stdout.readline)
        await until(lambda size=size: _size(dirs.current_log) != size)  # type: ignore[misc]
        await asyncio.sleep(0.001 * round_number)  # a different moment each time
        pumping.kill()
        pumping.wait()
        pumping.stdout.close()
    logs = AppLogs(layout)
    logs.start()
    last = numbered(range(number - 1, number))[0]
    await until(lambda: content(layout).endswith(f"{last}\n"))
    found = [str(line) async for line in logs.follow(APP, follow=False)]
    logs.close()
    assert found == numbered(range(number))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system to fill")
async def test_records_that_a_full_disk_has_no_room_for_are_counted(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        layout = Layout(small)
        layout.app(APP).make()
        ballast = small / "ballast"
        logs = AppLogs(layout)
        logs.start()
        recorded(layout, RECORD)
        await until(lambda: content(layout))
        logs.close()
        recorded(layout, *numbered(range(2_000)))
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        logs = AppLogs(layout)
        logs.start()
        # What could not be logged is freed all the same, so that the next records have room.
        await until(lambda: layout.app(APP).access_log.stat().st_blocks * 512 <= 128 * 1024)
        ballast.unlink()
        await until(lambda: "log lines were dropped lines=" in content(layout))
        logs.close()
        told = [LogLine.parse(line) for line in content(layout).splitlines()]
        dropped = sum(int(line.text.rpartition("=")[2]) for line in told if line and "dropped" in line.text)
        kept = sum(1 for line in told if line and line.is_access_record)
        assert kept + dropped == 1 + 2_000
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
