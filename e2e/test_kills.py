"""Whatever is killed, visitors do not notice more than they must."""

import random
import time

from e2e.host import Host, eventually
from e2e.load import Load
from e2e.processes import kill, named, ports_of, processes_of

# Where in its start the next kill finds the server; the first answers come after some 0.5 s.
MOMENTS = random.Random(20).choices([0.1, 0.3, 0.6, 1.0, 1.5], k=20)


def test_visitors_do_not_notice_that_tako_server_was_killed_twenty_times(host: Host) -> None:
    host.apply(host.document("hello", instances=2), host.document("world", instances=1))
    before = {"hello": host.await_healthy("hello", 2), "world": host.await_healthy("world", 1)}
    with Load(host.https_port, ["hello.localhost", "world.localhost"]) as load:
        for moment in MOMENTS:
            host.kill_server()
            load.wait_for_requests(20)
            host.spawn()
            time.sleep(moment)
        eventually("the API to answer", host.answers, 30)
        load.wait_for_requests(100)
        after = {name: host.await_healthy(name, len(pids)) for name, pids in before.items()}
    assert load.report.failures == [], load.report.explain()
    assert after == before
    assert host.orphans() == set()


def test_a_killed_server_comes_back_to_the_documents_it_had_acknowledged(host: Host) -> None:
    for number in range(10):
        host.apply(host.document(f"app{number}", instances=0), wait=False)
    host.kill_server()
    host.start()
<<<<<<< HEAD
    names = {app["metadata"]["name"] for app in host.every("apps.tako.sh")}
=======
    names = {app["metadata"]["name"] for app in host.documents("apps.tako.sh")}
>>>>>>> repo
    assert names == {f"app{number}" for number in range(10)}


def test_only_requests_in_flight_fail_when_one_of_three_instances_is_killed(host: Host) -> None:
    host.apply(host.document("hello", instances=3, maxInstances=6))
    before = host.await_healthy("hello", 3)
    victim = next(iter(before.values()))
    with Load(host.https_port, ["hello.localhost"], path="/?ms=20") as load:
        load.wait_for_requests(100)
        dead_at = kill([victim])
        eventually("the dead one to be gone", lambda: victim not in host.healthy("hello").values())
        healed = host.await_healthy("hello", 3)
        load.wait_for_requests(200)
    late = [failure for failure in load.report.failures if failure.begun > dead_at]
    assert late == [], load.report.explain()
    assert len(load.report.failures) <= 9, load.report.explain()  # no more than there were clients
    assert victim not in healed.values()
    assert set(before.values()) - {victim} < set(healed.values())


def test_no_connection_is_refused_when_the_proxy_is_killed(host: Host) -> None:
    host.apply(host.document("hello", instances=2))
    before = host.await_healthy("hello", 2)
    with Load(host.https_port, ["hello.localhost"]) as load:
        for _ in range(5):
            load.wait_for_requests(100)
            dead_at = kill([host.proxy_pid()])
            eventually("another proxy", lambda: named(host.data_dir, "tako-proxyd"))
            load.wait_for_requests(50)
            # A connection that the dead proxy held is gone with it; what came after must not have noticed.
            fresh = [each for each in load.report.failures if each.begun > dead_at and not each.reused]
            assert fresh == [], load.report.explain()
    assert load.report.refused() == [], load.report.explain()
    assert host.healthy("hello") == before


def test_everything_comes_back_when_the_server_alone_is_started_after_a_power_cut(host: Host) -> None:
    names = ["one", "two", "three", "four"]
    host.apply(*(host.document(name, instances=2) for name in names))
    before = {pid for name in names for pid in host.await_healthy(name, 2).values()}
    host.kill_everything()
    assert processes_of(host.data_dir) == set()
    host.start()
    for name in names:
        host.await_healthy(name, 2)
        assert host.fetch(name).json()["app"] == name
    with Load(host.https_port, [f"{name}.localhost" for name in names]) as load:
        load.wait_for_requests(100)
    assert load.report.failures == [], load.report.explain()
    assert host.orphans() == set()
    assert host.instance_pids().isdisjoint(before)
    expected = {each["status"]["port"] for each in host.instances() if each["status"].get("state") == "Healthy"}
    assert ports_of(host.instance_pids()) == expected


def test_a_server_killed_while_it_starts_an_instance_leaves_no_orphan(host: Host) -> None:
    host.apply(host.document("slow", env={"MODE": "slow-boot", "BOOT_SECONDS": "1"}), wait=False)
    for _ in range(5):
        eventually("an instance", lambda: len(processes_of(host.data_dir)) > 1)
        host.kill_server()
        host.start()
    host.await_healthy("slow", 1)
    eventually("no orphan", lambda: host.orphans() == set())
