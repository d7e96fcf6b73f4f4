"""A release is replaced without anybody noticing, or not at all."""

from e2e.host import Host, eventually
from e2e.load import Load


def serves(host: Host, name: str, release: str) -> bool:
    return host.fetch(name).json()["release"] == release


def test_a_rolling_update_of_three_instances_fails_no_request(host: Host) -> None:
    host.apply(host.document("hello", instances=3, maxInstances=6))
    before = host.await_healthy("hello", 3)
    with Load(host.https_port, ["hello.localhost"], path="/?ms=10") as load:
        for release in ("2", "3"):
            host.apply(host.document("hello", instances=3, maxInstances=6, env={"RELEASE": release}))
        load.wait_for_requests(100)
    assert load.report.failures == [], load.report.explain()
    assert load.report.releases == ["1", "2", "3"]
    after = host.await_healthy("hello", 3)
    assert set(after).isdisjoint(before)
    assert serves(host, "hello", "3")
    eventually("no process of an old release", lambda: host.orphans() == set() and len(host.instance_pids()) == 3)


def test_changed_files_make_a_new_release(host: Host) -> None:
    document = host.document("hello", instances=2)
    host.apply(document)
    first = host.app("hello")["status"]["release"]
    program = host.source("hello") / "serve.py"
    program.write_text(program.read_text().replace('os.environ.get("RELEASE", "")', '"edited"'))
    with Load(host.https_port, ["hello.localhost"]) as load:
        host.apply(document)
        load.wait_for_requests(50)
    assert load.report.failures == [], load.report.explain()
    assert load.report.releases == ["1", "edited"]
    assert host.app("hello")["status"]["release"] != first


def test_applying_the_same_document_again_starts_nothing(host: Host) -> None:
    document = host.document("hello", instances=2)
    host.apply(document)
    before, version = host.await_healthy("hello", 2), host.app("hello")["metadata"]["resourceVersion"]
    assert "unchanged" in host.apply(document)
    assert host.healthy("hello") == before
    assert host.app("hello")["metadata"]["resourceVersion"] == version


def test_a_release_that_crashes_on_boot_leaves_the_old_one_serving_and_says_why(host: Host) -> None:
    host.apply(host.document("hello", instances=3, maxInstances=6))
    before = host.await_healthy("hello", 3)
    with Load(host.https_port, ["hello.localhost"]) as load:
        host.apply(host.document("hello", instances=3, maxInstances=6, env={"MODE": "exit"}), wait=False)
        said = eventually("a condition that says why", lambda: why(host, "hello"))
        load.wait_for_requests(200)
        assert host.healthy("hello") == before
        # The way out is another release.
        host.apply(host.document("hello", instances=3, maxInstances=6, env={"RELEASE": "2"}))
    assert "cannot reach the database at db.invalid" in said
    assert load.report.failures == [], load.report.explain()
    assert load.report.releases == ["1", "2"]


def why(host: Host, name: str) -> str:
    """The message of whichever condition speaks of the process that exited."""
    conditions = host.app(name).get("status", {}).get("conditions") or []
    messages = [each["message"] for each in conditions]
    return next((message for message in messages if "exited with" in message), "")


def test_a_release_that_is_unwell_never_takes_a_request(host: Host) -> None:
    host.apply(host.document("hello", instances=2, maxInstances=4))
    before = host.await_healthy("hello", 2)
    with Load(host.https_port, ["hello.localhost"]) as load:
        host.apply(
            host.document("hello", instances=2, maxInstances=4, env={"MODE": "unwell", "RELEASE": "2"}), wait=False
        )
        eventually("the failure to be told", lambda: "500" in all_messages(host, "hello"))
        load.wait_for_requests(100)
    assert load.report.failures == [], load.report.explain()
    assert load.report.releases == ["1"]
    assert host.healthy("hello") == before


def all_messages(host: Host, name: str) -> str:
    conditions = host.app(name).get("status", {}).get("conditions") or []
    return "\n".join(each["message"] for each in conditions)


def test_scaling_up_and_down_under_load_fails_no_request(host: Host) -> None:
    host.apply(host.document("hello", instances=1, maxInstances=6))
    with Load(host.https_port, ["hello.localhost"], path="/?ms=10") as load:
        for wanted in (4, 2, 3, 1):
            host.tako("scale", "app/hello", "-n", "production", "--instances", str(wanted))
            host.await_healthy("hello", wanted)
            load.wait_for_requests(50)
    assert load.report.failures == [], load.report.explain()
