"""A host of its own for each test: a real tako-server on a data directory and ports nobody else has."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from e2e import processes
from e2e.load import Answer, fetch
from tests.client import Client, RequestFailed, Unreachable

BIN = Path(sys.executable).parent
SERVE = Path(__file__).parent / "apps" / "serve.py"
# The interpreter itself, not a launcher in front of it: a pyenv shim costs more than the application.
INTERPRETER = str(Path(sys.executable).resolve())
T = TypeVar("T")


def eventually(what: str, look: Callable[[], T], timeout_seconds: float = 20.0) -> T:
    """Return the first truthy value of `look`; say what was waited for and what was there instead."""
    deadline = time.monotonic() + timeout_seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited {timeout_seconds} s for: {what}; last seen: {seen!r}"
        time.sleep(0.02)
    return seen


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Host:
    """tako-server, everything it runs, and the ways to talk to it."""

    def __init__(self, root: Path, isolation: str = "off") -> None:
        self.root, self.data_dir = root, root / "data"
        self.log_path = root / "server.log"
        self.http_port, self.https_port, self.api_port = free_ports(3)
        self._isolation = isolation
        self._server: subprocess.Popen[bytes] | None = None
        self.server_command = [str(BIN / "tako-server")]
        self.environment = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "HOME": str(root),
            "TAKO_HOME": str(root / "home"),
            "TAKO_API_SOCKET": str(self.socket),
        }

    # --- the server ------------------------------------------------------------------------------------------

    @property
    def socket(self) -> Path:
        return self.data_dir / "api.sock"

    def documents(self, group_resource: str) -> list[dict[str, Any]]:
        """Every document of a resource, in all namespaces."""
        with Client.connect(socket=self.socket) as client:
            items: list[dict[str, Any]] = client.list(group_resource)["items"]
            return items

    @property
    def server(self) -> subprocess.Popen[bytes]:
        assert self._server is not None, "the server was not started"
        return self._server

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start tako-server and return at once."""
        argv = [*self.server_command, "--data-dir", str(self.data_dir), "--isolation", self._isolation]
        argv += ["--http-port", str(self.http_port), "--https-port", str(self.https_port)]
        argv += ["--api-port", str(self.api_port), "--metrics-port", "0"]
        with self.log_path.open("ab") as log:
            self._server = subprocess.Popen(argv, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        return self._server

    def start(self) -> None:
        """Start tako-server and return when its API answers."""
        self.spawn()
        eventually("the API to answer", self.answers, 30)

    def answers(self) -> bool:
        code = self.server.poll()
        assert code is None, f"tako-server exited with {code}:\n{self.log_tail()}"
        try:
            return bool(self.documents("hosts.tako.sh"))
        except (Unreachable, RequestFailed):
            return False

    def kill_server(self) -> None:
        """kill -9, and nothing but the server."""
        processes.kill([self.server.pid])
        self.server.wait()

    def kill_everything(self) -> None:
        """kill -9 of the server, the proxy and every instance: what a power cut leaves behind."""
        # The server first: it would start again what is killed before it.
        if self._server is not None:
            self.kill_server()
        while pids := processes.processes_of(self.data_dir):
            processes.kill(pids)

    def proxy_pid(self) -> int:
        (pid,) = processes.named(self.data_dir, "tako-proxyd")
        return pid

    def log_tail(self, lines: int = 60) -> str:
        if not self.log_path.exists():
            return "(no log)"
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    # --- what a person does ----------------------------------------------------------------------------------

    def tako(
        self, *argv: str, stdin: str | None = None, check: bool = True, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run the CLI as a user would."""
        done = subprocess.run(
            [str(BIN / "tako"), *argv],
            input=stdin,
            env=self.environment,
            cwd=self.root,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert done.returncode == 0, (
                f"tako {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}\n{self.log_tail(25)}"
            )
        return done

    def source(self, name: str) -> Path:
        """A directory with the test application in it."""
        path = self.root / "source" / name
        path.mkdir(parents=True, exist_ok=True)
        shutil.copy(SERVE, path / "serve.py")
        return path

    def document(self, name: str, *, env: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
        """An App that runs the test application under the host name `<name>.localhost`."""
        defaults: dict[str, Any] = {
            "source": {"path": str(self.source(name))},
            "start": [INTERPRETER, "-I", "-S", "{main}"],
            "main": "serve.py",
            "routes": [f"{name}.localhost"],
            "env": {"RELEASE": "1", **(env or {})},
            # Short, so that what a test waits for is the mechanism and not its generosity.
            "rollout": {"settleSeconds": 0.2, "startupTimeoutSeconds": 5, "drainTimeoutSeconds": 10},
        }
        metadata = {"name": name, "namespace": "production"}
        return {"apiVersion": "tako.sh/v1", "kind": "App", "metadata": metadata, "spec": {**defaults, **spec}}

    def apply(self, *documents: dict[str, Any], wait: bool = True) -> str:
        """`tako apply`, by default until everything is Ready."""
        text = yaml.safe_dump_all(documents)
        return self.tako("apply", "-f", "-", *(["--wait"] if wait else []), stdin=text).stdout

    def fetch(self, name: str, path: str = "/", **options: Any) -> Answer:
        return fetch(self.https_port, f"{name}.localhost", path, **options)

    # --- what is seen ----------------------------------------------------------------------------------------

    def app(self, name: str) -> dict[str, Any]:
        with Client.connect(socket=self.socket) as client:
            return client.get("apps.tako.sh", "production", name)

    def condition(self, name: str, kind: str = "Ready") -> dict[str, Any]:
        """A condition of an app; an empty one while it is not there."""
        conditions = self.app(name).get("status", {}).get("conditions") or []
        return next((each for each in conditions if each["type"] == kind), {})

    def instances(self, name: str | None = None) -> list[dict[str, Any]]:
        found = self.documents("instances.tako.sh")
        return [each for each in found if name in (None, each["spec"]["app"])]

    def healthy(self, name: str) -> dict[str, int]:
        """Instance name to pid, of those that take requests."""
        return {
            each["metadata"]["name"]: each["status"]["pid"]
            for each in self.instances(name)
            if each.get("status", {}).get("state") == "Healthy"
        }

    def await_healthy(self, name: str, count: int, timeout_seconds: float = 20) -> dict[str, int]:
        """Return what `healthy` says once it speaks of exactly so many."""
        eventually(
            f"{name} to have {count} healthy instances", lambda: len(self.healthy(name)) == count, timeout_seconds
        )
        return self.healthy(name)

    def instance_pids(self) -> set[int]:
        """Pids of every instance that is alive by its own document."""
        ended = ("Exited", "Failed")
        seen = [each.get("status", {}) for each in self.instances()]
        return {status["pid"] for status in seen if status.get("pid") and status.get("state") not in ended}

    def orphans(self) -> set[int]:
        """Processes below the data directory that no document speaks of."""
        known = self.instance_pids() | {self.server.pid, self.proxy_pid()}
        return processes.processes_of(self.data_dir) - known
