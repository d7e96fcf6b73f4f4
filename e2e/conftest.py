"""One host for each test; when the test fails, what the server said about it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.host import BIN, Host

CALL = pytest.StashKey[pytest.CallInfo[None]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(180))


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if call.when == "call":
        item.stash[CALL] = call


@pytest.fixture
def root() -> Iterator[Path]:
    """A short path: pytest's own would not leave room for a Unix socket's 107 bytes."""
    path = Path(tempfile.mkdtemp(prefix="tako-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def stopped_host(root: Path, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host whose server was not started."""
    for program in ("tako-server", "tako", "tako-proxyd"):
        assert (BIN / program).exists(), f"{BIN / program} is missing; run `make setup`"
    host = Host(root)
    try:
        yield host
    finally:
        call = request.node.stash.get(CALL, None)
        if call is not None and call.excinfo is not None:
            print(f"--- {host.log_path}\n{host.log_tail(200)}")
        host.kill_everything()


@pytest.fixture
def host(stopped_host: Host) -> Host:
    """A host whose server answers."""
    stopped_host.start()
    return stopped_host
