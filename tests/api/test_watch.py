"""A watcher who lists and then follows knows what a new list would say, whatever happens meanwhile."""

import asyncio
import random
from typing import Any

import pytest

from tako.api.entries import Key
from tako.api.errors import ApiError
from tako.api.server import ApiServer
from tako.api.watch import Selection, select, watch
from tests.api.conftest import app

APPS = "apps.tako.sh"
SELECTIONS = {
    "everything": {},
    "one namespace": {"namespace": "staging"},
    "by label": {"labels": "tier=web"},
    "by field": {"fields": "spec.runtime=bun"},
    "by name": {"name": "app-3"},
}


@pytest.mark.parametrize("asked", SELECTIONS.values(), ids=SELECTIONS.keys())
@pytest.mark.parametrize("seed", range(3))
async def test_following_a_list_leads_to_the_next_list(server: ApiServer, asked: dict[str, str], seed: int) -> None:
    selection = server.resources.selection(APPS, **asked)
    chance = random.Random(seed)
    for _ in range(30):
        await _do_something(server, chance)
    known = {entry.key: entry.raw for entry in select(server.store, selection)}
    follower = asyncio.create_task(_follow(server, selection, server.store.revision, known))
    await asyncio.gather(*(_do_something(server, chance) for _ in range(120)))
    for _ in range(60):
        await _do_something(server, chance)
    server.store.feed.end()
    await follower
    assert known == {entry.key: entry.raw for entry in select(server.store, selection)}


async def test_each_change_has_a_revision_of_its_own_and_they_only_grow(server: ApiServer) -> None:
    revision, seen = server.store.revision, []
    await asyncio.gather(*(server.resources.create(APPS, "production", app(f"app-{n}")) for n in range(40)))
    subscription = server.store.feed.subscribe(None, revision)
    seen = [change.revision for change in await subscription.next_changes()]
    assert seen == sorted(set(seen))
    assert len(seen) == 40


async def test_a_watcher_that_does_not_read_is_cut_off_and_costs_no_memory(server: ApiServer) -> None:
    subscription = server.store.feed.subscribe(APPS)
    await server.resources.create(APPS, "production", app("hello"))
    (change,) = await subscription.next_changes()
    for _ in range(20_001):
        subscription.push(change)
    with pytest.raises(ApiError) as gone:
        await subscription.next_changes()
    assert gone.value.code == 410


async def test_a_bookmark_comes_when_nothing_happens(server: ApiServer) -> None:
    batches = watch(server.store, Selection(APPS), server.store.revision, bookmark_seconds=0.01)
    batch = await anext(batches)
    assert [(seen.type, seen.revision) for seen in batch] == [("BOOKMARK", server.store.revision)]
    await batches.aclose()
    assert APPS not in server.store.feed.watched()


async def _follow(server: ApiServer, selection: Selection, after: int, known: dict[Key, bytes]) -> None:
    async for batch in watch(server.store, selection, after):
        for seen in batch:
            assert seen.entry is not None
            # A document that is told as new must not be known, and the other way round.
            assert (seen.entry.key in known) == (seen.type != "ADDED")
            if seen.type == "DELETED":
                del known[seen.entry.key]
            else:
                known[seen.entry.key] = seen.entry.raw


async def _do_something(server: ApiServer, chance: random.Random) -> None:
    namespace, name = chance.choice(["production", "staging"]), f"app-{chance.randrange(6)}"
    runtime, tier = chance.choice(["node", "bun"]), chance.choice(["web", "db", None])
    patch: dict[str, Any] = {"spec": {"runtime": runtime}, "metadata": {"labels": {"tier": tier}}}
    action = chance.random()
    try:
        if action < 0.4:
            await server.resources.create(APPS, namespace, app(name, runtime=runtime))
        elif action < 0.8:
            await server.resources.merge_patch(APPS, namespace, name, patch)
        else:
            await server.resources.delete(APPS, namespace, name)
    except ApiError as error:
        assert error.code in (404, 409)
