"""What nobody asks for does not run; the first who asks waits for its boot and no longer."""

import time
from concurrent.futures import ThreadPoolExecutor

from e2e.host import Host, eventually


def asleep(host: Host, name: str) -> bool:
    return not any(
        each.get("status", {}).get("state") in ("Starting", "Ready", "Healthy") for each in host.instances(name)
    )


def test_an_idle_app_is_stopped_and_started_by_the_next_request(host: Host) -> None:
    host.apply(host.document("nap", instances=0, idleTimeoutSeconds=1))
    for _ in range(3):
        eventually("the app to sleep", lambda: asleep(host, "nap") and not host.orphans())
        assert host.fetch("nap").json()["app"] == "nap"


def test_an_app_with_requests_is_not_put_to_sleep(host: Host) -> None:
    host.apply(host.document("busy", instances=0, idleTimeoutSeconds=1))
    pid = host.fetch("busy").json()["pid"]
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert host.fetch("busy", "/?ms=300").json()["pid"] == pid


def test_a_request_longer_than_the_idle_timeout_is_finished(host: Host) -> None:
    host.apply(host.document("slow", instances=0, idleTimeoutSeconds=1))
    assert host.fetch("slow", "/?ms=4000").status == 200


def test_requests_that_come_together_while_an_app_starts_share_one_instance(host: Host) -> None:
    host.apply(
        host.document("crowd", instances=0, idleTimeoutSeconds=1, env={"MODE": "slow-boot", "BOOT_SECONDS": "1"})
    )
    eventually("the app to sleep", lambda: asleep(host, "crowd"))
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: host.fetch("crowd"), range(40)))
    assert [answer.status for answer in answers] == [200] * 40
    assert len({answer.json()["instance"] for answer in answers}) == 1


def test_a_sleeping_app_that_cannot_start_is_answered_with_502(host: Host) -> None:
    document = host.document("broken", instances=0, env={"MODE": "exit"})
    host.apply(document, wait=False)
    eventually("its route to be in the table", lambda: host.fetch("broken").status != 404)
    answer = host.fetch("broken")
    assert answer.status == 502
    assert answer.headers["cache-control"] == "private, no-store"


def test_a_sleeping_app_wakes_though_the_server_was_killed_and_came_back(host: Host) -> None:
    host.apply(host.document("nap", instances=0, idleTimeoutSeconds=1))
    eventually("the app to sleep", lambda: asleep(host, "nap"))
    host.kill_server()
    host.start()
    assert host.fetch("nap").json()["app"] == "nap"


def test_a_request_that_comes_while_the_server_is_away_is_answered_when_it_is_back(host: Host) -> None:
    host.apply(host.document("nap", instances=0, idleTimeoutSeconds=1))
    eventually("the app to sleep", lambda: asleep(host, "nap"))
    host.kill_server()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(host.fetch, "nap")
        host.start()
        assert answer.result(timeout=40).status == 200
