"""One host in the process of the test: the real API, operator and agent, a real tako-proxyd, real instances."""

import asyncio
import http.client
import json
import os
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tako.adapters import processes as os_processes
from tako.api.entries import Key
from tako.host_agent import membership
from tako.host_agent.layout import Layout
from tako.model.conditions import is_true
from tako.model.kinds import APP, HOST, KINDS, Kind
from tako.model.names import DeploymentId
from tako.server.host import Host
from tako.server.settings import Settings

SERVE = Path(__file__).parents[2] / "e2e" / "apps" / "serve.py"
INTERPRETER = str(Path(sys.executable).resolve())
# So long without a write is calm: everything that follows from a write follows within milliseconds.
QUIET_SECONDS = 0.6

Doc = dict[str, Any]


class Served:
    """A host, what a user does to it, and what can be seen of it."""

    def __init__(self, root: Path) -> None:
        self.root, self.data_dir = root, root / "data"
        self.layout = Layout(self.data_dir)
        self.host: Host
        self.http_port, self.https_port = free_ports(2)

    # --- the server -------------------------------------------------------------------------------------------

    async def begin(self, **settings_besides: Any) -> None:
        settings = Settings(
            data_dir=self.data_dir,
            http_port=self.http_port,
            https_port=self.https_port,
            api_port=0,
            isolation="off",
            server_name="here",
            log_level="info",
            **{"cloudflare_source": None, **settings_besides},
        )
        self.host = await Host.open(settings)
        await self.host.start()

    async def end(self) -> None:
        """Let go of everything, as a killed server does: instances and proxy run on."""
        await self.host.close()

    def kill_all(self) -> None:
        """End the proxy and every instance below our directory."""
        for pid in os_processes.pids():
            if pid != os.getpid() and (membership.instance_of(pid, self.layout) or self._is_our_proxy(pid)):
                os_processes.kill(pid)

    def _is_our_proxy(self, pid: int) -> bool:
        try:
            return str(self.layout.proxy).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    # --- what a user does -------------------------------------------------------------------------------------

    def source(self, name: str) -> Path:
        path = self.root / "source" / name
        path.mkdir(parents=True, exist_ok=True)
        shutil.copy(SERVE, path / "serve.py")
        return path

    def app(self, name: str, namespace: str = "production", **spec: Any) -> Doc:
        """An App that runs the test application."""
        defaults: Doc = {
            "source": {"path": str(self.root / "source" / name)},
            "start": [INTERPRETER, "-I", "-S", "{main}"],
            "main": "serve.py",
            "routes": [f"{name}.localhost"],
            "rollout": {"settleSeconds": 0.1, "startupTimeoutSeconds": 10, "drainTimeoutSeconds": 5},
        }
        metadata = {"name": name, "namespace": namespace}
        return {"apiVersion": APP.api_version, "kind": "App", "metadata": metadata, "spec": {**defaults, **spec}}

    async def apply(self, *docs: Doc) -> None:
        for doc in docs:
            await self.host.api.resources.apply(APP.group_resource, doc["metadata"]["namespace"], doc)

    async def delete(self, name: str, namespace: str = "production") -> None:
        await self.host.api.resources.delete(APP.group_resource, namespace, name)

    async def fetch(self, host_name: str) -> tuple[int, Doc]:
        """Ask through the proxy: the status code and what the application said of itself."""
        return await asyncio.to_thread(self._fetch, host_name)

    def _fetch(self, host_name: str, port: int | None = None) -> tuple[int, Doc]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port or self.host.https_port, context=context, timeout=20)
        try:
            connection.request("GET", "/", headers={"Host": host_name})
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if answer.status == 200 else {}
        finally:
            connection.close()

    # --- what is seen -----------------------------------------------------------------------------------------

    def id(self, app: str, namespace: str = "production") -> DeploymentId:
        return DeploymentId(app, namespace)

    @property
    def revision(self) -> int:
        return self.host.api.store.revision

    async def every(self, kind: Kind) -> list[Doc]:
        docs, _ = await self.host.api.resources.list(kind.group_resource)
        return docs

    async def find(self, name: str, namespace: str = "production", kind: Kind = APP) -> Doc | None:
        return await self.host.world.find(kind, namespace, name)

    async def host_document(self) -> Doc:
        """The Host, as it is told at the next look."""
        await until(lambda: self.host.api.store.get(Key(HOST.group_resource, "", "here")))
        await self.host._publish_host("here")
        doc = await self.host.world.find(HOST, None, "here")
        assert doc is not None
        return doc

    def pids(self, app: str, namespace: str = "production") -> set[int]:
        return {one.pid for one in self.host.agent.view(DeploymentId(app, namespace)).instances}

    def processes(self) -> set[tuple[str, int]]:
        """Every instance that exists below our directory, recorded or not, and the proxy."""
        found = {(str(membership.instance_of(pid, self.layout)), pid) for pid in os_processes.pids()}
        found = {(instance, pid) for instance, pid in found if instance != "None"}
        return found | {("proxy", pid) for pid in os_processes.pids() if self._is_our_proxy(pid)}

    def files(self) -> dict[str, tuple[int, int]]:
        """Inode and time of everything that reconcilers write; the store and logs have writers of their own."""
        roots = [self.data_dir / "apps", self.layout.certs, self.layout.proxy]
        paths = [path for root in roots for path in root.rglob("*") if "logs" not in path.parts]
        return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in paths}

    async def ready(self, name: str, namespace: str = "production") -> None:
        """Wait until the App says that what its spec says now is running."""

        def is_ready() -> bool:
            doc = self.host.mirror.find(APP, namespace, name)
            if doc is None or not is_true(doc, "Ready"):
                return False
            return bool(doc["status"]["observedGeneration"] == doc["metadata"]["generation"])

        await until(is_ready, what=lambda: self.host.mirror.find(APP, namespace, name))

    async def calm(self) -> None:
        """Wait until nothing has been written for a while and no work is queued."""
        since, revision = time.monotonic(), self.revision
        ends = since + 30
        while time.monotonic() - since < QUIET_SECONDS:
            assert time.monotonic() < ends, "the host does not come to rest"
            await asyncio.sleep(0.02)
            if self.revision != revision:
                since, revision = time.monotonic(), self.revision

    async def annotated(self) -> list[str]:
        """Objects with an annotation; nobody here writes one, so it would be kopf's."""
        return [
            f"{kind.plural}/{doc['metadata']['name']}"
            for kind in KINDS
            for doc in await self.every(kind)
            if doc["metadata"].get("annotations")
        ]


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago: a server that starts again must find its own."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def until(
    condition: Callable[[], object], timeout: float = 20.0, what: Callable[[], object] = lambda: None
) -> None:
    """Wait for something to become true; fails the test with `what` when it does not."""
    ends = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends, f"it did not come true; last seen: {what()}"
        await asyncio.sleep(0.01)
