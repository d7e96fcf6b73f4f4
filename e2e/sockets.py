"""Clients that stay: WebSockets that talk for as long as they are open, and bodies that are sent slowly.

Real WebSockets (aiohttp's), over TLS. Whatever ends one before its client does is a failure, with the moment and the
reason. Runs on a thread of its own, as :mod:`e2e.load` does.
"""

import asyncio
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from e2e.load import Failure, tls_context

OPEN_AT_ONCE = 50
TIMEOUT_SECONDS = 30.0
# An upload of 1.5 s, so that replacements fall into it.
PIECE, PIECES, PIECE_PAUSE_SECONDS = b"0123456789" * 400, 15, 0.1


@dataclass(slots=True)
class Talk:
    """What happened so far."""

    opened: int = 0
    messages: int = 0
    uploads: int = 0
    failures: list[Failure] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    def explain(self) -> str:
        lines = [f"{self.opened} opened, {self.messages} messages, {self.uploads} uploads, {len(self.failures)} failed"]
        lines += [f"  at {f.begun - self.begun:7.3f} s  {f.host}  {f.phase}: {f.detail}" for f in self.failures[:40]]
        return "\n".join(lines)


class Stayers:
    """WebSockets to `/ws` of a host, each saying something every `pause_seconds`, and slow uploads beside them."""

    def __init__(self, port: int, host: str, *, uploads: int = 0, pause_seconds: float = 5.0) -> None:
        self.talk = Talk()
        self._port, self._host = port, host
        self._uploads, self._pause = uploads, pause_seconds
        self._sockets: list[aiohttp.ClientWebSocketResponse] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self._answered = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stayers")
        self._session: aiohttp.ClientSession
        self._connector: aiohttp.TCPConnector

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._begin())
        return self

    def __exit__(self, *exc: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self, count: int) -> None:
        """Open so many more WebSockets; returns when each has had an answer."""
        self._do(self._open(count))

    def answering(self) -> int:
        """End the talks and uploads, say something on every WebSocket, and return how many answer it."""
        self._do(self._hear())
        return self._answered

    def wait_for_uploads(self, more: int, timeout_seconds: float = 60.0) -> None:
        wanted, deadline = self.talk.uploads + more, time.monotonic() + timeout_seconds
        while self.talk.uploads < wanted:
            assert time.monotonic() < deadline, f"the uploads stand still\n{self.talk.explain()}"
            time.sleep(0.01)

    def _do(self, work: Coroutine[None, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _begin(self) -> None:
        self._connector = aiohttp.TCPConnector(limit=0, ssl=tls_context(), resolver=Loopback())
        self._session = aiohttp.ClientSession(f"https://{self._host}:{self._port}", connector=self._connector)
        for _ in range(self._uploads):
            self._start(self._upload_over_and_over())

    async def _end(self) -> None:
        self._is_ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Aborted, as by visitors who close their laptops: what matters has been heard.
        await self._connector.close(abort_ssl=True)
        await self._session.close()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, phase: str, detail: object) -> None:
        self.talk.failures.append(Failure(time.monotonic(), phase, repr(detail), self._host, reused=True))

    # --- WebSockets ------------------------------------------------------------------------------------------------

    async def _open(self, count: int) -> None:
        turn = asyncio.Semaphore(OPEN_AT_ONCE)

        async def one() -> None:
            async with turn:
                try:
                    talker = await self._session.ws_connect("/ws")
                except (aiohttp.ClientError, OSError) as error:
                    self._fail("open", error)
                    return
            self.talk.opened += 1
            self._sockets.append(talker)
            if await self._exchange(talker):
                self._start(self._talk(talker))

        await asyncio.gather(*(one() for _ in range(count)))

    async def _talk(self, talker: aiohttp.ClientWebSocketResponse) -> None:
        # Spread over the pause, so that they do not all speak at once.
        pause_seconds = random.random() * self._pause
        while not self._is_ending and await self._is_quiet(talker, pause_seconds) and await self._exchange(talker):
            pause_seconds = self._pause

    async def _hear(self) -> None:
        self._is_ending = True
        await asyncio.gather(*self._tasks)
        self._answered = sum(await asyncio.gather(*(self._exchange(talker) for talker in self._sockets)))

    async def _is_quiet(self, talker: aiohttp.ClientWebSocketResponse, seconds: float) -> bool:
        """Listen, so that pings are answered; nothing else is to come."""
        try:
            heard = await talker.receive(timeout=seconds)
        except TimeoutError:
            return True
        except (aiohttp.ClientError, OSError) as error:
            self._fail("websocket", error)
            return False
        self._fail("websocket", (heard, talker.close_code, talker.exception()))
        return False

    async def _exchange(self, talker: aiohttp.ClientWebSocketResponse) -> bool:
        said = str(random.random())
        try:
            await talker.send_str(said)
            heard = await talker.receive(timeout=TIMEOUT_SECONDS)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._fail("websocket", error)
            return False
        if heard.type is not aiohttp.WSMsgType.TEXT or heard.data != said:
            self._fail("websocket", (heard, talker.close_code, talker.exception()))
            return False
        self.talk.messages += 1
        return True

    # --- slow uploads ----------------------------------------------------------------------------------------------

    async def _upload_over_and_over(self) -> None:
        while not self._is_ending:
            try:
                async with self._session.post("/upload", data=slow_body()) as response:
                    said = await response.json()
                if (response.status, said["length"]) != (200, len(PIECE) * PIECES):
                    self._fail("upload", (response.status, said))
                self.talk.uploads += 1
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                self._fail("upload", error)
                await asyncio.sleep(0.1)


async def slow_body() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        yield PIECE
        await asyncio.sleep(PIECE_PAUSE_SECONDS)


class Loopback(AbstractResolver):
    """Every name is here."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        flags = socket.AI_NUMERICHOST
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=flags)]

    async def close(self) -> None:
        pass
