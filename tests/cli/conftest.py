"""The command line as people run it: a real process, against a real server on a real socket."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tako.api.server import ApiServer, Extension
from tako.cli.client import Client, Resource
from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS

PROGRAM = (sys.executable, "-c", "from tako.cli.main import run; run()")
APPS = Resource("tako.sh", "v1", "apps", "App", singular="app")
INSTANCES = Resource("tako.sh", "v1", "instances", "Instance", singular="instance")
EVENTS = Resource("", "v1", "events", "Event", singular="event")
DIGEST = "sha256:" + "0" * 64


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Server:
    """The resource API with the kinds of the product, in a thread of its own."""

    def __init__(self, data_dir: Path, extensions: Sequence[Extension] = ()) -> None:
        self.data_dir = data_dir
        self.socket = data_dir / "api.sock"
        self.client = Client.connect(self.socket)
        self.extensions = extensions
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> "Server":
        self._thread.start()
        assert self._up.wait(30)
        return self

    def stop(self) -> None:
        self.client.connection.close()
        if self._thread.is_alive() and self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)

    def _run(self) -> None:
        try:
            # It also ends what a client began in the very moment the server closed.
            asyncio.run(self._serve())
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        api = await ApiServer.open(self.data_dir, crds=[custom_resource_definition(kind) for kind in KINDS])
        api.extend(self.extensions)
        await api.serve_unix(self.socket)
        self._stop = asyncio.Event()
        self._up.set()
        await self._stop.wait()
        await api.close()


Tako = Callable[..., Ended]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers; all are stopped at the end."""
    started: list[Server] = []

    def start(data_dir: Path = tmp_path / "data", extensions: Sequence[Extension] = ()) -> Server:
        started.append(Server(data_dir, extensions).start())
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    return start_server()


def surroundings(home: Path, **more: str) -> dict[str, str]:
    """An environment in which no server of the machine is found by accident."""
    repository = str(Path(__file__).parents[2])
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": repository, **more}


@pytest.fixture
def tako(tmp_path: Path) -> Tako:
    """Run the program in `tmp_path` and wait for its end; the server is at `data/api.sock`."""

    def run(*words: str, stdin: str = "", env: dict[str, str] | None = None) -> Ended:
        where = {"TAKO_API_SOCKET": str(tmp_path / "data" / "api.sock")} if env is None else env
        ended = subprocess.run(
            [*PROGRAM, *words],
            cwd=tmp_path,
            env=surroundings(tmp_path, **where),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run


def app(name: str, **spec: Any) -> dict[str, Any]:
    """An App that needs no files."""
    source = {"path": "/srv/hello", "digest": DIGEST}
    wanted = {"source": source, "runtime": "node", "main": "index.mjs", **spec}
    return {"apiVersion": "tako.sh/v1", "kind": "App", "metadata": {"name": name}, "spec": wanted}
