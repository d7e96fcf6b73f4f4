"""What instances print reaches their app's log: every line, once, whatever dies in between."""

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tako.host_agent.applog import AppLogs, LogLine
from tako.host_agent.layout import Layout
from tako.host_agent.processes import Processes
from tako.model.names import InstanceId
from tests.host_agent.world import APP, order_of, until

A = InstanceId("aaaa1111")


@pytest.fixture
def logs(layout: Layout) -> Iterator[AppLogs]:
    recorded(layout)
    logs = AppLogs(layout)
    logs.start()
    yield logs
    logs.close()


def recorded(layout: Layout) -> None:
    """Two instances, of which a former tako-server left records."""
    for instance in (A, "bbbb2222"):
        (layout.app(APP).instances / f"{instance}.json").write_text("{}")


def printed(layout: Layout, content: bytes, instance: str = A, stream: str = "out") -> None:
    with (layout.app(APP).spool / f"{instance}.{stream}").open("ab") as file:
        file.write(content)


async def lines_of(logs: AppLogs, **options: object) -> list[LogLine]:
    return [line async for line in logs.follow(APP, follow=False, **options)]  # type: ignore[arg-type]


async def texts_of(logs: AppLogs, **options: object) -> list[str]:
    return [line.text for line in await lines_of(logs, **options)]


async def finished(logs: AppLogs, instance: str = A) -> list[str]:
    await logs.drained(APP, InstanceId(instance))
    return await texts_of(logs)


async def test_a_line_carries_time_stream_and_instance(layout: Layout, processes: Processes, logs: AppLogs) -> None:
    running = processes.spawn(order_of(layout, "echo hello; echo trouble >&2", A, shell=True))
    await running.exited()
    await logs.drained(APP, A)
    text = layout.app(APP).current_log.read_text()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.search(rf"^{time} \[out\] \[{A}\] hello$", text, re.MULTILINE)
    assert re.search(rf"^{time} \[err\] \[{A}\] trouble$", text, re.MULTILINE)


async def test_lines_come_while_the_process_runs(layout: Layout, processes: Processes, logs: AppLogs) -> None:
    processes.spawn(order_of(layout, "echo one; sleep 300", A, shell=True))
    async with asyncio.timeout(5), aclosing(logs.follow(APP)) as following:  # type: ignore[type-var]
        assert (await anext(following)).text == "one"


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"plain\n", ["plain"]),
        (b"no newline at the end", ["no newline at the end"]),
        (b"trailing blanks \t \r\n", ["trailing blanks"]),
        (b"\n\n  \nempty ones are dropped\n", ["empty ones are dropped"]),
        (b"bad \xff\xfe utf-8\n", ["bad \ufffd\ufffd utf-8"]),
        (b"cut \xe2\x82\nfine\n", ["cut \ufffd", "fine"]),
        ("unicode \u2028 is no line end\x0b\x0c!\n".encode(), ["unicode \u2028 is no line end\x0b\x0c!"]),
        (b"x" * 65536 + b"\n", ["x" * 65536]),
        (b"x" * 65537 + b"\n", ["x" * 65536, "x"]),
        (b"y" * 200_000, ["y" * 65536] * 3 + ["y" * (200_000 - 3 * 65536)]),
        (b"z" + "\u20ac".encode() * 30_000 + b"\n", ["z" + "\u20ac" * 21845, "\u20ac" * (30_000 - 21845)]),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else "",
)
async def test_whatever_is_printed_becomes_lines(
    layout: Layout, logs: AppLogs, content: bytes, texts: list[str]
) -> None:
    printed(layout, content)
    found = await finished(logs)
    assert [(len(text), text) for text in found] == [(len(text), text) for text in texts]


async def test_the_spool_is_gone_when_a_process_is_drained(layout: Layout, logs: AppLogs) -> None:
    printed(layout, b"last words")
    await finished(logs)
    spool = layout.app(APP).spool
    assert [path.name for path in spool.iterdir()] == ["offsets"]
    assert [path.name for path in (spool / "offsets").iterdir()] == ["journal"]


