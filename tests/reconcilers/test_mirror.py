"""The mirror follows the store, also over a gap that no watch tells of."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tako.api.server import ApiServer
from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS, ROUTE, Kind
from tako.reconcilers.mirror import Mirror

Doc = dict[str, Any]


def route(name: str) -> Doc:
    spec = {"app": "demo", "pattern": f"{name}.localhost"}
    return {"apiVersion": ROUTE.api_version, "kind": ROUTE.name, "metadata": {"name": name}, "spec": spec}


async def test_what_was_deleted_while_the_watch_fell_behind_is_told_as_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = await ApiServer.open(tmp_path, crds=[custom_resource_definition(kind) for kind in KINDS])
    told: asyncio.Queue[str] = asyncio.Queue()

    def changed(kind: Kind, doc: Doc) -> None:
        told.put_nowait(doc["metadata"]["name"])

    mirror = Mirror(api.resources, changed)
    try:
        for name in ("goes", "stays"):
            await api.resources.create(ROUTE.group_resource, "production", route(name))
        await mirror.start()
        monkeypatch.setattr("tako.api.feed._BACKLOG", 0)  # the next change is one too many to be kept
        await api.resources.delete(ROUTE.group_resource, "production", "goes")
        async with asyncio.timeout(5):
            assert {await told.get(), await told.get()} == {"goes", "stays"}
        assert [doc["metadata"]["name"] for doc in mirror.routes()] == ["stays"]
    finally:
        await mirror.close()
        await api.close()
