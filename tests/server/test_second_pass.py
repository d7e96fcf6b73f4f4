"""A second pass writes nothing: not into the store, not to the disk, not to a process."""

import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from tako.api.entries import Key
from tako.model.conditions import is_true
from tako.model.kinds import APP, CERTIFICATE, HOST, INSTANCE, RELEASE, ROUTE, Kind
from tako.model.names import DeploymentId
from tako.reconcilers.app import observe_app, reconcile_app
from tako.reconcilers.certificate import reconcile_certificate
from tako.reconcilers.release import reconcile_release
from tako.reconcilers.route import reconcile_route
from tako.reconcilers.world import World
from tests.server.world import Served, until

Snapshot = tuple[int, set[tuple[str, int]], dict[str, tuple[int, int]]]


def everything(served: Served) -> Snapshot:
    return served.revision, served.processes(), served.files()


async def three_apps(served: Served) -> None:
    """Two that run, one that may sleep; one has two instances and two routes."""
    for name in ("one", "two", "three"):
        served.source(name)
    await served.apply(
        served.app("one", instances=2, routes=["one.localhost", "uno.localhost/api/*"]),
        served.app("two"),
        served.app("three", "staging", instances=0, routes=["three.localhost"]),
    )
    await served.ready("one")
    await served.ready("two")
    await served.ready("three", "staging")
    await served.host._publish_host("here")  # counts what runs every ten seconds, and then on change
    await served.calm()


PASSES: dict[str, tuple[Kind, Callable[[World, str, str], Awaitable[None]]]] = {
    "app": (APP, reconcile_app),
    "release": (RELEASE, reconcile_release),
    "route": (ROUTE, reconcile_route),
    "certificate": (CERTIFICATE, reconcile_certificate),
}


async def test_running_every_reconciler_again_changes_nothing(served: Served) -> None:
    await three_apps(served)
    before = everything(served)
    for kind, reconcile in PASSES.values():
        docs = await served.every(kind)
        assert docs
        for doc in docs:
            await reconcile(served.host.world, doc["metadata"]["namespace"], doc["metadata"]["name"])
    for doc in await served.every(APP):
        await observe_app(served.host.world, DeploymentId(doc["metadata"]["name"], doc["metadata"]["namespace"]))
    await served.host._publish_host("here")
    served.host.publish()
    await served.calm()
    assert everything(served) == before


async def test_an_operator_that_starts_again_changes_nothing(served: Served) -> None:
    await three_apps(served)
    before = everything(served)
    operator = served.host.operator
    assert operator is not None
    await operator.stop()
    operator.start()
    await until(lambda: all(served.host._operator_watches(kind.group_resource) for kind, _ in PASSES.values()))
    await served.calm()
    assert everything(served) == before
    assert await served.annotated() == []


async def test_a_server_that_starts_again_writes_only_what_it_knows_of_itself(served: Served) -> None:
    await three_apps(served)
    kinds = (APP, RELEASE, ROUTE, CERTIFICATE, INSTANCE)
    before = {kind: await served.every(kind) for kind in kinds}
    processes = served.processes()
    await served.end()
    await served.begin()
    await served.calm()
    assert served.processes() == processes
    for kind in kinds:
        assert await served.every(kind) == before[kind]


async def test_a_server_that_starts_again_leaves_the_definitions_of_its_kinds_alone(served: Served) -> None:
    definitions = "customresourcedefinitions.apiextensions.k8s.io"
    before, _ = await served.host.api.resources.list(definitions)
    await served.end()
    await served.begin()
    assert (await served.host.api.resources.list(definitions))[0] == before


async def test_the_host_says_that_it_is_ready_as_soon_as_it_is(served: Served) -> None:
    def ready() -> bool:
        entry = served.host.api.store.get(Key(HOST.group_resource, "", "here"))
        return entry is not None and is_true(entry.read(), "Ready")

    await until(ready, 5)


async def test_after_an_instance_was_replaced_the_host_comes_to_rest(served: Served) -> None:
    await three_apps(served)
    victim = min(served.pids("one"))
    os.kill(victim, signal.SIGKILL)
    await until(lambda: victim not in served.pids("one") and len(served.pids("one")) == 2)
    await served.ready("one")
    await served.host._publish_host("here")
    await served.calm()
    before = everything(served)
    await reconcile_app(served.host.world, "production", "one")
    await served.calm()
    assert everything(served) == before


@pytest.mark.parametrize("fault", ["exit", "unwell"])
async def test_an_app_that_cannot_run_is_told_without_end_but_not_without_pause(served: Served, fault: str) -> None:
    """Each failed start is news; between two starts there is none, whoever looks again."""
    served.source("bad")
    await served.apply(served.app("bad", env={"MODE": fault}, rollout={"startupTimeoutSeconds": 1}))
    view = lambda: served.host.agent.view(DeploymentId("bad", "production"))  # noqa: E731
    await until(lambda: view().failures >= 4 and not view().instances, 40)
    await served.calm()
    before = everything(served)
    await reconcile_app(served.host.world, "production", "bad")
    await observe_app(served.host.world, DeploymentId("bad", "production"))
    assert everything(served) == before
