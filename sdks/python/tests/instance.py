"""Plays tako-server's part: starts a real instance with pipes on fds 3 and 4 and talks to it."""

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TOKEN = "0123456789abcdefghijklmnopqrstuv"
ENVELOPE = json.dumps({"token": TOKEN, "secrets": {"API_KEY": "hunter2"}, "storages": {}})
SOURCE = Path(__file__).parents[1] / "src"
APPS = Path(__file__).parent / "apps"
# Moves the pipes from wherever the parent has them to the descriptors of the contract.
PLACE = "import os,sys; r,w=map(int,sys.argv[1:3]); os.dup2(r,103); os.dup2(w,104); os.dup2(103,3); os.dup2(104,4); "
PLACE += "os.closerange(5,256); os.execv(sys.argv[3],sys.argv[3:])"


class Instance:
    """One process; a context manager that ends it."""

    def __init__(self, interface: str, target: str, tmp_path: Path, envelope: str | None = ENVELOPE, **env: str):
        """Start `target` of tests/apps; without an envelope fds 3 and 4 are closed, as in a container."""
        self._out, self._err = tmp_path / "out", tmp_path / "err"
        self._readiness = -1
        self._connections: list[http.client.HTTPConnection] = []
        command = [sys.executable, "-m", "tako_sh", interface, target]
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "PORT": "0", "HOST": "127.0.0.1"}
        variables |= {"TAKO_BUILD": "v1", "ENV": "production", **env}
        if envelope is None:
            self.process = self._start(command, variables, ())
            return
        variables |= {"TAKO_APP_NAME": "hello/production", "TAKO_INTERNAL_SOCKET": str(tmp_path / "none.sock")}
        bootstrap, bootstrap_end = os.pipe()
        self._readiness, readiness_end = os.pipe()
        os.write(bootstrap_end, envelope.encode())
        os.close(bootstrap_end)
        place = [sys.executable, "-S", "-E", "-c", PLACE, str(bootstrap), str(readiness_end)]
        ends = (bootstrap, readiness_end)
        self.process = self._start([*place, *command, "--instance", "abcd1234"], variables, ends)
        for end in ends:
            os.close(end)

    def _start(self, command: list[str], env: Mapping[str, str], fds: tuple[int, ...]) -> subprocess.Popen[bytes]:
        with self._out.open("wb") as out, self._err.open("wb") as err:
            return subprocess.Popen(command, cwd=APPS, env=env, pass_fds=fds, stdout=out, stderr=err)

    def __enter__(self) -> "Instance":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for connection in self._connections:
            connection.close()
        if self._readiness >= 0:
            os.close(self._readiness)

    @property
    def stdout(self) -> str:
        """What was printed so far."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        """What was printed to stderr so far."""
        return self._err.read_text()

    def records(self) -> list[dict[str, Any]]:
        """Return the log records written so far."""
        return [json.loads(line) for line in self.stdout.splitlines() if line.startswith("{")]

    def reported(self) -> bytes:
        """Return what was written to fd 4 until it was closed."""
        text = b""
        while part := os.read(self._readiness, 64):
            text += part
        return text

    def connect(self) -> http.client.HTTPConnection:
        """Wait for the port and return a connection to it."""
        self.port = int(self.reported())
        return self.another()

    def another(self) -> http.client.HTTPConnection:
        """Return one more connection to the known port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self._connections.append(connection)
        return connection

    def until(self, seen: Callable[[], bool]) -> None:
        """Wait until `seen` says so."""
        deadline = time.monotonic() + 5
        while not seen():
            assert time.monotonic() < deadline, f"not seen in time; stdout: {self.stdout} stderr: {self.stderr}"
            time.sleep(0.005)


def ask(
    connection: http.client.HTTPConnection,
    path: str,
    headers: Mapping[str, str] = {},
    method: str = "GET",
    body: bytes | None = None,
) -> tuple[int, dict[str, str], str]:
    """Send a request and return status, headers in lower case, and body."""
    connection.request(method, path, body, {"Host": "hello.example.com", **headers})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
