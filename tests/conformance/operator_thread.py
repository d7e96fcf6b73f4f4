"""A real kopf operator in a thread and loop of its own, against a server's Unix socket."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import kopf


@contextlib.contextmanager
def running(socket: Path, registry: kopf.OperatorRegistry) -> Iterator[threading.Event]:
    """Run the operator until the block ends; yields the event that is set once it watches."""
    ready, stop = threading.Event(), threading.Event()
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None

    @kopf.on.login(registry=registry)
    async def login(**_: object) -> kopf.AiohttpSession:
        connector = aiohttp.UnixConnector(path=str(socket))
        return kopf.AiohttpSession(
            server="http://localhost", aiohttp_session=aiohttp.ClientSession(connector=connector)
        )

    async def operate() -> None:
        await kopf.operator(
            registry=registry,
            settings=settings,
            clusterwide=True,
            standalone=True,
            ready_flag=ready,
            stop_flag=stop,
        )

    thread = threading.Thread(target=lambda: asyncio.run(operate()))
    thread.start()
    try:
        assert ready.wait(20), "the operator did not become ready"
        yield ready
    finally:
        stop.set()
        thread.join(20)


def registry_with(define: Callable[[kopf.OperatorRegistry], None]) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    define(registry)
    return registry