async def test_a_burst_of_100_000_lines_arrives_whole_and_in_order(
    layout: Layout, processes: Processes, logs: AppLogs
) -> None:
    program = "for n in range(100_000): print(f'line {n} of the burst')"
    running = processes.spawn(order_of(layout, program, A))
    await running.exited()
    assert await finished(logs) == [f"line {n} of the burst" for n in range(100_000)]


async def test_logged_output_is_given_back_to_the_disk(layout: Layout, logs: AppLogs) -> None:
    for _ in range(5):
        printed(layout, (b"x" * 1023 + b"\n") * 1024)
    path = layout.app(APP).spool / f"{A}.out"
    await until(lambda: path.stat().st_blocks * 512 < 1024 * 1024 + 128 * 1024)
    assert path.stat().st_size == 5 * 1024 * 1024


async def test_following_survives_rotations(layout: Layout, logs: AppLogs) -> None:
    """25 MiB are two rotations; whoever follows sees every line, once, in order."""
    total = 25 * 1024
    seen: list[str] = []

    async def read(following: AsyncIterator[LogLine]) -> None:
        async for line in following:
            seen.append(line.text[:6])
            if len(seen) == total:
                return

    async with asyncio.timeout(60):
        reading = asyncio.create_task(read(logs.follow(APP)))
        for begin in range(0, total, 512):
            printed(layout, b"".join(b"%06d" % n + b"." * 1000 + b"\n" for n in range(begin, begin + 512)))
            await until(lambda begin=begin: len(seen) >= begin)  # type: ignore[misc]
        await reading
    assert seen == [f"{n:06d}" for n in range(total)]
    dirs = layout.app(APP)
    assert dirs.previous_log.stat().st_size <= 10 * 1024 * 1024
    assert dirs.current_log.stat().st_size <= 10 * 1024 * 1024


async def test_a_tail_may_be_of_one_instance_or_stream(layout: Layout, logs: AppLogs) -> None:
    printed(layout, b"1\n2\n3\n")
    printed(layout, b"oops\n", stream="err")
    printed(layout, b"other\n", "bbbb2222")
    await finished(logs)
    await finished(logs, "bbbb2222")
    logs.server_line(APP, "tako-server", "ERROR", "gone", instance=A)
    await until(lambda: "gone" in layout.app(APP).current_log.read_text())
    assert await texts_of(logs, stream="err") == ["oops"]
    assert await texts_of(logs, instance=InstanceId("bbbb2222")) == ["other"]
    assert await texts_of(logs, instance=A, since_lines=1) == [f"ERROR gone instance={A}"]
    assert await texts_of(logs, stream="out", instance=A, since_lines=2) == ["2", "3"]
    assert await texts_of(logs, since_lines=0) == []


async def test_a_line_of_our_own_stays_one_line(layout: Layout, logs: AppLogs) -> None:
    logs.server_line(APP, "tako-server", "WARN", "two\nlines", exit=3, instance=None)
    await until(lambda: _text(layout))
    (line,) = await lines_of(logs)
    assert (line.stream, line.source, line.text) == ("server", "tako-server", "WARN two\\nlines exit=3")


async def test_output_printed_while_no_server_ran_is_logged_by_the_next(layout: Layout) -> None:
    layout.app(APP).make()
    recorded(layout)
    first = AppLogs(layout)
    first.start()
    printed(layout, b"before\n")
    await until(lambda: "before" in _text(layout))
    first.close()
    printed(layout, b"between\n")
    second = AppLogs(layout)
    second.start()
    printed(layout, b"after\n")
    assert await finished(second) == ["before", "between", "after"]
    second.close()


def _text(layout: Layout) -> str:
    path = layout.app(APP).current_log
    return path.read_text() if path.exists() else ""


async def test_output_of_a_process_that_nobody_recorded_is_logged_and_cleared(layout: Layout) -> None:
    printed(layout, b"from long ago")
    logs = AppLogs(layout)
    logs.start()
    await until(lambda: "from long ago" in _text(layout))
    logs.close()
    assert not (layout.app(APP).spool / f"{A}.out").exists()


