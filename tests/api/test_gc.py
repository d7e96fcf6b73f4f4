"""What goes with something else."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tako.api.errors import ApiError
from tako.api.events import EventExpiry
from tako.api.server import ApiServer
from tests.api.conftest import CRDS, app

APPS, ROUTES = "apps.tako.sh", "routes.tako.sh"
NS = "production"


def owned(name: str, owner: dict[str, Any], **flags: bool) -> dict[str, Any]:
    reference = {
        "apiVersion": "tako.sh/v1",
        "kind": "App",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        **flags,
    }
    return {
        "metadata": {"name": name, "ownerReferences": [reference]},
        "spec": {"app": owner["metadata"]["name"], "pattern": f"{name}.localhost"},
    }


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def names(server: ApiServer, group_resource: str) -> list[str]:
    return [entry.key.name for entry in server.store.list(group_resource)]


async def test_dependents_go_after_their_owner(server: ApiServer) -> None:
    owner = await server.resources.create(APPS, NS, app("hello"))
    await server.resources.create(ROUTES, NS, owned("one", owner))
    await server.resources.create(ROUTES, NS, owned("two", owner))
    await server.resources.delete(APPS, NS, "hello")
    await eventually(lambda: not names(server, ROUTES))


async def test_in_the_foreground_the_owner_waits_for_its_dependents(server: ApiServer) -> None:
    owner = await server.resources.create(APPS, NS, app("hello"))
    await server.resources.create(ROUTES, NS, owned("one", owner, blockOwnerDeletion=True))
    await server.resources.merge_patch(ROUTES, NS, "one", {"metadata": {"finalizers": ["example.com/hold"]}})
    await server.resources.delete(APPS, NS, "hello", "Foreground")
    await eventually(lambda: server.store.list(ROUTES)[0].deleting)
    assert names(server, APPS) == ["hello"]
    await server.resources.merge_patch(ROUTES, NS, "one", {"metadata": {"finalizers": None}})
    await eventually(lambda: not names(server, APPS))


async def test_orphans_stay_without_their_owner(server: ApiServer) -> None:
    owner = await server.resources.create(APPS, NS, app("hello"))
    await server.resources.create(ROUTES, NS, owned("one", owner))
    await server.resources.delete(APPS, NS, "hello", "Orphan")
    await eventually(lambda: not names(server, APPS))
    assert "ownerReferences" not in (await server.resources.get(ROUTES, NS, "one"))["metadata"]


async def test_a_dependent_with_another_owner_stays(server: ApiServer) -> None:
    first = await server.resources.create(APPS, NS, app("first"))
    second = await server.resources.create(APPS, NS, app("second"))
    route = owned("one", first)
    route["metadata"]["ownerReferences"] += owned("one", second)["metadata"]["ownerReferences"]
    await server.resources.create(ROUTES, NS, route)
    await server.resources.delete(APPS, NS, "first")
    await eventually(lambda: len(server.store.list(ROUTES)[0].owners) == 1)


async def test_what_names_an_owner_that_is_not_there_goes_too(server: ApiServer) -> None:
    owner = await server.resources.create(APPS, NS, app("hello"))
    await server.resources.delete(APPS, NS, "hello")
    await server.resources.create(ROUTES, NS, owned("late", owner))
    await eventually(lambda: not names(server, ROUTES))


async def test_a_namespace_goes_when_its_content_is_gone_and_takes_nothing_new(server: ApiServer) -> None:
    await server.resources.create(APPS, "staging", app("hello"))
    await server.resources.merge_patch(APPS, "staging", "hello", {"metadata": {"finalizers": ["example.com/hold"]}})
    await server.resources.delete("namespaces", None, "staging")
    await eventually(lambda: server.store.list(APPS)[0].deleting)
    assert (await server.resources.get("namespaces", None, "staging"))["status"]["phase"] == "Terminating"
    with pytest.raises(ApiError) as refused:
        await server.resources.create(APPS, "staging", app("other"))
    assert refused.value.code == 403
    await server.resources.merge_patch(APPS, "staging", "hello", {"metadata": {"finalizers": None}})
    await eventually(lambda: "staging" not in names(server, "namespaces"))
    await server.resources.create(APPS, "staging", app("again"))


async def test_a_collector_that_was_away_finds_what_to_do(tmp_path: Path) -> None:
    server = await ApiServer.open(tmp_path, crds=CRDS)
    owner = await server.resources.create(APPS, NS, app("hello"))
    await server.resources.create(ROUTES, NS, owned("one", owner))
    await server.resources.delete(APPS, NS, "hello")
    await server.close()  # perhaps before the collector came to it
    again = await ApiServer.open(tmp_path, crds=CRDS)
    try:
        await eventually(lambda: not names(again, ROUTES))
    finally:
        await again.close()


async def test_events_go_when_their_time_is_over_and_others_stay(tmp_path: Path) -> None:
    server = await ApiServer.open(tmp_path, crds=CRDS)
    try:
        doc = await server.resources.create(APPS, NS, app("hello"))
        await server.resources.event(doc, "Normal", "Made", "made")
        await EventExpiry(server.resources.changes, ttl_seconds=3600).sweep()
        assert names(server, "events")
        await EventExpiry(server.resources.changes, ttl_seconds=0).sweep()
        assert not names(server, "events")
    finally:
        await server.close()
