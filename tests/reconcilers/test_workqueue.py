"""The queue: one worker a key, nothing lost, duplicates worth nothing."""

import asyncio

import pytest

from tako.api.errors import DiskFull
from tako.model.errors import Refused, RetryLater
from tako.reconcilers.workqueue import WorkQueue


async def test_a_key_added_many_times_is_worked_once() -> None:
    seen: list[str] = []
    done = asyncio.Event()

    async def work(key: str) -> None:
        seen.append(key)
        done.set()

    queue = WorkQueue[str]("test", work)
    for _ in range(5):
        queue.add("a")
    await done.wait()
    await queue.close()
    assert seen.count("a") <= 2  # once, and once more for what came while it ran


async def test_a_key_added_during_its_work_is_worked_again_and_never_beside_itself() -> None:
    running, most, rounds = 0, 0, 0
    finished = asyncio.Event()

    async def work(_: str) -> None:
        nonlocal running, most, rounds
        running += 1
        most = max(most, running)
        if rounds == 0:
            queue.add("a")
        await asyncio.sleep(0)
        rounds += 1
        running -= 1
        if rounds == 2:
            finished.set()

    queue = WorkQueue[str]("test", work)
    queue.add("a")
    await asyncio.wait_for(finished.wait(), 5)
    await queue.close()
    assert (most, rounds) == (1, 2)


@pytest.mark.parametrize("error", [RetryLater("not yet", 0.001), DiskFull("/data"), RuntimeError("a bug")])
async def test_what_failed_is_tried_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tako.reconcilers.workqueue.THROTTLE_SECONDS", 0.001)
    tries = 0
    succeeded = asyncio.Event()

    async def work(_: str) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise error
        succeeded.set()

    queue = WorkQueue[str]("test", work)
    queue.add("a")
    await asyncio.wait_for(succeeded.wait(), 5)
    await queue.close()


async def test_what_was_refused_waits_for_a_change() -> None:
    tries = 0

    async def work(_: str) -> None:
        nonlocal tries
        tries += 1
        raise Refused("change the document")

    queue = WorkQueue[str]("test", work)
    queue.add("a")
    await asyncio.sleep(0.01)
    assert tries == 1
    queue.add("a")
    await asyncio.sleep(0.01)
    assert tries == 2
    await queue.close()


async def test_closing_does_not_wait_for_work_that_takes_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tako.reconcilers.workqueue.CLOSE_SECONDS", 0.001)
    started, ended = asyncio.Event(), asyncio.Event()

    async def work(_: str) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    queue = WorkQueue[str]("test", work)
    queue.add("a")
    await started.wait()
    await asyncio.wait_for(queue.close(), 5)
    assert ended.is_set()
