"""A proxy with an application of its own behind it, running and known to do what it is measured with."""

import http.client
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.proxy.client import Connection, insecure
from bench.proxy.contenders import HERE, WORKERS, Contender, Setting
from bench.proxy.running import Running
from tako.certs import self_signed

# The files all of them serve, and their sizes.
FILES = {"/files/small.txt": 1024, "/files/large.bin": 100 * 1024}


@dataclass(frozen=True, slots=True)
class Common:
    """What all of them are given."""

    root: Path
    upstream: Path
    certificate: Path
    key: Path
    public: Path


@dataclass(frozen=True, slots=True)
class Side:
    contender: Contender
    setting: Setting
    running: Running

    def answered(self) -> int:
        """How many requests have reached the application."""
        connection = http.client.HTTPConnection("127.0.0.1", self.setting.upstream_port, timeout=10)
        connection.request("GET", "/count")
        count = int(connection.getresponse().read())
        connection.close()
        return count

    def drop_records(self) -> None:
        """Somebody takes the records away, as tako-server does: a run writes more than a disk should have to take."""
        if self.contender.appends_records:
            with suppress(FileNotFoundError):
                self.setting.access_log.open("r+b").truncate(0)


def make_common(root: Path) -> Common:
    """Compile the application, and issue the certificate and write the files that all of them serve."""
    upstream = root / "upstream"
    subprocess.run(["cc", "-O2", "-pthread", "-o", str(upstream), str(HERE / "upstream.c")], check=True)
    held, _ = self_signed.hold(root / "certs", ("localhost", "*.test"), datetime.now(UTC))
    public = root / "public"
    (public / "files").mkdir(parents=True)
    for path, size in FILES.items():
        (public / path.lstrip("/")).write_bytes(b"x" * size)
    return Common(root, upstream, held.chain_path, held.key_path, public)


@contextmanager
def start(contender: Contender, common: Common, connections: int) -> Iterator[Side]:
    """Run the application and the proxy; give them when a request comes through with all that belongs to it."""
    directory = common.root / contender.name
    shutil.rmtree(directory, ignore_errors=True)
    behind = directory / "app"
    behind.mkdir(parents=True)
    port, metrics_port, upstream_port = _free_ports(3)
    setting = Setting(
        directory=directory,
        port=port,
        metrics_port=metrics_port,
        upstream_port=upstream_port,
        certificate=common.certificate,
        key=common.key,
        public=common.public,
        connections=connections,
    )
    command = [str(common.upstream), str(upstream_port), str(WORKERS)]
    argv = contender.prepare(setting)
    with Running.start(command, behind) as app, Running.start(argv, directory) as running:
        app.await_true("the application listens", lambda: _listens(upstream_port))
        running.await_true(f"{contender.name} listens", lambda: _listens(port))
        side = Side(contender, setting, running)
        _check(side)
        yield side


def keeps_records(side: Side) -> bool:
    """Whether it writes a line for each request; waits a moment for that of the check."""
    with suppress(AssertionError):
        side.running.await_true("an access record", lambda: _has_record(side.setting.access_log), 3.0)
        return True
    return False


def _has_record(path: Path) -> bool:
    # HAProxy's file is there, and full of zeros, before there is a record.
    return path.exists() and b"/echo" in path.read_bytes()


def _check(side: Side) -> None:
    """A proxy that leaves out what the others do would win for the wrong reason."""
    headers, body = fetch(side, "/echo")
    head = body.decode().lower()
    assert headers["x-request-id"].lower() in head, f"{side.contender.name}: no request id\n{head}"
    for line in ("x-forwarded-for: 127.0.0.1\r\n", "x-forwarded-proto: https\r\n"):
        assert line in head, f"{side.contender.name}: no {line.strip()}\n{head}"


def fetch(side: Side, path: str) -> tuple[dict[str, str], bytes]:
    with Connection(side.setting.port, insecure()) as connection:
        return connection.fetch(path)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
