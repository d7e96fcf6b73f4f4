"""What nobody tells of is found by looking again."""

import os
import shutil
import signal

import pytest

from tako.model.kinds import APP
from tests.server.world import Served, until


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tako.server.host.RESYNC_SECONDS", 0.1)


async def test_what_lost_its_document_without_its_finalizer_is_stopped(served: Served) -> None:
    served.source("one")
    await served.apply(served.app("one"))
    await served.ready("one")
    operator = served.host.operator
    assert operator is not None and served.pids("one")
    await operator.stop()  # nobody is told of the deletion
    await served.delete("one")
    without = {"metadata": {"finalizers": []}}
    await served.host.api.resources.merge_patch(APP.group_resource, "production", "one", without)
    assert await served.find("one") is None
    await until(lambda: not served.pids("one"))


async def test_files_of_a_release_that_were_deleted_are_made_again_for_the_next_start(served: Served) -> None:
    served.source("one")
    await served.apply(served.app("one"))
    await served.ready("one")
    before = served.pids("one")
    shutil.rmtree(served.data_dir / "apps" / "one" / "production" / "releases")
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    await until(lambda: served.pids("one") - before)
    assert (await served.fetch("one.localhost"))[0] == 200
