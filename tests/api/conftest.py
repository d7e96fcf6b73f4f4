"""A real server on a real directory, with the kinds of the product."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tako.api.server import ApiServer
from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS
from tests.client import Client

CRDS = [custom_resource_definition(kind) for kind in KINDS]
APP: dict[str, Any] = {"spec": {"source": {"path": "/srv/hello"}, "runtime": "node", "main": "index.mjs"}}


def app(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {**APP["spec"], **spec}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    """The API on the loop of the test."""
    opened = await ApiServer.open(tmp_path / "data", crds=CRDS)
    yield opened
    await opened.close()


class Served:
    """A server in a thread of its own, for clients that block."""

    def __init__(self, data_dir: Path, **arguments: Any) -> None:
        self.data_dir = data_dir
        self.socket = data_dir / "api.sock"
        self.url = self.token = self.ca_pem = ""
        self.api: ApiServer
        self._arguments = {"crds": CRDS, **arguments}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready, self._ending = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait(30)
        if self._failure:
            raise self._failure

    def client(self) -> Client:
        return Client.connect(self.socket)

    def run(self, coroutine: Any) -> Any:
        """Await `coroutine` on the server's loop."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def stop(self) -> None:
        self._ending.set()
        self._thread.join(30)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            self._failure = error
        self._ready.set()

    async def _serve(self) -> None:
        self.api = await ApiServer.open(self.data_dir, **self._arguments)
        try:
            await self.api.serve_unix(self.socket)
            port = await self.api.serve_tls("127.0.0.1", 0)
            self.url = f"https://127.0.0.1:{port}"
            self.token, self.ca_pem = self.api.credentials.token, self.api.credentials.ca_pem
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await asyncio.to_thread(self._ending.wait)
        finally:
            await self.api.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start servers; all are stopped at the end."""
    started: list[Served] = []

    def start(data_dir: Path = tmp_path / "data", **arguments: Any) -> Served:
        started.append(Served(data_dir, **arguments))
        return started[-1]

    yield start
    for served in started:
        served.stop()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()
