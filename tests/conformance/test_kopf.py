"""Real kopf, unmodified, as an operator of our kinds and of a kind that a user brings."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kopf
import pytest

from tako.api.server import ApiServer
from tests.api.conftest import Served, app
from tests.client import Client, RequestFailed
from tests.conformance.operator_thread import running

APPS = "apps.tako.sh"
CRDS = "customresourcedefinitions.apiextensions.k8s.io"


def eventually(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Return what `condition` gives once it is true."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result or time.monotonic() > end:
            assert result, "it did not become true in time"
            return result
        time.sleep(0.02)


def gone(client: Client, resource: str, namespace: str, name: str) -> bool:
    try:
        client.get(resource, namespace, name)
    except RequestFailed as error:
        return error.code == 404
    return False


def test_handlers_see_a_document_made_changed_and_deleted(served: Served) -> None:
    registry, seen = kopf.OperatorRegistry(), []

    @kopf.on.create("tako.sh", "v1", "apps", registry=registry)
    def created(spec: Any, patch: kopf.Patch, **_: Any) -> None:
        seen.append("created")
        patch.status["url"] = "https://hello.localhost"

    @kopf.on.update("tako.sh", "v1", "apps", field="spec.instances", registry=registry)
    def updated(old: Any, new: Any, **_: Any) -> None:
        seen.append((old, new))

    @kopf.on.delete("tako.sh", "v1", "apps", registry=registry)
    def deleted(**_: Any) -> None:
        seen.append("deleted")

    with running(served.socket, registry), served.client() as client:
        client.create(APPS, "production", app("hello"))
        stored = eventually(
            lambda: (found := client.get(APPS, "production", "hello")).get("status", {}).get("url") and found
        )
        assert stored["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
        client.patch(APPS, "production", "hello", {"spec": {"instances": 3}})
        eventually(lambda: (1, 3) in seen)
        client.delete(APPS, "production", "hello")
        eventually(lambda: gone(client, APPS, "production", "hello"))
    assert seen == ["created", (1, 3), "deleted"]


def test_a_handler_that_fails_for_a_while_is_retried_and_ends(served: Served) -> None:
    registry, attempts = kopf.OperatorRegistry(), []

    @kopf.on.create("tako.sh", "v1", "apps", registry=registry)
    def created(retry: int, **_: Any) -> None:
        attempts.append(retry)
        if retry < 2:
            raise kopf.TemporaryError("not yet", delay=0.1)

    with running(served.socket, registry), served.client() as client:
        client.create(APPS, "production", app("hello"))
        eventually(lambda: attempts == [0, 1, 2])


def test_a_handlers_event_is_found_by_its_object(served: Served) -> None:
    registry = kopf.OperatorRegistry()

    @kopf.on.create("tako.sh", "v1", "apps", registry=registry)
    def created(body: Any, **_: Any) -> None:
        kopf.event(body, type="Normal", reason="Greeted", message="hello")

    with running(served.socket, registry), served.client() as client:
        uid = client.create(APPS, "production", app("hello"))["metadata"]["uid"]
        fields = f"involvedObject.uid={uid},reason=Greeted"
        assert eventually(lambda: client.list("events", "production", fields=fields)["items"])


def test_an_operator_of_a_kind_that_a_user_brings(served: Served) -> None:
    registry, seen = kopf.OperatorRegistry(), []

    @kopf.on.event("example.com", "v1", "widgets", registry=registry)
    def changed(name: str, **_: Any) -> None:
        seen.append(name)

    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    definition = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    with running(served.socket, registry), served.client() as client:
        # It must find a kind that is defined while it runs. (Just before it watches, kopf misses one.)
        eventually(lambda: served.api.store.feed.watched().get(CRDS))
        client.create(CRDS, None, definition)
        client.create("widgets.example.com", "default", {"metadata": {"name": "one"}, "spec": {"size": 3}})
        eventually(lambda: "one" in seen)
        client.delete(CRDS, None, "widgets.example.com")
        eventually(lambda: gone(client, CRDS, "", "widgets.example.com"))


@pytest.mark.parametrize("count", [150])
def test_each_of_many_documents_is_handled_once(served: Served, count: int) -> None:
    registry, seen = kopf.OperatorRegistry(), []

    @kopf.on.create("tako.sh", "v1", "apps", registry=registry)
    async def created(name: str, **_: Any) -> None:
        seen.append(name)

    with running(served.socket, registry), served.client() as client:
        for number in range(count):
            client.create(APPS, "production", app(f"app-{number}"))
        eventually(lambda: len(set(seen)) == count)
        marked = "kopf.zalando.org/last-handled-configuration"
        eventually(
            lambda: all(
                marked in doc["metadata"].get("annotations", {}) for doc in client.list(APPS, "production")["items"]
            )
        )
    assert len(seen) == count


def test_an_operator_goes_on_when_the_server_was_away_and_history_is_gone(serve: Callable[..., Served]) -> None:
    served = serve()
    registry, seen = kopf.OperatorRegistry(), {}

    @kopf.on.event("tako.sh", "v1", "apps", registry=registry)
    def changed(name: str, spec: Any, **_: Any) -> None:
        seen[name] = spec["instances"]

    with running(served.socket, registry):
        with served.client() as client:
            client.create(APPS, "production", app("hello"))
            eventually(lambda: seen.get("hello") == 1)
        served.stop()
        # While nobody listens, more happens than the history holds.
        asyncio.run(_write_while_away(served.data_dir))
        serve()
        eventually(lambda: seen.get("hello") == 7, seconds=40)


async def _write_while_away(data_dir: Path) -> None:
    server = await ApiServer.open(data_dir)
    for number in range(1100):
        await server.resources.merge_patch(APPS, "production", "hello", {"metadata": {"labels": {"n": str(number)}}})
    await server.resources.merge_patch(APPS, "production", "hello", {"spec": {"instances": 7}})
    await server.close()
