"""Bad days of the store: killed, disk full, file deleted or damaged."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tako.api.database import StoreFailed
from tako.api.entries import Change, ChangeType, Entry, Key
from tako.api.recovery import StoreDamaged
from tako.api.server import ApiServer
from tako.model.errors import Refused
from tests.api.conftest import CRDS, Served, app
from tests.client import Client, RequestFailed, Unreachable

APPS = "apps.tako.sh"
ServeIn = Callable[..., Served]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Start server processes on one data directory; those left are killed."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.api.serve", str(tmp_path / "data")]
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        return child

    yield start
    for child in started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def test_no_acknowledged_write_is_lost_by_kill_9(tmp_path: Path, process: Callable[[], Any]) -> None:
    child, socket = process(), tmp_path / "data" / "api.sock"
    acknowledged: dict[str, str] = {}
    enough = threading.Event()

    def write(writer: int) -> None:
        with Client.connect(socket) as client:
            for number in range(10_000):
                name = f"app-{writer}-{number}"
                try:
                    made = client.create(APPS, "production", app(name))
                except Unreachable:
                    return
                acknowledged[name] = made["metadata"]["resourceVersion"]
                if len(acknowledged) > 400:
                    enough.set()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    os.kill(child.pid, signal.SIGKILL)
    for writer in writers:
        writer.join()
    process()
    with Client.connect(socket) as client:
        stored = {doc["metadata"]["name"]: doc["metadata"]["resourceVersion"] for doc in client.list(APPS)["items"]}
    assert acknowledged.items() <= stored.items()


def test_a_watch_goes_on_across_a_restart_without_a_gap(tmp_path: Path, process: Callable[[], Any]) -> None:
    child, socket = process(), tmp_path / "data" / "api.sock"
    with Client.connect(socket) as client:
        revision = client.create(APPS, "production", app("one"))["metadata"]["resourceVersion"]
        client.create(APPS, "production", app("two"))
        child.kill()
        child.wait()
        process()
        client.close()
        client.create(APPS, "production", app("three"))
        seen = [doc["metadata"]["name"] for _, doc in client.watch(APPS, revision=revision, timeout_seconds=1)]
    assert seen == ["two", "three"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    mounted = tmp_path / "small"
    mounted.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", mounted], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield mounted
    subprocess.run(["umount", "-l", mounted], check=True)


def test_a_full_disk_refuses_writes_serves_reads_and_recovers(serve: ServeIn, small_disk: Path) -> None:
    served, ballast = serve(small_disk / "data"), small_disk / "ballast"
    with served.client() as client:
        client.create(APPS, "production", app("kept"))
        refused = _fill(client, ballast)
        assert refused.code == 507
        assert str(small_disk) in str(refused)
        assert client.get(APPS, "production", "kept")["metadata"]["name"] == "kept"
        stored = {doc["metadata"]["name"] for doc in client.list(APPS)["items"]}
        ballast.unlink()
        client.create(APPS, "production", app("after"))
        assert {doc["metadata"]["name"] for doc in client.list(APPS)["items"]} == {*stored, "after"}


def test_a_server_starts_on_a_full_disk_and_serves_reads(serve: ServeIn, small_disk: Path) -> None:
    served = serve(small_disk / "data")
    ballast = small_disk / "ballast"
    with served.client() as client:
        client.create(APPS, "production", app("kept"))
        _fill(client, ballast)
        stored = {doc["metadata"]["name"] for doc in client.list(APPS)["items"]}
    served.stop()
    again = serve(small_disk / "data")
    with again.client() as client:
        assert {doc["metadata"]["name"] for doc in client.list(APPS)["items"]} == stored
        _fill(client, small_disk / "more ballast")
        ballast.unlink()
        client.create(APPS, "production", app("after"))


def _fill(client: Client, ballast: Path) -> RequestFailed:
    """Take all the space, then write until it is refused."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096) == 4096:
                pass
        except OSError:
            pass
    for number in range(2000):
        try:
            client.create(APPS, "production", app(f"more-{number}", env={"PADDING": "x" * 20_000}))
        except RequestFailed as error:
            return error
    raise AssertionError("the disk never became full")


async def test_a_damaged_file_is_restored_from_its_snapshot(tmp_path: Path) -> None:
    await _with_one_app(tmp_path)
    path = tmp_path / "state.sqlite"
    before = _revision(path)
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 3] = os.urandom(4096 * 2)
    path.write_bytes(content)
    server = await ApiServer.open(tmp_path, crds=CRDS)
    try:
        assert (await server.resources.get(APPS, "production", "hello"))["spec"]["main"] == "index.mjs"
        assert server.notice and "restored from the snapshot" in server.notice
        # Whoever remembers a revision of the lost time must list again.
        assert server.store.feed.compacted > before
    finally:
        await server.close()
    assert list(tmp_path.glob("state.damaged-*.sqlite"))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("state*.sqlite*")} == {0o600}


