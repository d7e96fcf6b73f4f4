"""A started host whose every process ends with its test."""

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.server.world import Served


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    # Not pytest's directory: the path of a Unix socket may have 107 bytes.
    root = Path(tempfile.mkdtemp(prefix="tako-"))
    monkeypatch.setenv("TAKO_HOME", str(root / "home"))
    served = Served(root)
    await served.begin()
    yield served
    await served.end()
    served.kill_all()
    shutil.rmtree(root, ignore_errors=True)
