"""Our operator: a real kopf against a real API; what is handled, what is tried again, what starts it again."""

import asyncio
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tako.api.server import ApiServer
from tako.model.crd import custom_resource_definition
from tako.model.errors import Refused, RetryLater
from tako.model.kinds import APP, INSTANCE, KINDS
from tako.reconcilers import operator as operators
from tako.reconcilers.operator import OPERATED, Operator

Doc = dict[str, Any]


async def until(condition: Callable[[], object], timeout: float = 15.0) -> None:
    ends = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends, "it did not come true"
        await asyncio.sleep(0.01)


class Operated:
    """An API with an operator whose handlers count their calls and fail as they are told."""

    def __init__(self, api: ApiServer, socket: Path) -> None:
        self.api = api
        self.calls: Counter[tuple[str, str]] = Counter()
        self.errors: dict[str, list[Exception]] = {}  # by name of the object, raised one after the other
        self.operator = Operator(
            socket,
            reconcile={APP.plural: self._handler("reconcile")},
            remove={APP.plural: self._handler("remove"), INSTANCE.plural: self._handler("remove")},
            watches=lambda kind: self.api.store.feed.watched().get(kind, 0),
        )

    def _handler(self, what: str) -> Callable[[str, str], Any]:
        async def handle(_: str, name: str) -> None:
            assert threading.current_thread() is threading.main_thread()  # reconcilers run on the server's loop
            self.calls[what, name] += 1
            if what == "reconcile" and self.errors.get(name):
                raise self.errors[name].pop(0)

        return handle

    async def start(self) -> None:
        self.operator.start()
        await self.watching()

    async def watching(self) -> None:
        await until(lambda: all(self.api.store.feed.watched().get(kind.group_resource) for kind in OPERATED))

    async def create(self, name: str) -> None:
        source = {"path": "/srv/none"}
        doc = {"metadata": {"name": name}, "spec": {"source": source, "start": ["true"]}}
        await self.api.resources.create(APP.group_resource, "production", doc)

    async def change(self, name: str, **spec: Any) -> None:
        await self.api.resources.merge_patch(APP.group_resource, "production", name, {"spec": spec})

    async def delete(self, name: str) -> None:
        await self.api.resources.delete(APP.group_resource, "production", name)

    async def annotations(self, name: str) -> Doc:
        doc = await self.api.resources.get(APP.group_resource, "production", name)
        return dict(doc["metadata"].get("annotations") or {})

    async def names(self) -> set[str]:
        docs, _ = await self.api.resources.list(APP.group_resource)
        return {doc["metadata"]["name"] for doc in docs}


@pytest.fixture
async def operated() -> AsyncIterator[Operated]:
    with tempfile.TemporaryDirectory(prefix="tako-") as directory:
        socket = Path(directory) / "api.sock"
        api = await ApiServer.open(Path(directory), crds=[custom_resource_definition(kind) for kind in KINDS])
        await api.serve_unix(socket)
        operated = Operated(api, socket)
        await operated.start()
        yield operated
        await operated.operator.stop()
        await api.close()


async def test_each_change_of_an_object_reaches_its_handler(operated: Operated) -> None:
    await operated.create("one")
    await until(lambda: operated.calls["reconcile", "one"] == 1)
    await operated.change("one", instances=2)
    await until(lambda: operated.calls["reconcile", "one"] == 2)
    await operated.delete("one")
    await until(lambda: operated.calls["remove", "one"] == 1)
    while await operated.names():
        await asyncio.sleep(0.01)


async def test_an_operator_that_starts_again_looks_at_every_object_once_more(operated: Operated) -> None:
    await operated.create("one")
    await until(lambda: operated.calls["reconcile", "one"] == 1)
    await operated.operator.stop()
    await operated.create("two")
    await operated.start()
    await until(lambda: operated.calls["reconcile", "one"] == 2 and operated.calls["reconcile", "two"] == 1)


async def test_what_is_to_be_tried_later_is_and_leaves_no_trace(operated: Operated) -> None:
    operated.errors["one"] = [RetryLater("not yet", 0.05), RetryLater("not yet", 0.05)]
    await operated.create("one")
    await until(lambda: operated.calls["reconcile", "one"] == 3)
    async with asyncio.timeout(5):
        while await operated.annotations("one"):
            await asyncio.sleep(0.01)


async def test_what_is_refused_is_not_tried_again_until_it_changes(operated: Operated) -> None:
    operated.errors["one"] = [Refused("the file is not there")]
    await operated.create("one")
    await until(lambda: operated.calls["reconcile", "one"] == 1)
    await operated.create("two")  # handled after it: whatever would follow from the refusal has had its turn
    await until(lambda: operated.calls["reconcile", "two"] == 1)
    assert operated.calls["reconcile", "one"] == 1
    await operated.change("one", instances=2)
    await until(lambda: operated.calls["reconcile", "one"] == 2)


async def test_a_handled_object_carries_nothing_of_ours_but_the_finalizer(operated: Operated) -> None:
    await operated.create("one")
    await until(lambda: operated.calls["reconcile", "one"] == 1)
    doc = await operated.api.resources.get(APP.group_resource, "production", "one")
    assert doc["metadata"]["finalizers"] == ["tako.sh/finalizer"] and not doc["metadata"].get("annotations")


async def test_a_write_of_the_status_calls_nobody(operated: Operated) -> None:
    await operated.create("one")
    await until(lambda: operated.calls["reconcile", "one"] == 1)
    status = {"status": {"instances": 3}}
    await operated.api.resources.merge_patch(APP.group_resource, "production", "one", status, subresource="status")
    await operated.create("two")
    await until(lambda: operated.calls["reconcile", "two"] == 1)
    assert operated.calls["reconcile", "one"] == 1


async def test_the_watchdog_starts_an_operator_whose_thread_ended(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators, "WATCHDOG_SECONDS", 0.1)
    watchdog = asyncio.create_task(operated.operator.watch_over())
    await operated.operator.stop()
    await operated.create("one")
    await until(lambda: operated.calls["reconcile", "one"] == 1)
    watchdog.cancel()


async def test_the_watchdog_starts_an_operator_that_lost_one_of_its_watches(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kopf opens an ended watch again by itself; the watchdog is for the one that it does not."""
    monkeypatch.setattr(operators, "WATCHDOG_SECONDS", 0.1)
    deaf = True
    seen = operated.operator._watches
    operated.operator._watches = lambda kind: 0 if deaf and kind == APP.group_resource else seen(kind)
    thread = operated.operator._thread
    watchdog = asyncio.create_task(operated.operator.watch_over())
    await until(lambda: operated.operator._thread is not thread)
    deaf = False
    await operated.watching()
    await operated.create("one")
    await until(lambda: operated.calls["reconcile", "one"] == 1)
    watchdog.cancel()


async def test_a_watch_that_the_server_ends_is_opened_again(operated: Operated) -> None:
    operated.api.store.feed.end(APP.group_resource)
    await operated.create("one")
    await until(lambda: operated.calls["reconcile", "one"] == 1)


@pytest.mark.parametrize("moment", ["at once", "when it watches"])
async def test_stopping_leaves_no_thread(operated: Operated, moment: str) -> None:
    if moment == "at once":
        await operated.operator.stop()
        operated.operator.start()
    await operated.operator.stop()
    thread = operated.operator._thread
    assert thread is not None
    await until(lambda: not thread.is_alive())