async def test_an_emptied_or_removed_log_goes_on(layout: Layout, logs: AppLogs) -> None:
    current = layout.app(APP).current_log
    printed(layout, b"one\n")
    await until(lambda: "one" in _text(layout))
    os.truncate(current, 0)
    printed(layout, b"two\n")
    await until(lambda: _text(layout).endswith("two\n"))
    assert b"\0" not in current.read_bytes()
    current.unlink()
    printed(layout, b"three\n")
    await until(lambda: _text(layout).endswith("three\n"))


async def test_an_app_that_was_removed_can_come_back(layout: Layout, logs: AppLogs) -> None:
    import shutil

    printed(layout, b"first life\n")
    await until(lambda: "first" in _text(layout))
    following = logs.follow(APP)
    assert (await anext(following)).text == "first life"
    shutil.rmtree(layout.app(APP).root)
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(following), 5)
    await until(lambda: APP not in logs._followed)
    layout.app(APP).make()
    logs.watch(APP)
    printed(layout, b"second life\n")
    await until(lambda: "second" in _text(layout))


# Writes numbered lines into the spool's log from a process of its own, to be killed in the middle.
_PUMPING = """
import sys, threading
from pathlib import Path
from tako.host_agent.applog import AppLogs
from tako.host_agent.layout import Layout
logs = AppLogs(Layout(Path(sys.argv[1])))
logs.start()
print("up", flush=True)
threading.Event().wait()
"""


async def test_a_kill_at_any_moment_loses_and_doubles_nothing(layout: Layout) -> None:
    """Twenty kills at twenty moments of a busy log; rotations among them."""
    dirs = layout.app(APP)
    recorded(layout)
    number = 0
    for round_number in range(20):
        pumping = subprocess.Popen(
            [sys.executable, "-c", _PUMPING, str(layout.data_dir)], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert pumping.stdout is not None
        size = _size(dirs.current_log)
        for instance in (A, "bbbb2222"):
            lines = b"".join(b"%08d %s\n" % (n, b"." * 50) for n in range(number, number + 4_000))
            printed(layout, lines, instance)
        number += 4_000
        await asyncio.to_thread(pumping.stdout.readline)
        await until(lambda size=size: _size(dirs.current_log) != size)  # type: ignore[misc]
        await asyncio.sleep(0.002 * round_number)  # a different moment each time
        pumping.kill()
        pumping.wait()
        pumping.stdout.close()
    logs = AppLogs(layout)
    logs.start()
    await logs.drained(APP, A)
    await logs.drained(APP, InstanceId("bbbb2222"))
    counted = Counter((line.source, line.text[:8]) for line in await lines_of(logs))
    logs.close()
    assert counted == Counter({(i, f"{n:08d}"): 1 for i in (A, "bbbb2222") for n in range(number)})


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system to fill")
async def test_a_full_disk_drops_lines_and_says_how_many(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], check=True)
    try:
        layout = Layout(small)
        layout.app(APP).make()
        recorded(layout)
        logs = AppLogs(layout)
        logs.start()
        printed(layout, b"before\n")
        await until(lambda: "before" in _text(layout))
        ballast = small / "ballast"
        _fill(ballast)
        # Where the log's last block is full too, the app itself still has the blocks of its own file.
        for n in range(200):
            try:
                printed(layout, b"%03d " % n + b"." * 60 + b"\n")
            except OSError:
                break
        spool = layout.app(APP).spool / f"{A}.out"
        await until(lambda: logs._pumps[APP]._offsets[spool.name] > spool.stat().st_size - 65)
        ballast.unlink()
        await until(lambda: "log lines were dropped lines=" in _text(layout))
        printed(layout, b"after\n")
        found = await finished(logs)
        dropped = sum(int(text.rpartition("=")[2]) for text in found if "dropped" in text)
        kept = [text for text in found if re.fullmatch(r"\d{3} \.{60}", text)]
        assert found[0] == "before" and found[-1].endswith("after")  # the app's own last write may be cut
        assert dropped > 0 and len(kept) + dropped == n
        logs.close()
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return
