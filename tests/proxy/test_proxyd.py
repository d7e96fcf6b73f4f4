import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tako.model.control import Endpoint, Policies, TableApp
from tako.model.errors import Refused
from tako.model.names import DeploymentId
from tako.proxy import finishing, proxyd
from tako.proxy.listeners import Ports
from tako.proxy.proxyd import Proxy
from tako.proxy.restarts import restart_delay
from tako.proxy.table import Claim, TableContent, compile_table
from tests.proxy.conftest import Said, StartProxy, Visitor, is_running, until

SHOP = DeploymentId("shop", "production")


def content(*endpoints: Endpoint, policies: Policies | None = None) -> TableContent:
    return compile_table(
        [TableApp(app=str(SHOP), endpoints=endpoints)], [Claim.declare(SHOP, "shop.localhost")], policies=policies
    )


def active(name: str) -> Endpoint:
    return Endpoint(instance=name, addr="127.0.0.1:9")


def draining(name: str) -> Endpoint:
    return Endpoint(instance=name, addr="127.0.0.1:9", state="draining")


def instances_on_disk(directory: Path) -> list[str]:
    try:
        table = json.loads((directory / "table.json").read_text())
    except FileNotFoundError:
        return []
    return [endpoint["instance"] for app in table["apps"] for endpoint in app["endpoints"]]


async def kill_and_see_another(proxy: Proxy) -> None:
    pid = proxy.seen.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: proxy.seen.pid not in (pid, None) and proxy.seen.is_connected)


async def test_a_table_is_confirmed_and_kept_on_disk(start_proxy: StartProxy, directory: Path) -> None:
    proxy = await start_proxy()
    wanted = content(active("a"))
    generation = proxy.push(wanted)
    await proxy.settled(generation)
    assert proxy.seen.generation == generation
    await until(lambda: instances_on_disk(directory) == ["a"])
    assert json.loads((directory / "table.json").read_text())["generation"] == generation


async def test_wanting_the_same_table_again_sends_nothing(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    generation = proxy.push(content(active("a"), active("b")))
    await proxy.settled(generation)
    assert proxy.push(content(active("b"), active("a"))) == generation
    assert proxy.generation_of(content(active("a"), active("b"))) == generation
    assert proxy.generation_of(content()) is None


async def test_many_changes_in_a_row_settle_at_the_last(start_proxy: StartProxy, directory: Path) -> None:
    proxy = await start_proxy()
    for index in range(200):
        generation = proxy.push(content(active(f"i{index}")))
    await proxy.settled(generation)
    await until(lambda: instances_on_disk(directory) == ["i199"])


async def test_a_drained_instance_is_told_once(start_proxy: StartProxy, said: Said) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(active("a"), active("b"))))
    proxy.push(content(active("a"), draining("b")))
    await until(lambda: said.drained)
    assert said.drained == [("shop/production", "b")]


