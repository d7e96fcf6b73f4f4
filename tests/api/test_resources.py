"""What holds for every document: metadata, generation, conflicts, finalizers, subresources, validation."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tako.api.errors import ApiError
from tako.api.server import ApiServer
from tako.model.errors import FieldError
from tests.api.conftest import CRDS, app

APPS, INSTANCES = "apps.tako.sh", "instances.tako.sh"
NS = "production"


def code_of(error: pytest.ExceptionInfo[ApiError]) -> int:
    return error.value.code


async def test_the_generation_counts_changes_of_the_spec_only(server: ApiServer) -> None:
    resources = server.resources
    await resources.create(APPS, NS, app("hello"))
    await resources.merge_patch(APPS, NS, "hello", {"metadata": {"labels": {"a": "b"}}})
    await resources.merge_patch(APPS, NS, "hello", {"status": {"url": "https://x"}}, subresource="status")
    assert (await resources.get(APPS, NS, "hello"))["metadata"]["generation"] == 1
    changed = await resources.merge_patch(APPS, NS, "hello", {"spec": {"instances": 2}})
    assert changed["metadata"]["generation"] == 2
    assert changed["status"] == {"url": "https://x"}


async def test_the_status_is_changed_by_its_subresource_only_and_the_spec_never_by_it(server: ApiServer) -> None:
    resources = server.resources
    made = await resources.create(APPS, NS, {**app("hello"), "status": {"url": "https://x"}})
    assert "status" not in made
    same = await resources.merge_patch(APPS, NS, "hello", {"status": {"url": "https://x"}})
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    patch = {"spec": {"instances": 9}, "status": {"url": "https://y"}, "metadata": {"labels": {"a": "b"}}}
    changed = await resources.merge_patch(APPS, NS, "hello", patch, subresource="status")
    assert changed["spec"]["instances"] == 1
    assert "labels" not in changed["metadata"]


async def test_an_old_resource_version_conflicts(server: ApiServer) -> None:
    resources = server.resources
    old = await resources.create(APPS, NS, app("hello"))
    await resources.merge_patch(APPS, NS, "hello", {"spec": {"instances": 2}})
    with pytest.raises(ApiError) as refused:
        await resources.replace(APPS, NS, "hello", {**old, "spec": {**old["spec"], "instances": 3}})
    assert code_of(refused) == 409


async def test_a_failed_test_of_a_json_patch_changes_nothing(server: ApiServer) -> None:
    resources = server.resources
    await resources.create(APPS, NS, app("hello"))
    operations = [
        {"op": "replace", "path": "/spec/instances", "value": 5},
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
    ]
    with pytest.raises(Exception, match="testing value"):
        await resources.json_patch(APPS, NS, "hello", operations)
    assert (await resources.get(APPS, NS, "hello"))["spec"]["instances"] == 1


async def test_what_has_finalizers_goes_when_the_last_of_them_goes(server: ApiServer) -> None:
    resources = server.resources
    await resources.create(APPS, NS, app("hello"))
    await resources.merge_patch(APPS, NS, "hello", {"metadata": {"finalizers": ["example.com/a"]}})
    assert not (await resources.delete(APPS, NS, "hello")).deleted
    marked = await resources.get(APPS, NS, "hello")
    assert marked["metadata"]["deletionTimestamp"]
    with pytest.raises(ApiError, match="no new finalizers"):
        finalizers = ["example.com/a", "example.com/b"]
        await resources.merge_patch(APPS, NS, "hello", {"metadata": {"finalizers": finalizers}})
    await resources.merge_patch(APPS, NS, "hello", {"metadata": {"finalizers": None}})
    with pytest.raises(ApiError) as gone:
        await resources.get(APPS, NS, "hello")
    assert code_of(gone) == 404


async def test_every_fault_of_a_document_is_named_with_its_field(server: ApiServer) -> None:
    with pytest.raises(ApiError) as refused:
        await server.resources.create(APPS, NS, app("hello", instances=-1, runtime="cobol"))
    assert code_of(refused) == 422
    causes = refused.value.details or {}
    assert {cause["field"] for cause in causes["causes"]} == {"spec.instances", "spec.runtime"}


async def test_an_unknown_field_is_refused_by_name(server: ApiServer) -> None:
    with pytest.raises(ApiError, match=r'unknown field "spec\.replicas"'):
        await server.resources.create(APPS, NS, app("hello", replicas=2))


async def test_a_dry_run_stores_nothing(server: ApiServer) -> None:
    revision = server.store.revision
    made = await server.resources.create(APPS, "elsewhere", app("hello"), dry_run=True)
    assert made["spec"]["instances"] == 1
    assert server.store.revision == revision


async def test_a_namespace_is_made_with_the_first_document_in_it(server: ApiServer) -> None:
    await server.resources.create(APPS, "staging", app("hello"))
    assert (await server.resources.get("namespaces", None, "staging"))["status"]["phase"] == "Active"
    with pytest.raises(ApiError) as refused:
        await server.resources.create(APPS, "n" * 64, app("hello"))
    assert code_of(refused) == 422


async def test_admission_is_asked_before_anything_is_stored(tmp_path: Path) -> None:
    def one_app_only(old: Any, new: Any, documents: Any) -> list[FieldError]:
        others = [doc for doc in documents(APPS) if doc["metadata"]["name"] != new["metadata"]["name"]]
        return [FieldError("metadata.name", "there is an app already", "x")] if others else []

    server = await ApiServer.open(tmp_path, crds=CRDS, admission={APPS: one_app_only})
    try:
        # Both are on their way at once: the second must know of the first.
        results = await asyncio.gather(
            server.resources.create(APPS, NS, app("one")),
            server.resources.create(APPS, NS, app("two")),
            return_exceptions=True,
        )
        assert [isinstance(result, ApiError) for result in results] == [False, True]
        await server.resources.merge_patch(APPS, NS, "one", {"spec": {"instances": 2}})
    finally:
        await server.close()


async def test_concurrent_patches_of_one_document_are_all_kept(server: ApiServer) -> None:
    await server.resources.create(APPS, NS, app("hello"))
    patches = [{"spec": {"env": {f"KEY_{number}": "x"}}} for number in range(50)]
    await asyncio.gather(*(server.resources.merge_patch(APPS, NS, "hello", patch) for patch in patches))
    doc = await server.resources.get(APPS, NS, "hello")
    assert len(doc["spec"]["env"]) == 50
    assert doc["metadata"]["generation"] == 51


async def test_documents_are_selected_by_label_and_field(server: ApiServer) -> None:
    for name, runtime in (("one", "node"), ("two", "bun")):
        await server.resources.create(APPS, NS, app(name, runtime=runtime))
    await server.resources.merge_patch(APPS, NS, "two", {"metadata": {"labels": {"tier": "web"}}})
    by_label, _ = await server.resources.list(APPS, NS, labels="tier in (web)")
    by_field, _ = await server.resources.list(APPS, NS, fields="spec.runtime=bun")
    assert [doc["metadata"]["name"] for doc in by_label] == ["two"]
    assert by_label == by_field


async def test_the_servers_own_definitions_cannot_be_deleted_or_changed(server: ApiServer) -> None:
    crds = "customresourcedefinitions.apiextensions.k8s.io"
    with pytest.raises(ApiError) as refused:
        await server.resources.delete(crds, None, APPS)
    assert code_of(refused) == 403
    with pytest.raises(ApiError) as refused:
        await server.resources.merge_patch(crds, None, APPS, {"spec": {"versions": []}})
    assert code_of(refused) in (403, 422)


async def test_an_event_that_happens_again_is_counted(server: ApiServer) -> None:
    doc = await server.resources.create(APPS, NS, app("hello"))
    for _ in range(3):
        await server.resources.event(doc, "Warning", "Crashed", "it exited with 1")
    events, _ = await server.resources.list("events", NS)
    assert [(event["reason"], event["count"]) for event in events] == [("Crashed", 3)]


async def test_a_clock_that_jumps_moves_neither_revisions_nor_the_end_of_events(tmp_path: Path) -> None:
    moment = [datetime(2026, 1, 1, tzinfo=UTC)]
    server = await ApiServer.open(tmp_path, crds=CRDS, now=lambda: moment[0])
    doc = await server.resources.create(APPS, NS, app("hello"))
    await server.resources.event(doc, "Normal", "Made", "made")
    for jump in (timedelta(days=400), timedelta(days=-4000)):
        moment[0] += jump
        before = server.store.revision
        await server.resources.merge_patch(APPS, NS, "hello", {"metadata": {"labels": {"n": f"d{jump.days}"}}})
        assert server.store.revision == before + 1
    await server.close()
    again = await ApiServer.open(tmp_path, crds=CRDS, now=lambda: moment[0])
    try:
        # Its time lies in the future; it stays an hour from now on, not for ever and not less.
        assert (await again.resources.list("events", NS))[0]
    finally:
        await again.close()


async def test_a_watch_tells_of_documents_that_begin_and_cease_to_match(server: ApiServer) -> None:
    from tako.api.watch import watch

    revision = server.store.revision
    await server.resources.create(APPS, NS, app("hello"))
    for value in ("web", "db", None):
        await server.resources.merge_patch(APPS, NS, "hello", {"metadata": {"labels": {"tier": value}}})
    selection = server.resources.selection(APPS, labels="tier=web")
    batches = watch(server.store, selection, revision)
    seen = [seen.type async for seen in _first(batches)]
    assert seen == ["ADDED", "DELETED"]


async def _first(batches: Any) -> Any:
    async for batch in batches:
        for seen in batch:
            yield seen
        break
    await batches.aclose()
