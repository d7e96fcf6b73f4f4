"""A steady load of HTTPS requests that counts every failure and says exactly what it was.

A raw HTTP/1.1 client, because a polite one would hide what is measured: no retry, no pool, no
redirect. Keep-alive clients reuse a connection until the peer says `Connection: close`; a peer that
closes without having said so has failed the request that met it. Fresh clients connect anew each time.
Runs on a thread of its own, so that a test may block while it goes on.
"""

import asyncio
import json
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that did not get the answer it should have."""

    begun: float  # time.monotonic() when the request was about to be sent
    phase: str  # connect, send, head, body, timeout, answer
    detail: str
    host: str
    reused: bool  # the connection had carried a request before


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document


@dataclass(slots=True)
class Report:
    """What happened to every request so far."""

    requests: int = 0
    connections: int = 0
    failures: list[Failure] = field(default_factory=list)
    by_instance: Counter[str] = field(default_factory=Counter)
    by_host: Counter[str] = field(default_factory=Counter)
    releases: list[str] = field(default_factory=list)  # in the order in which each was first seen
    longest_seconds: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    def refused(self) -> list[Failure]:
        """Return those for whom nobody listened; one that was accepted and cut off was not refused."""
        return [failure for failure in self.failures if "ConnectionRefusedError" in failure.detail]

    def explain(self) -> str:
        lines = [f"{self.requests} requests, {self.connections} connections, {len(self.failures)} failed"]
        lines += [
            f"  at {f.begun - self.begun:7.3f} s  {f.host}  {f.phase}{' (reused)' if f.reused else ''}: {f.detail}"
            for f in self.failures[:40]
        ]
        return "\n".join(lines)


class PhaseError(Exception):
    """A request failed in one of its phases."""

    def __init__(self, phase: str, detail: str) -> None:
        super().__init__(f"{phase}: {detail}")
        self.phase, self.detail = phase, detail


def tls_context() -> ssl.SSLContext:
    """Trust whatever is presented: certificates have their own tests, and here a handshake must only be cheap."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Connection:
    """One TLS connection, and the requests that go over it one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader, self._writer, self._host = reader, writer, host
        self.used = 0
        self.open = True

    @classmethod
    async def connect(cls, port: int, host: str, context: ssl.SSLContext, timeout: float) -> "Connection":
        try:
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=host), timeout
            )
        except (OSError, TimeoutError) as error:
            raise PhaseError("connect", repr(error)) from error
        return cls(reader, writer, host)

    async def request(
        self, path: str, *, close: bool, timeout: float, method: str = "GET", body: bytes = b""
    ) -> Answer:
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        last = "Connection: close\r\n" if close else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{length}{last}\r\n"
        try:
            self._writer.write(head.encode() + body)
            await self._writer.drain()
        except OSError as error:
            raise PhaseError("send", repr(error)) from error
        try:
            answer = await asyncio.wait_for(self._read_answer(), timeout)
        except TimeoutError as error:
            raise PhaseError("timeout", f"no whole answer within {timeout} s") from error
        self.used += 1
        self.open = not close and answer.headers.get("connection", "").lower() != "close"
        return answer

    async def _read_answer(self) -> Answer:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError) as error:
            raise PhaseError("head", repr(error)) from error
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        try:
            body = await self._read_body(headers)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            raise PhaseError("body", repr(error)) from error
        return Answer(int(status_line.split(" ", 2)[1]), headers, body)

    async def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = bytearray()
            while size := int((await self._reader.readline()).split(b";")[0], 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readline()
            return bytes(body)
        return await self._reader.readexactly(int(headers["content-length"]))

    async def close(self) -> None:
        self.open = False
        # Aborted rather than closed: what matters has been read, and a dead peer must not be waited for.
        self._writer.transport.abort()
        try:
            await self._writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError):
            pass


def fetch(
    port: int, host: str, path: str = "/", *, timeout: float = 40.0, method: str = "GET", body: bytes = b""
) -> Answer:
    """Make one request over a connection of its own; raises PhaseError."""

    async def once() -> Answer:
        connection = await Connection.connect(port, host, tls_context(), timeout)
        try:
            return await connection.request(path, close=True, timeout=timeout, method=method, body=body)
        finally:
            await connection.close()

    return asyncio.run(once())


class Load:
    """Clients that send requests, each at its own steady pace, from `with` until its end.

    An answer other than 200, or one from an app that does not belong to the host asked for, is a
    failure. `report` may be read while the load runs.
    """

    def __init__(
        self,
        port: int,
        hosts: Sequence[str],
        *,
        path: str = "/",
        keep_alive: int = 6,
        fresh: int = 3,
        pause_seconds: float = 0.02,
        timeout_seconds: float = 10.0,
        expected_app: Callable[[str], str] = lambda host: host.split(".")[0],
    ) -> None:
        self.report = Report()
        self._port, self._hosts, self._path = port, hosts, path
        self._clients = [False] * keep_alive + [True] * fresh
        self._pause, self._timeout, self._expected_app = pause_seconds, timeout_seconds, expected_app
        self._context = tls_context()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait_for_requests(len(self._clients))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for_requests(self, more: int, timeout_seconds: float = 30.0) -> None:
        """Return when so many more requests have been answered or failed."""
        wanted = self.report.requests + more
        deadline = time.monotonic() + timeout_seconds
        while self.report.requests < wanted:
            assert time.monotonic() < deadline, f"the load stands still\n{self.report.explain()}"
            time.sleep(0.01)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number, fresh in enumerate(self._clients):
                group.create_task(self._client(self._hosts[number % len(self._hosts)], fresh))

    async def _client(self, host: str, fresh: bool) -> None:
        connection: Connection | None = None
        while not self._stop.is_set():
            began = time.monotonic()
            reused = connection is not None
            try:
                if connection is None:
                    connection = await Connection.connect(self._port, host, self._context, self._timeout)
                    self.report.connections += 1
                answer = await connection.request(self._path, close=fresh, timeout=self._timeout)
                self._judge(host, answer)
            except PhaseError as error:
                self.report.failures.append(Failure(began, error.phase, error.detail, host, reused))
                if connection is not None:
                    await connection.close()
            self.report.requests += 1
            self.report.longest_seconds = max(self.report.longest_seconds, time.monotonic() - began)
            if connection is not None and not connection.open:
                await connection.close()
                connection = None
            await asyncio.sleep(self._pause)
        if connection is not None:
            await connection.close()

    def _judge(self, host: str, answer: Answer) -> None:
        if answer.status != 200:
            raise PhaseError("answer", f"status {answer.status}: {answer.body[:200]!r}")
        seen = answer.json()
        if seen["app"] != self._expected_app(host):
            raise PhaseError("answer", f"{host} was answered by {seen['app']}")
        self.report.by_instance[str(seen["instance"])] += 1
        self.report.by_host[host] += 1
        if str(seen["release"]) not in self.report.releases:
            self.report.releases.append(str(seen["release"]))