async def test_a_killed_proxy_is_started_again_and_no_connect_is_refused(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    generation = proxy.push(content(active("a")))
    await proxy.settled(generation)
    with Visitor(proxy.http_port or 0) as visitor:
        for _ in range(5):
            answered = visitor.answered
            await kill_and_see_another(proxy)
            await proxy.settled(generation)
            await until(lambda answered=answered: visitor.answered > answered)
    assert visitor.refused == []
    # A request that the killed process had begun to read is lost with it; one worker thread asks, so one a kill.
    assert len(visitor.unanswered) <= 5
    assert proxy.seen.restarts == 5


async def test_a_proxy_that_starts_again_is_told_the_table_under_a_later_generation(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    first = proxy.push(content(active("a")))
    await proxy.settled(first)
    await kill_and_see_another(proxy)
    await proxy.settled(first)
    assert proxy.seen.generation >= first
    assert proxy.push(content(active("b"))) > proxy.seen.generation


SERVER = """
import asyncio, pathlib, sys
from tako.proxy import finishing, proxyd
from tako.proxy.listeners import Ports
from tako.proxy.proxyd import Proxy
from tests.proxy.test_proxyd import active, content

async def serve():
    proxy = Proxy(pathlib.Path(sys.argv[1]), Ports(0, 0, "127.0.0.1"), pathlib.Path(sys.argv[2]), workers=2)
    await proxy.start()
    generation = proxy.push(content(active("a")))
    await proxy.settled(generation)
    print(proxy.seen.pid, proxy.http_port, proxy.https_port, generation, flush=True)
    await asyncio.sleep(3600)

asyncio.run(serve())
"""


def start_server(directory: Path, binary: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Run a Proxy in a process of its own; returns it and pid, ports and generation of what it serves."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(directory), str(binary)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server, [int(word) for word in server.stdout.readline().split()]


def kill_server(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()
    assert server.stdout is not None
    server.stdout.close()


async def test_the_next_server_adopts_the_running_proxy_with_its_sockets(
    start_proxy: StartProxy, directory: Path, binary: Path
) -> None:
    server, (pid, http_port, https_port, generation) = await asyncio.to_thread(start_server, directory, binary)
    with Visitor(http_port) as visitor:
        kill_server(server)
        assert is_running(pid)
        proxy = await start_proxy()
        assert (proxy.seen.pid, proxy.http_port, proxy.https_port) == (pid, http_port, https_port)
        later = proxy.push(content(active("a")))
        await proxy.settled(later)
        assert later > generation
    assert (visitor.refused, visitor.unanswered) == ([], [])
    assert visitor.answered > 0
    # The sockets are really ours: they go on accepting while the adopted proxy is killed.
    with Visitor(http_port) as visitor:
        await kill_and_see_another(proxy)
        await until(lambda: visitor.answered)
    assert visitor.refused == []


async def test_a_server_killed_over_and_over_costs_no_request(directory: Path, binary: Path) -> None:
    server, (pid, http_port, _, generation) = await asyncio.to_thread(start_server, directory, binary)
    with Visitor(http_port) as visitor:
        for _ in range(5):
            kill_server(server)
            server, seen = await asyncio.to_thread(start_server, directory, binary)
            assert seen[:2] == [pid, http_port]
            assert seen[3] > generation
            generation = seen[3]
    kill_server(server)
    assert (visitor.refused, visitor.unanswered) == ([], [])


async def test_a_lost_connection_is_taken_up_again(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    first = proxy.push(content(active("a")))
    await proxy.settled(first)
    pid = proxy.seen.pid
    member = proxy._members.find(pid or 0)
    assert member is not None
    assert member.connection is not None
    member.connection._lose("cut by the test")
    assert not proxy.seen.is_connected
    second = proxy.push(content(active("b")))
    await proxy.settled(second)
    assert proxy.seen.pid == pid


async def test_a_new_build_takes_over_without_a_failed_request(start_proxy: StartProxy, said: Said) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(active("a"), active("b"))))
    with Visitor(proxy.http_port or 0) as visitor:
        for _ in range(5):
            old, answered = proxy.seen.pid or 0, visitor.answered
            await proxy.replace(drain_seconds=2)
            assert proxy.seen.pid != old
            await until(lambda old=old: not is_running(old))
            await until(lambda answered=answered: visitor.answered > answered)
    assert visitor.refused == []
    proxy.push(content(active("a"), draining("b")))
    await until(lambda: said.drained)
    assert proxy.seen.restarts == 0


async def test_a_new_build_that_does_not_come_up_changes_nothing(start_proxy: StartProxy, tmp_path: Path) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(active("a"))))
    pid = proxy.seen.pid
    with pytest.raises(Refused, match="the old one goes on serving"):
        await proxy.replace(Path("/bin/false"))
    with pytest.raises(Refused, match="cannot be started"):
        await proxy.replace(tmp_path / "missing")
    assert proxy.seen.pid == pid
    await proxy.settled(proxy.push(content(active("b"))))
    await kill_and_see_another(proxy)


async def test_a_server_with_another_build_replaces_the_proxy_it_adopts(
    start_proxy: StartProxy, binary: Path, tmp_path: Path
) -> None:
    first = await start_proxy()
    await first.settled(first.push(content(active("a"))))
    old, port = first.seen.pid or 0, first.http_port
    first.detach()
    newer = tmp_path / "newer-build"
    shutil.copy2(binary, newer)
    second = await start_proxy(binary=newer)
    assert second.seen.pid != old
    assert second.http_port == port
    await until(lambda: not is_running(old))


async def test_a_server_with_another_port_keeps_the_one_that_did_not_change(start_proxy: StartProxy) -> None:
    first = await start_proxy()
    await first.settled(first.push(content(active("a"))))
    http_port, https_port = first.http_port or 0, first.https_port or 0
    first.detach()
    with socket.create_server(("127.0.0.1", 0)) as free:
        other = free.getsockname()[1]
    with Visitor(http_port) as visitor:
        second = await start_proxy(http=http_port, https=other)
        await until(lambda: visitor.answered)
    assert visitor.refused == []
    assert (second.http_port, second.https_port) == (http_port, other)
    assert https_port != other


async def test_a_table_that_cannot_be_used_is_refused_and_the_next_one_is_taken(
    start_proxy: StartProxy, binary: Path
) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(active("a"))))
    unusable = content(Endpoint(instance="b", addr="nowhere"), policies=Policies(max_requests_per_ip=13))
    generation = proxy.push(unusable)
    with pytest.raises(Refused, match="refused the table"):
        await proxy.settled(generation)
    assert proxy.seen.fault
    assert proxy.seen.generation < generation
    await proxy.settled(proxy.push(content(active("c"))))
    assert proxy.seen.fault == ""


