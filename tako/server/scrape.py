"""The Prometheus endpoint: ``/`` and ``/metrics`` on a port of the loopback interface."""

import asyncio
import gzip
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator

from aiohttp import web
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"

Observe = Callable[[], Awaitable[Callable[[], Iterable[Metric]]]]


class MetricsEndpoint:
    """Serves what `observe` leads to; `fault` says for a person why it does not, or is empty."""

    def __init__(self, port: int, observe: Observe) -> None:
        self.fault = ""
        self._wanted_port = port
        self.port: int | None = None
        self._observe = observe
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Serve, unless it does already. A port that is taken is a fault that is told; the next call tries again."""
        if self._runner is not None:
            return
        try:
            listener = socket.create_server((ADDRESS, self._wanted_port))
        except OSError as error:
            fault = (
                f"metrics are not served: port {self._wanted_port} of {ADDRESS} cannot be had ({error.strerror}). "
                "Stop what listens there, or start tako-server with another --metrics-port, 0 for none."
            )
            if fault != self.fault:
                log.error("%s", fault)
                self.fault = fault
            return
        application = web.Application()
        for path in ("/", "/metrics"):
            application.router.add_get(path, self._answer)
        self._runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        self.port = int(listener.getsockname()[1])
        self.fault = ""

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        families = await self._observe()  # on the loop; what it returns is called beside it
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        is_gzip = "gzip" in request.headers.get("Accept-Encoding", "")

        def render() -> bytes:
            text: bytes = encode(_Collected(families()))
            return gzip.compress(text, compresslevel=4) if is_gzip else text

        # Beside the event loop: with hundreds of apps it takes longer than a request that wakes one may wait.
        body = await asyncio.to_thread(render)
        headers = {"Content-Type": content_type, "Vary": "Accept-Encoding"}
        if is_gzip:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers)


class _Collected(Collector):
    """Families that were collected already, for an encoder that asks a registry."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)