async def test_a_deleted_file_is_restored_from_its_snapshot(tmp_path: Path) -> None:
    await _with_one_app(tmp_path)
    for path in tmp_path.glob("state.sqlite*"):
        path.unlink()
    server = await ApiServer.open(tmp_path, crds=CRDS)
    try:
        assert await server.resources.get(APPS, "production", "hello")
        assert server.notice and "is missing" in server.notice
    finally:
        await server.close()


async def test_without_a_snapshot_damage_is_refused_with_the_way_out_and_nothing_is_touched(tmp_path: Path) -> None:
    await _with_one_app(tmp_path)
    (tmp_path / "state.snapshot.sqlite").unlink()
    (tmp_path / "state.sqlite").write_bytes(b"not a database" * 1000)
    for _ in range(2):
        with pytest.raises(StoreDamaged, match=r"move .* away to start with nothing declared"):
            await ApiServer.open(tmp_path, crds=CRDS)
    assert (tmp_path / "state.sqlite").read_bytes().startswith(b"not a database")


async def test_a_file_deleted_under_a_running_server_is_written_anew(tmp_path: Path) -> None:
    server = await ApiServer.open(tmp_path, crds=CRDS)
    await server.resources.create(APPS, "production", app("before"))
    for path in tmp_path.glob("state.sqlite*"):
        path.unlink()
    await server.resources.create(APPS, "production", app("after"))
    await server.close()
    again = await ApiServer.open(tmp_path, crds=CRDS)
    try:
        docs, _ = await again.resources.list(APPS)
        assert [doc["metadata"]["name"] for doc in docs] == ["after", "before"]
        assert again.notice is None
    finally:
        await again.close()


async def test_history_is_trimmed_and_the_file_does_not_only_grow(tmp_path: Path) -> None:
    server = await ApiServer.open(tmp_path, crds=CRDS)
    padding = {"PADDING": "x" * 5_000}
    await server.resources.create(APPS, "production", app("busy", env=padding))
    for number in range(2_500):
        await server.resources.merge_patch(APPS, "production", "busy", {"spec": {"instances": number % 7 + 2}})
    await server.close()
    assert (tmp_path / "state.sqlite").stat().st_size < 12 * 1024**2
    connection = sqlite3.connect(tmp_path / "state.sqlite")
    (rows,) = connection.execute("SELECT COUNT(*) FROM log").fetchone()
    connection.close()
    assert rows <= 1_200


async def test_a_second_server_on_the_directory_is_refused(tmp_path: Path) -> None:
    server = await ApiServer.open(tmp_path, crds=CRDS)
    try:
        with pytest.raises(Refused, match=f"pid {os.getpid()}"):
            await ApiServer.open(tmp_path, crds=CRDS)
    finally:
        await server.close()


async def test_a_socket_left_by_a_killed_server_is_replaced(tmp_path: Path, process: Callable[[], Any]) -> None:
    child, socket = process(), tmp_path / "data" / "api.sock"
    child.kill()
    child.wait()
    assert socket.exists()
    process()
    with Client.connect(socket) as client:
        assert client.list("namespaces")["items"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_defect_in_the_writer_is_told_and_nobody_waits_for_ever(tmp_path: Path) -> None:
    server = await ApiServer.open(tmp_path, crds=CRDS)
    made = await server.resources.create(APPS, "production", app("hello"))
    # What should be impossible: a value that no database can take.
    key, revision = Key(APPS, "production", "zero"), server.store.next_revision()
    entry = Entry(key, Unstorable("x"), revision, raw=b"{}", labels={}, owners=(), deleting=False)
    with pytest.raises(StoreFailed, match="restart"):
        await server.store.commit(Change(ChangeType.ADDED, entry, None))
    for name in ("one", "two"):
        with pytest.raises(StoreFailed, match="restart"):
            await server.resources.create(APPS, "production", app(name))
    assert (await server.resources.get(APPS, "production", "hello")) == made
    await server.close()
    again = await ApiServer.open(tmp_path, crds=CRDS)
    assert [doc["metadata"]["name"] for doc in (await again.resources.list(APPS))[0]] == ["hello"]
    await again.close()


async def test_a_data_directory_that_cannot_be_made_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="file/data cannot be used: Not a directory; name another with --data-dir"):
        await ApiServer.open(tmp_path / "file" / "data", crds=CRDS)


class Unstorable(str):
    """Says it is text, and fails to be."""

    def __conform__(self, protocol: object) -> object:
        raise LookupError("a defect")


async def _with_one_app(data_dir: Path) -> None:
    """Leave a directory as a server that was stopped leaves it."""
    server = await ApiServer.open(data_dir, crds=CRDS)
    await server.resources.create(APPS, "production", app("hello"))
    await server.close()


def _revision(path: Path) -> int:
    connection = sqlite3.connect(path)
    (revision,) = connection.execute("SELECT v FROM meta WHERE k = 'revision'").fetchone()
    connection.close()
    return int(revision)