async def test_a_taken_port_is_named_and_nothing_is_left_behind(start_proxy: StartProxy, directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Refused, match=rf"HTTPS port {port} .*is in use.*--https-port"):
            await start_proxy(https=port)
    await start_proxy(https=port)


async def test_a_stale_control_socket_is_replaced(start_proxy: StartProxy, directory: Path) -> None:
    directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(directory / "control.sock"))
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content()))
    assert (directory / "control.sock").stat().st_mode & 0o777 == 0o600


async def test_two_servers_on_one_data_directory_are_refused(start_proxy: StartProxy) -> None:
    proxy = await start_proxy()
    with pytest.raises(Refused, match="another tako-server listens"):
        await start_proxy()
    await proxy.settled(proxy.push(content()))


async def test_a_proxy_whose_record_was_lost_is_found_again(start_proxy: StartProxy, directory: Path) -> None:
    first = await start_proxy()
    await first.settled(first.push(content(active("a"))))
    ports = {"http": first.http_port or 0, "https": first.https_port or 0}
    first.detach()
    shutil.rmtree(directory)
    second = await start_proxy(**ports)
    assert (second.http_port, second.https_port) == (ports["http"], ports["https"])
    await second.settled(second.push(content(active("a"))))


async def test_a_data_directory_deleted_under_the_server_does_not_end_the_serving(
    start_proxy: StartProxy, directory: Path
) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(active("a"))))
    shutil.rmtree(directory)
    await proxy.settled(proxy.push(content(active("b"))))
    await kill_and_see_another(proxy)
    await proxy.settled(proxy.push(content(active("c"))))
    await until(lambda: instances_on_disk(directory) == ["c"])


async def test_a_hung_proxy_is_replaced_by_the_next_server(
    start_proxy: StartProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await start_proxy()
    await first.settled(first.push(content(active("a"))))
    hung, port = first.seen.pid or 0, first.http_port or 0
    first.detach()
    os.kill(hung, signal.SIGSTOP)
    monkeypatch.setattr(proxyd, "ADOPT_TIMEOUT_SECONDS", 0.3)
    second = await start_proxy(http=port)
    await second.settled(second.push(content(active("b"))))
    assert second.seen.pid != hung
    assert not is_running(hung)


async def test_a_proxy_that_does_not_come_back_is_replaced(
    start_proxy: StartProxy, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finishing, "RECONNECT_TIMEOUT_SECONDS", 0.2)
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content(active("a"))))
    old = proxy.seen.pid or 0
    member = proxy._members.find(old)
    assert member is not None
    assert member.connection is not None
    os.kill(old, signal.SIGSTOP)
    member.connection._lose("cut by the test")
    await until(lambda: proxy.seen.pid not in (old, None) and proxy.seen.is_connected)
    await proxy.settled(proxy.push(content(active("b"))))


async def test_a_proxy_that_ends_at_its_start_is_reported(start_proxy: StartProxy) -> None:
    proxy = await start_proxy(binary=Path("/bin/false"))
    await until(lambda: "ended right after its start" in proxy.seen.fault)
    assert not proxy.seen.is_connected


async def test_a_missing_binary_is_named_with_what_to_do(start_proxy: StartProxy, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"nowhere/tako-proxyd.*cargo build"):
        await start_proxy(binary=tmp_path / "nowhere" / "tako-proxyd")


async def test_stopping_ends_the_proxy_and_frees_the_ports(start_proxy: StartProxy, directory: Path) -> None:
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content()))
    pid, port = proxy.seen.pid or 0, proxy.http_port or 0
    await proxy.stop(drain_seconds=1)
    assert not is_running(pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert not (directory / "control.sock").exists()


async def test_no_public_socket_is_inherited_by_what_the_server_starts(start_proxy: StartProxy) -> None:
    first = await start_proxy()
    await first.settled(first.push(content()))
    first.detach()
    adopted = await start_proxy()
    assert adopted._listeners is not None
    assert not any(found.get_inheritable() for found in adopted._listeners.sockets.values())


def test_a_proxy_that_fails_at_its_start_is_started_again_ever_more_slowly() -> None:
    delays = [restart_delay(failures) for failures in range(10)]
    assert delays[:3] == [0, 0, 0.1]
    assert delays == sorted(delays)
    assert max(delays) == 5


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1, "start_ticks": null, "build": []}'])
async def test_a_damaged_record_does_not_stop_the_server(start_proxy: StartProxy, directory: Path, text: str) -> None:
    directory.mkdir(parents=True)
    (directory / "proxyd.json").write_text(text)
    proxy = await start_proxy()
    await proxy.settled(proxy.push(content()))


def test_ports_of_zero_take_any() -> None:
    assert Ports(0, 0).by_role() == {"http": 0, "https": 0}
