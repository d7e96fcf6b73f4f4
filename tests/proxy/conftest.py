"""Each test that starts a proxy runs against the fake peer and, where it was built, against the real binary."""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tako.model.control import Stats
from tako.proxy.listeners import Ports
from tako.proxy.proxyd import Handlers, Proxy

FAKE = Path(__file__).with_name("fake_proxyd.py")
REAL = Path(__file__).parents[2] / "proxyd" / "target" / "release" / "tako-proxyd"


class Said:
    """What the proxy said through its handlers."""

    def __init__(self) -> None:
        self.wakes: list[tuple[str, int]] = []
        self.drained: list[tuple[str, str]] = []
        self.stats: list[Stats] = []
        self.connect_failures: list[tuple[str, str, str]] = []

    def handlers(self) -> Handlers:
        return Handlers(
            on_wake=lambda *seen: self.wakes.append(seen),
            on_drained=lambda *seen: self.drained.append(seen),
            on_stats=self.stats.append,
            on_connect_failed=lambda *seen: self.connect_failures.append(seen),
        )


class Visitor:
    """Connects and asks in a loop, each time on a new connection; counts what went wrong."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.refused: list[str] = []
        self.unanswered: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
            except OSError as error:
                self.refused.append(repr(error))
                continue
            with sock:
                try:
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n")
                    answer = sock.recv(4096)
                except OSError as error:
                    self.unanswered.append(repr(error))
                    continue
            if answer.startswith(b"HTTP/1.1 "):
                self.answered += 1
            else:
                self.unanswered.append(repr(answer))

    def __enter__(self) -> "Visitor":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()


async def until(reached: Callable[[], object], timeout: float = 15) -> None:
    """Wait for a condition; the deadline is for a failure to be told, not for pacing."""
    deadline = time.monotonic() + timeout
    while not reached():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.005)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture(params=["fake", "real"])
def binary(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "real":
        if not REAL.exists():
            pytest.skip("tako-proxyd is not built: cargo build --release in proxyd/")
        return REAL
    script = tmp_path / "tako-proxyd"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """The data directory's `proxy`; no proxy that was started with it outlives the test."""
    yield tmp_path / "proxy"
    for process in Path("/proc").iterdir():
        try:
            argv = (process / "cmdline").read_bytes().split(b"\0") if process.name.isdigit() else []
        except OSError:
            continue
        if b"--control" in argv and str(tmp_path / "proxy" / "control.sock").encode() in argv:
            os.kill(int(process.name), signal.SIGKILL)


StartProxy = Callable[..., "asyncio.Future[Proxy]"]


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
async def start_proxy(binary: Path, directory: Path, said: Said) -> AsyncIterator[StartProxy]:
    """Start `Proxy` objects on one data directory, as one tako-server after the other."""
    started: list[Proxy] = []

    async def start(http: int = 0, https: int = 0, binary: Path = binary, workers: int = 2) -> Proxy:
        proxy = Proxy(
            directory, Ports(http, https, address="127.0.0.1"), binary, workers=workers, handlers=said.handlers()
        )
        started.append(proxy)
        await proxy.start()
        return proxy

    yield start
    for proxy in started:
        proxy.detach()
