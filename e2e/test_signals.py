"""What a service manager does to tako-server: stop it, or have it start anew."""

import os
import signal

from e2e.host import Host, eventually
from e2e.load import Load
from e2e.processes import processes_of


def test_a_stopped_service_leaves_nothing_behind_and_comes_back_whole(host: Host) -> None:
    host.apply(host.document("hello", instances=2), host.document("nap", instances=0))
    host.server.send_signal(signal.SIGTERM)
    # The proxy gives open connections two seconds to say their last.
    assert host.server.wait(timeout=8) == 0, host.log_tail()
    assert processes_of(host.data_dir) == set()
    host.start()
    host.await_healthy("hello", 2)
    assert host.fetch("hello").json()["app"] == "hello"


def test_requests_in_flight_are_answered_before_a_stop(host: Host) -> None:
    host.apply(host.document("hello"))
    with Load(host.https_port, ["hello.localhost"], path="/?ms=1500", keep_alive=4, fresh=0) as load:
        eventually("requests in flight", lambda: load.report.requests >= 4)
        asked = load.report.requests
        host.server.send_signal(signal.SIGTERM)
        eventually("the answers", lambda: load.report.requests >= asked + 4)
        answered = load.report.failures[:]
        host.server.wait(timeout=20)
    assert [failure for failure in answered if failure.phase != "connect"] == [], load.report.explain()


def test_a_server_that_is_told_to_start_anew_keeps_every_process_and_fails_no_request(host: Host) -> None:
    host.apply(host.document("hello", instances=2))
    before, proxy = host.await_healthy("hello", 2), host.proxy_pid()
    with Load(host.https_port, ["hello.localhost"]) as load:
        for _ in range(3):
            start_anew(host)
            load.wait_for_requests(50)
    assert load.report.failures == [], load.report.explain()
    assert host.await_healthy("hello", 2) == before
    assert host.proxy_pid() == proxy


def test_a_configuration_with_a_fault_is_not_reloaded_and_stops_nothing(host: Host) -> None:
    host.apply(host.document("hello"))
    config = host.data_dir / "config.json"
    config.write_text('{"trusted_proxy": {"trusted_cidrs": ["10.0.0.300"]}}')
    os.kill(host.server.pid, signal.SIGHUP)
    eventually("the refusal", lambda: "trusted_proxy.trusted_cidrs[0]" in host.log_tail())
    assert host.server.poll() is None and host.fetch("hello").json()["app"] == "hello"
    config.write_text('{"trusted_proxy": {"trusted_cidrs": ["10.0.0.0/8"]}}')
    start_anew(host)

    def trusted() -> list[str]:
        status = host.documents("hosts.tako.sh")[0].get("status", {})
        found: list[str] = status.get("trustedProxy", {}).get("trustedCidrs", [])
        return found

    assert eventually("the new settings", trusted) == ["10.0.0.0/8"]


def start_anew(host: Host) -> None:
    def starts() -> int:
        return host.log_path.read_text().count("serves on ports")

    before = starts()
    os.kill(host.server.pid, signal.SIGHUP)
    eventually("another start in the log", lambda: starts() > before)
