"""What a host goes through: files deleted, files corrupt, sockets left over."""

import shutil
import subprocess

from e2e import processes
from e2e.host import Host, eventually


def test_a_stale_socket_is_replaced(host: Host) -> None:
    host.kill_server()
    assert host.socket.exists()
    host.start()


def test_a_second_server_on_the_same_data_is_refused_and_the_first_goes_on(host: Host) -> None:
    first = host.server
    second = host.spawn()
    assert second.wait(timeout=20) != 0
    assert str(host.data_dir) in host.log_tail()
    assert first.poll() is None
    assert host.tako("get", "hosts").returncode == 0
    host._server = first


def test_a_deleted_state_is_made_anew_and_the_documents_may_be_applied_again(host: Host) -> None:
    document = host.document("hello", instances=2)
    host.apply(document)
    host.kill_server()
    for file in host.data_dir.glob("state.sqlite*"):
        file.unlink()
    host.start()
    host.apply(document)
    assert host.fetch("hello").json()["app"] == "hello"
    host.await_healthy("hello", 2)
    eventually("no orphan", lambda: host.orphans() == set())


def test_a_corrupt_state_is_refused_with_the_way_out_or_recovered(host: Host) -> None:
    document = host.document("hello")
    host.apply(document)
    assert host.fetch("hello").status == 200
    host.kill_server()
    for file in host.data_dir.glob("state.sqlite*"):
        file.write_bytes(b"this is not a database" * 500)
    server = host.spawn()
    try:
        code = server.wait(timeout=5)
    except subprocess.TimeoutExpired:
        eventually("the API to answer", host.answers)
        host.apply(document)
    else:
        assert code != 0
        assert "state.sqlite" in host.log_tail()
    # Either way the app has been serving all the time.
    assert host.fetch("hello").json()["app"] == "hello"


def test_deleted_files_of_a_release_are_made_again_when_they_are_needed(host: Host) -> None:
    host.apply(host.document("hello"))
    before = host.await_healthy("hello", 1)
    shutil.rmtree(host.data_dir / "apps" / "hello" / "production" / "releases")
    assert host.fetch("hello").json()["app"] == "hello"
    processes.kill(before.values())
    # Noticed within ten seconds, and the next start waits for its turn.
    eventually("another instance", lambda: set(host.healthy("hello").values()) - set(before.values()), 40)
    assert host.fetch("hello").json()["app"] == "hello"


def test_a_deleted_data_directory_is_a_fresh_start(host: Host) -> None:
    host.apply(host.document("hello"))
    host.kill_everything()
    shutil.rmtree(host.data_dir)
    host.start()
    assert host.documents("apps.tako.sh") == []
    host.apply(host.document("hello"))
    assert host.fetch("hello").json()["app"] == "hello"


def test_a_data_directory_deleted_under_a_running_server_is_noticed(host: Host) -> None:
    host.apply(host.document("hello"))
    shutil.rmtree(host.data_dir)
    eventually("the server to end or to begin anew", lambda: host.server.poll() is not None or host.socket.exists(), 60)
    if host.server.poll() is not None:
        assert str(host.data_dir) in host.log_tail()


def test_a_table_that_is_corrupt_is_replaced(host: Host) -> None:
    host.apply(host.document("hello"))
    host.kill_everything()
    (host.data_dir / "proxy" / "table.json").write_text("{ not json")
    host.start()
    host.await_healthy("hello", 1)
    assert host.fetch("hello").json()["app"] == "hello"
