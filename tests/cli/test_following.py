"""What goes on until somebody ends it: watches, waits, logs, and Ctrl-C in a terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from tako.api.server import Extension
from tests.cli.conftest import APPS, PROGRAM, Server, Tako, app, surroundings

LINES = [
    "2026-04-20T06:19:53.716Z [out] [vdACgHcC] hello",
    "2026-04-20T06:19:54.000Z [err] [vdACgHcC] careful",
    "2026-04-20T06:19:55.000Z [server] [tako-server] WARN app exited code=1",
]


class Running:
    """The program in a terminal of its own."""

    def __init__(self, words: tuple[str, ...], home: Path, socket: Path) -> None:
        self._terminal, inside = pty.openpty()
        self.process = subprocess.Popen(
            [*PROGRAM, *words],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            cwd=home,
            env=surroundings(home, TAKO_API_SOCKET=str(socket), TERM="xterm"),
            start_new_session=True,
        )
        os.close(inside)
        self.seen = ""

    def until(self, text: str, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come; seen: {self.seen!r}"
            if select.select([self._terminal], [], [], left)[0]:
                self.seen += self._read()

    def rest(self) -> str:
        self.process.wait(20)
        while select.select([self._terminal], [], [], 0)[0] and (piece := self._read()):
            self.seen += piece
        return self.seen

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._terminal)

    def _read(self) -> str:
        try:
            return os.read(self._terminal, 65536).decode()
        except OSError:  # Linux says EIO when the last process has closed its side
            return ""


Terminal = Callable[..., Running]


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    started: list[Running] = []

    def start(*words: str) -> Running:
        started.append(Running(words, tmp_path, tmp_path / "data" / "api.sock"))
        return started[-1]

    yield start
    for running in started:
        running.close()


@pytest.mark.parametrize(
    "words",
    [("get", "apps", "-w"), ("wait", "app/hello", "--for=condition=Ready", "--timeout", "60s"), ("events", "-w")],
    ids=lambda words: words[0],
)
def test_ctrl_c_is_told_and_gives_130(terminal: Terminal, server: Server, words: tuple[str, ...]) -> None:
    server.client.create(APPS, "production", app("hello"))
    running = terminal(*words, "-v")
    running.until("watch=true")
    running.process.send_signal(signal.SIGINT)
    assert running.rest().endswith("\r\nOperation cancelled\r\n")
    assert running.process.returncode == 130


def test_a_watch_shows_what_is_there_and_every_change(terminal: Terminal, server: Server) -> None:
    client = server.client
    client.create(APPS, "production", app("hello"))
    running = terminal("get", "apps", "-w")
    running.until("hello ")
    client.create(APPS, "production", app("world"))
    running.until("world ")
    client.delete(APPS, "production", "hello")
    running.until("(deleted)")


def test_a_watch_for_programs_gives_one_event_per_line(terminal: Terminal, server: Server) -> None:
    client = server.client
    client.create(APPS, "production", app("hello"))
    running = terminal("get", "apps", "-w", "--json")
    running.until("\n")
    event = json.loads(running.seen.splitlines()[0])
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "hello")


def test_wait_returns_when_the_condition_speaks_of_the_wanted_generation(terminal: Terminal, server: Server) -> None:
    client = server.client
    made = client.create(APPS, "production", app("hello"))
    running = terminal("wait", "app/hello", "--for=condition=Ready", "--timeout", "20s", "-v")
    running.until("watch=true")
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    generation = made["metadata"]["generation"]
    for observed in (generation - 1, generation):
        status = {"observedGeneration": observed, "conditions": [{**ready, "observedGeneration": observed}]}
        client.merge_patch(APPS, "production", "hello", {"status": status}, subresource="status")
    running.until("app.tako.sh/hello condition met")
    assert running.process.wait(10) == 0


def test_wait_goes_on_when_the_server_starts_again(
    terminal: Terminal, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    first = start_server()
    first.client.create(APPS, "production", app("hello"))
    running = terminal("wait", "app/hello", "--for=jsonpath={.spec.instances}=2", "--timeout", "30s", "-v")
    running.until("watch=true")
    first.stop()
    second = start_server()
    second.client.merge_patch(APPS, "production", "hello", {"spec": {"instances": 2}})
    running.until("app.tako.sh/hello condition met")


def test_a_wait_that_takes_too_long_says_what_stands_against_it(tako: Tako, server: Server) -> None:
    client = server.client
    client.create(APPS, "production", app("hello"))
    seen = {"type": "Ready", "status": "False", "reason": "StartFailed", "message": "it exited with 1"}
    status = {"conditions": [{**seen, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    client.merge_patch(APPS, "production", "hello", {"status": status}, subresource="status")
    ended = tako("wait", "app/hello", "--for=condition=Ready", "--timeout", "1s")
    assert ended.code == 1
    assert "timed out waiting for condition=Ready" in ended.err
    assert "Ready is False, StartFailed: it exited with 1" in ended.err


def test_wait_for_delete_and_for_what_is_not_there(tako: Tako, server: Server) -> None:
    assert tako("wait", "app/hello", "--for=delete").code == 0
    assert "not there" in tako("wait", "app/hello", "--for=condition=Ready").err
    assert tako("wait", "app/hello", "--for=soon").code == 2


async def _log(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for line in LINES[-int(request.query.get("tailLines", "99")) :]:
        await response.write(f"{line}\n".encode())
    return response


async def _drift(_: web.Request) -> web.Response:
    item = {"kind": "App", "namespace": "production", "name": "hello", "field": "instances", "wanted": 2, "seen": 1}
    return web.json_response({"items": [{**item, "since": "2026-01-01T00:00:00Z", "action": "starting one"}]})


async def _kubeconfig(_: web.Request) -> web.Response:
    return web.Response(text="apiVersion: v1\nkind: Config\n")


@pytest.fixture
def extended(start_server: Callable[..., Server]) -> Server:
    return start_server(
        extensions=[
            Extension("GET", "/apis/tako.sh/v1/namespaces/{namespace}/apps/{name}/log", _log),
            Extension("GET", "/tako/drift", _drift),
            Extension("GET", "/tako/kubeconfig", _kubeconfig),
        ]
    )


@pytest.mark.usefixtures("extended")
def test_logs_are_printed_as_they_are_and_for_programs_as_records(tako: Tako) -> None:
    assert tako("logs", "hello").out.splitlines() == LINES
    assert tako("logs", "app/hello", "--tail", "1").out.splitlines() == LINES[-1:]
    assert tako("logs", "hello", "--since", "1h").out == ""
    records = [json.loads(line) for line in tako("logs", "hello", "--json").out.splitlines()]
    assert records == [
        {"ts": LINES[0][:24], "source": "app", "instance_id": "vdACgHcC", "level": "info", "msg": "hello"},
        {"ts": LINES[1][:24], "source": "app", "instance_id": "vdACgHcC", "level": "error", "msg": "careful"},
        {"ts": LINES[2][:24], "source": "tako", "level": "warn", "msg": "app exited code=1"},
    ]
    assert tako("logs", "hello", "--stream", "both").code == 2


@pytest.mark.usefixtures("extended")
def test_drift_is_a_table_and_a_kubeconfig_is_printed_as_it_is(tako: Tako) -> None:
    header, row = tako("drift").out.splitlines()
    assert header.split() == ["KIND", "NAMESPACE", "NAME", "FIELD", "WANTED", "SEEN", "SINCE", "ACTION"]
    assert row.split()[:6] == ["App", "production", "hello", "instances", "2", "1"]
    assert row.endswith("starting one")
    assert tako("kubeconfig").out == "apiVersion: v1\nkind: Config\n"
