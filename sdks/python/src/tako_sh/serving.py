"""The server: uvicorn, with the start and the end of an instance as Tako's process contract has them."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from tako_sh.asgi import Application, Receive, Scope, Send
from tako_sh.endpoint import InternalEndpoint
from tako_sh.envelope import is_pipe, process_envelope, started_natively
from tako_sh.instance import INSTANCE
from tako_sh.loading import Interface

READINESS_FD = 4
# Requests of a WSGI application that may run at a time; a thread exists only once it was needed.
WSGI_THREADS = 32
# The proxy decides how long a connection idles: were we to close first, a request on its way would be lost.
KEEP_ALIVE_SECONDS = 24 * 3600
TICK_SECONDS = 1.0


def serve(app: Callable[..., Any], interface: Interface, host: str, port: int) -> None:
    """Serve `app` until SIGTERM or SIGINT; returns after the last request in flight was answered.

    Raises OSError when the address cannot be bound, SystemExit(1) when the app's lifespan refuses to start.
    """
    envelope = process_envelope()
    config = uvicorn.Config(
        InternalEndpoint(_from_wsgi(app) if interface == "wsgi" else app, envelope.token if envelope else None),
        lifespan="off" if interface == "wsgi" else "auto",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        # Only the proxy on this host may say who the visitor was.
        forwarded_allow_ips="127.0.0.1,::1",
    )
    InstanceServer(config).run(sockets=[_bind(host, port)])


class InstanceServer(uvicorn.Server):
    """Reports its port when it listens, drains on SIGTERM, and leaves with 0."""

    _stop: asyncio.Event

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the lifespan's startup and listen."""
        self._stop = asyncio.Event()
        with _plain_startup_errors():
            try:
                await super().startup(sockets)
            except SystemExit:
                raise SystemExit(1) from None
        if not self.started:
            raise SystemExit(1)
        INSTANCE.status = "healthy"
        report_port((sockets or [])[0].getsockname()[1])

    async def main_loop(self) -> None:
        """Wait for a signal; the tick renews the Date header, once a second instead of ten times."""
        while not self._stop.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), TICK_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain on a signal. The original raises it once more at the end, which is not an exit with 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain)
        yield

    def _drain(self) -> None:
        INSTANCE.status = "draining"
        self.should_exit = True
        self._stop.set()


def report_port(port: int) -> None:
    """Tell Tako that this instance takes requests, and where."""
    if started_natively() and is_pipe(READINESS_FD):
        os.write(READINESS_FD, f"{port}\n".encode())
        os.close(READINESS_FD)


def _bind(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it every answer takes 40 ms.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, port))
    return sock


def _from_wsgi(app: Callable[..., Any]) -> Application:
    from a2wsgi import WSGIMiddleware

    def with_errors(environ: Any, start_response: Any) -> Any:
        environ["wsgi.errors"] = sys.stderr
        return app(environ, start_response)

    adapted = WSGIMiddleware(with_errors, workers=WSGI_THREADS)

    async def without_ambiguous_headers(scope: Scope, receive: Receive, send: Send) -> None:
        # `X_Forwarded_For` and `X-Forwarded-For` are one variable in WSGI; only the second was set by the proxy.
        scope["headers"] = [header for header in scope["headers"] if b"_" not in header[0]]
        await adapted(scope, receive, send)  # type: ignore[arg-type]

    return without_ambiguous_headers


@contextlib.contextmanager
def _plain_startup_errors() -> Iterator[None]:
    """Print what breaks the start as it is: these lines are shown as the cause when an instance never came up."""
    logger = logging.getLogger("uvicorn.error")
    handler = logging.StreamHandler(sys.stderr)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
