"""The API assembled: lock, store, collectors and listeners of one data directory."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from tako.api import builtin_rules
from tako.api.auth import authentication, counting
from tako.api.background import run_in_background
from tako.api.builtin import NAMESPACES, built_in_registry
from tako.api.changes import Admission, Changes, Clock, Document, utc_now
from tako.api.credentials import Credentials, load_credentials
from tako.api.definitions import Definitions
from tako.api.discovery import OpenApi
from tako.api.entries import Key
from tako.api.events import EventExpiry
from tako.api.gc import Collector
from tako.api.http import Http
from tako.api.resources import Resources
from tako.api.sockets import DirectoryLock, tcp_listener, unix_listener
from tako.api.store import Store
from tako.model.errors import Refused

NAMESPACES_AT_START = ("default", "production")
_BODY_LIMIT = 3 * 1024**2
# Long enough for the answer to a write that is being committed.
_SHUTDOWN_SECONDS = 2.0
# Loop turns from accept() to a transport that the server knows of.
_ACCEPT_TURNS = 3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Extension:
    """A path beside the resources, such as GET …/apps/{name}/log; behind the same authentication."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiServer:
    """Open it on the loop that serves; `close` ends what it started, in order."""

    def __init__(
        self, lock: DirectoryLock, store: Store, resources: Resources, credentials: Credentials, version: str
    ) -> None:
        self.store = store
        self.resources = resources
        self.credentials = credentials
        self.api_port: int | None = None
        self.requests: Counter[tuple[str, int]] = Counter()  # by method and status code
        self._lock = lock
        self._openapi = OpenApi(resources.registry, version)
        self._version = version
        self._tasks: list[asyncio.Task[None]] = []
        self._extensions: list[Extension] = []
        self._runners: list[web.AppRunner] = []
        self._listeners: list[socket.socket] = []
        self._socket_path: Path | None = None

    @classmethod
    async def open(
        cls,
        data_dir: Path,
        admission: Mapping[str, Admission] | None = None,
        crds: Sequence[Document] = (),
        version: str = "0.0.0",
        now: Clock = utc_now,
    ) -> "ApiServer":
        """Open the data directory; raises Refused when another server has it or its store cannot be read."""
        try:
            data_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = DirectoryLock(data_dir / "server.lock")
        except OSError as error:
            why = error.strerror or error
            raise Refused(
                f"the data directory {data_dir} cannot be used: {why}; name another with --data-dir"
            ) from error
        try:
            credentials = load_credentials(data_dir / "api")
            store = await Store.open(data_dir / "state.sqlite")
        except BaseException:
            lock.release()
            raise
        if store.notice:
            _log.warning("%s", store.notice)
        changes = Changes(store, built_in_registry(), dict(admission or {}), now)
        server = cls(lock, store, Resources(changes), credentials, version)
        try:
            await server._start(changes, crds)
        except BaseException:
            await server.close()
            raise
        return server

    @property
    def notice(self) -> str | None:
        """What happened to the store, for a condition; None when nothing."""
        return self.store.notice

    def extend(self, extensions: Sequence[Extension]) -> None:
        """Serve more paths; before `serve_unix` and `serve_tls`."""
        self._extensions += extensions

    async def serve_unix(self, path: Path) -> None:
        runner = await self._runner()
        listener = unix_listener(path)
        await web.SockSite(runner, listener, backlog=1024).start()
        self._listeners.append(listener)
        self._socket_path = path

    async def serve_tls(self, host: str, port: int) -> int:
        """Serve kubectl; returns the port, which is new when 0 was asked for."""
        listener = tcp_listener(host, port)
        runner = await self._runner()
        await web.SockSite(runner, listener, ssl_context=self.credentials.tls(), backlog=1024).start()
        self._listeners.append(listener)
        self.api_port = int(listener.getsockname()[1])
        return self.api_port

    async def close(self) -> None:
        """Answer what is being answered, store what was acknowledged, give the directory free."""
        self.store.feed.end()
        await self._stop_accepting()
        for runner in self._runners:
            await runner.cleanup()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()
        if self._socket_path is not None:
            self._socket_path.unlink(missing_ok=True)
        self._lock.release()

    async def _stop_accepting(self) -> None:
        """Let connections that were accepted reach the server before it closes.

        asyncio makes a connection's transport some turns after accepting it, and one made after the server has closed
        is neither served nor closed (CPython issue 109564).
        """
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener.fileno())
        for _ in range(_ACCEPT_TURNS):
            await asyncio.sleep(0)

    async def _start(self, changes: Changes, crds: Sequence[Document]) -> None:
        definitions = Definitions(changes, self._openapi.forget)
        collector, expiry = Collector(changes), EventExpiry(changes)
        await definitions.install(crds)
        for name in NAMESPACES_AT_START:
            if self.store.latest(Key(NAMESPACES, "", name)) is None:
                await changes.create(changes.registry.stored(NAMESPACES), "", builtin_rules.new_namespace(name))
        # What is always there again would only seem to have been deleted.
        changes.protected.add(f"{NAMESPACES}/default")
        for name, job in (("collector", collector.run()), ("event expiry", expiry.run())):
            self._tasks.append(run_in_background(job, name))

    async def _runner(self) -> web.AppRunner:
        middlewares = [counting(self.requests), authentication(self.credentials.token)]
        application = web.Application(middlewares=middlewares, client_max_size=_BODY_LIMIT)
        for extension in self._extensions:
            application.router.add_route(extension.method, extension.path, extension.handler)
        http = Http(self.resources, self._openapi, self._version)
        application.router.add_route("*", "/{path:.*}", http.handle)
        runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS
        )
        await runner.setup()
        self._runners.append(runner)
        return runner
