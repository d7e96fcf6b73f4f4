"""What a user does to apps in unlucky moments: what is declared in the end is what runs, and nothing else does."""

import asyncio

import pytest

from tako.api.errors import ApiError
from tako.model.conditions import condition_of
from tako.model.kinds import APP, CERTIFICATE, INSTANCE, RELEASE, ROUTE, Kind
from tako.model.names import DeploymentId
from tests.server.world import Doc, Served, until


async def test_an_app_that_is_deleted_leaves_nothing_behind(served: Served) -> None:
    served.source("one")
    await served.apply(served.app("one", instances=2))
    await served.ready("one")
    await served.delete("one")
    await gone(served, "one")
    assert {name for name, _ in served.processes()} == {"proxy"}
    for kind in (RELEASE, ROUTE, CERTIFICATE, INSTANCE):
        await none_left(served, kind)
    assert not (served.data_dir / "apps" / "one" / "production").exists()


async def test_an_app_deleted_and_at_once_declared_again_runs(served: Served) -> None:
    served.source("one")
    await served.apply(served.app("one"))
    await served.ready("one")
    before = served.pids("one")
    uid = (await found(served, "one"))["metadata"]["uid"]
    await served.delete("one")
    async with asyncio.timeout(20):
        while True:
            try:
                await served.host.api.resources.create("apps.tako.sh", "production", served.app("one"))
                break
            except ApiError:  # the old one is still there
                await asyncio.sleep(0.005)
    await until(lambda: not served.pids("one") & before)
    await served.ready("one")
    assert (await found(served, "one"))["metadata"]["uid"] != uid
    status, said = await answer(served, "one.localhost")
    assert status == 200 and said["pid"] in served.pids("one")


async def test_a_namespace_that_is_deleted_takes_its_apps_with_it(served: Served) -> None:
    for name in ("one", "two"):
        served.source(name)
    await served.apply(served.app("one", "staging"), served.app("two"))
    await served.ready("one", "staging")
    await served.ready("two")
    kept = served.pids("two")
    await served.host.api.resources.delete("namespaces", None, "staging")
    await gone(served, "one", "staging")
    await until(lambda: not served.pids("one", "staging"))
    assert served.pids("two") == kept
    assert {pid for name, pid in served.processes() if name != "proxy"} == kept


async def test_two_apps_of_one_name_in_two_environments_are_two_apps(served: Served) -> None:
    served.source("one")
    await served.apply(
        served.app("one", "production", routes=["one.localhost"], env={"RELEASE": "live"}),
        served.app("one", "staging", routes=["staging.localhost"], env={"RELEASE": "try"}),
    )
    await served.ready("one")
    await served.ready("one", "staging")
    assert (await answer(served, "one.localhost"))[1]["release"] == "live"
    assert (await answer(served, "staging.localhost"))[1]["release"] == "try"
    await served.delete("one", "staging")
    await gone(served, "one", "staging")
    assert (await answer(served, "one.localhost"))[1]["release"] == "live"


async def test_a_route_of_another_app_is_refused_before_anything_changes(served: Served) -> None:
    for name in ("one", "two"):
        served.source(name)
    await served.apply(served.app("one"))
    await served.ready("one")
    with pytest.raises(ApiError) as refused:
        await served.apply(served.app("two", "staging", routes=["one.localhost"]))
    assert "one" in str(refused.value) and "production" in str(refused.value)
    assert await served.find("two", "staging") is None


async def test_a_route_can_move_from_one_app_to_another(served: Served) -> None:
    for name in ("one", "two"):
        served.source(name)
    await served.apply(served.app("one", routes=["a.localhost", "b.localhost"]), served.app("two"))
    await served.ready("one")
    await served.ready("two")
    await served.apply(served.app("one", routes=["a.localhost"]))
    await served.apply(served.app("two", routes=["two.localhost", "b.localhost"]))
    await served.ready("two")
    async with asyncio.timeout(10):
        while (await served.fetch("b.localhost"))[1].get("app") != "two":
            await asyncio.sleep(0.02)
    assert (await answer(served, "a.localhost"))[1]["app"] == "one"


async def test_changed_files_become_a_new_release_when_the_app_is_applied_with_them(served: Served) -> None:
    source = served.source("one")
    await served.apply(served.app("one", env={"RELEASE": "1"}))
    await served.ready("one")
    before, first = served.pids("one"), (await found(served, "one"))["status"]["release"]
    (source / "more.txt").write_text("new")
    await served.apply(served.app("one", env={"RELEASE": "2"}))
    await served.ready("one")
    await until(lambda: not served.pids("one") & before)
    doc = await found(served, "one")
    assert doc["status"]["release"] != first
    assert (served.layout.app(DeploymentId("one", "production")).current / "more.txt").read_text() == "new"


async def test_an_app_whose_directory_appears_later_is_then_run(served: Served) -> None:
    await served.apply(served.app("late"))
    await until(lambda: told(served, "late").get("reason") == "SourceUnusable")
    assert str(served.root / "source" / "late") in told(served, "late")["message"]
    served.source("late")
    await served.ready("late")


async def test_a_release_whose_files_cannot_be_prepared_is_told_and_prepared_once_they_can(served: Served) -> None:
    """With a digest in the spec nothing reads the directory before the release is prepared."""
    digest = "sha256:" + "0" * 64
    source = {"path": str(served.root / "source" / "late"), "digest": digest}
    await served.apply(served.app("late", source=source))
    await until(lambda: told(served, "late").get("reason") == "PrepareFailed")
    assert "late" in told(served, "late")["message"]


async def test_a_lost_store_ends_what_nobody_declares_and_crosses_no_route(served: Served) -> None:
    """state.sqlite was deleted while the server was away: the documents are gone, the processes are not."""
    for name in ("one", "two"):
        served.source(name)
    await served.apply(served.app("one"), served.app("two"))
    await served.ready("one")
    await served.ready("two")
    await served.end()
    for path in served.data_dir.glob("state*"):
        path.unlink()
    await served.begin()
    await served.apply(served.app("two"))
    await served.ready("two")
    await until(lambda: {pid for name, pid in served.processes() if name != "proxy"} == served.pids("two"), 20)
    assert (await answer(served, "two.localhost"))[1]["app"] == "two"
    assert (await served.fetch("one.localhost"))[0] == 404


# --- waiting ----------------------------------------------------------------------------------------------------


def told(served: Served, name: str) -> dict[str, str]:
    doc = served.host.mirror.find(APP, "production", name)
    return dict((condition_of(doc, "Ready") if doc else None) or {})


async def found(served: Served, name: str, namespace: str = "production") -> Doc:
    doc = await served.find(name, namespace)
    assert doc is not None
    return doc


async def answer(served: Served, host_name: str) -> tuple[int, Doc]:
    """The first answer that is not the proxy's own: its table follows the documents within milliseconds."""
    async with asyncio.timeout(10):
        while (said := await served.fetch(host_name))[0] != 200:
            await asyncio.sleep(0.02)
    return said


async def gone(served: Served, name: str, namespace: str = "production") -> None:
    async with asyncio.timeout(20):
        while await served.find(name, namespace) is not None:
            await asyncio.sleep(0.01)


async def none_left(served: Served, kind: Kind) -> None:
    async with asyncio.timeout(10):
        while await served.every(kind):
            await asyncio.sleep(0.01)
