"""What the proxy is told of declared apps, as it keeps it on disk."""

import json
from typing import Any

from tests.server.world import Served, until


def table(served: Served) -> dict[str, Any]:
    """Return the table that the proxy has."""
    try:
        found: dict[str, Any] = json.loads((served.layout.proxy / "table.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def told(served: Served, name: str) -> dict[str, Any]:
    """Return the app's entry in it."""
    return next((app for app in table(served).get("apps", ()) if app["app"] == f"{name}/production"), {})


async def test_the_public_files_are_those_of_the_release_that_serves(served: Served) -> None:
    source = served.source("one")
    (source / "public").mkdir()
    (source / "public" / "old.txt").write_text("old")
    await served.apply(served.app("one", maxConnections=5))
    await served.ready("one")
    await until(lambda: told(served, "one").get("public_dir"))
    releases = served.layout.app(served.id("one")).releases
    first = told(served, "one")["public_dir"]
    assert first.startswith(str(releases)) and first.endswith("/public")
    assert told(served, "one")["max_connections"] == 5

    (source / "public" / "old.txt").rename(source / "public" / "new.txt")
    await served.apply(served.app("one", env={"ROUND": "2"}))
    await served.ready("one")
    await until(lambda: told(served, "one")["public_dir"] not in (first, None))
    assert told(served, "one")["max_connections"] == 0


async def test_a_limit_of_requests_replaces_no_process(served: Served) -> None:
    served.source("one")
    await served.apply(served.app("one"))
    await served.ready("one")
    pids = served.pids("one")
    await served.apply(served.app("one", maxConnections=9))
    await until(lambda: told(served, "one").get("max_connections") == 9)
    await served.ready("one")
    assert served.pids("one") == pids


async def test_the_file_for_access_records_is_in_a_directory_that_exists_before_anything_runs(served: Served) -> None:
    await served.apply(served.app("one"))  # its source does not exist
    await until(lambda: told(served, "one").get("access_log"))
    log = served.layout.app(served.id("one")).access_log
    assert told(served, "one")["access_log"] == str(log)
    await until(lambda: log.parent.is_dir())
