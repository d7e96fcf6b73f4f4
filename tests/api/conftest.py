"""A real server on a real directory, with the kinds of the product."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tako.api.client import Client
from tako.api.server import ApiServer
from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS

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


@dataclass
class Served:
    """A server in a thread of its own, for clients that block."""

    data_dir: Path
    socket: Path
    url: str
    token: str
    ca_pem: str
    api: ApiServer
    loop: asyncio.AbstractEventLoop

    def client(self) -> Client:
        return Client.connect(self.socket)

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start servers; all are stopped at the end."""
    stops: list[Callable[[], None]] = []

    def start(data_dir: Path = tmp_path / "data", **arguments: Any) -> Served:
        ready: list[Served] = []
        started = threading.Event()
        ending: list[asyncio.Event] = []
        failures: list[BaseException] = []

        async def main() -> None:
            api = await ApiServer.open(data_dir, **{"crds": CRDS, **arguments})
            socket = data_dir / "api.sock"
            await api.serve_unix(socket)
            port = await api.serve_tls("127.0.0.1", 0)
            credentials = api.credentials
            stop = asyncio.Event()
            ending.append(stop)
            ready.append(
                Served(
                    data_dir,
                    socket,
                    f"https://127.0.0.1:{port}",
                    credentials.token,
                    credentials.ca_pem,
                    api,
                    asyncio.get_running_loop(),
                )
            )
            started.set()
            await stop.wait()
            await api.close()

        def run() -> None:
            try:
                asyncio.run(main())
            except BaseException as error:  # noqa: BLE001 - handed to the test
                failures.append(error)
            finally:
                started.set()

        thread = threading.Thread(target=run)
        thread.start()
        started.wait(30)
        if failures:
            raise failures[0]

        def stop() -> None:
            if thread.is_alive():
                ready[0].loop.call_soon_threadsafe(ending[0].set)
            thread.join(30)

        stops.append(stop)
        return ready[0]

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()
