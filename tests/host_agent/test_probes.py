"""A probe says what was asked and what came back, and never the token."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tako.host_agent.probes import Probe, probe
from tests.host_agent.world import TOKEN

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ECHO = f"X-Tako-Internal-Token: {TOKEN}\r\n"


@asynccontextmanager
async def app(answer: bytes | Answer) -> AsyncIterator[int]:
    """A server on a free port that answers every request the same."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if callable(answer):
                await answer(reader, writer)
            else:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def probed(answer: bytes | Answer) -> Probe:
    async with app(answer) as port:
        return await probe(port, "shop.tako", "/status", TOKEN, timeout=0.5)


@pytest.mark.parametrize(
    ("head", "ok", "told"),
    [
        (f"HTTP/1.1 200 OK\r\n{ECHO}", True, "answered 200"),
        (f"HTTP/1.0 204 No Content\r\n{ECHO.lower()}", True, "answered 204"),
        ("HTTP/1.1 200 OK\r\n", False, "no X-Tako-Internal-Token"),
        ("HTTP/1.1 200 OK\r\nX-Tako-Internal-Token: other\r\n", False, "a different token"),
        (f"HTTP/1.1 500 Internal Server Error\r\n{ECHO}", False, "answered 500 Internal Server Error"),
        (f"HTTP/1.1 302 Found\r\n{ECHO}", False, "answered 302 Found"),
        ("SSH-2.0-OpenSSH_9.6\r\n", False, "the answer is not HTTP: SSH-2.0"),
        ("HTTP/1.1 abc\r\n", False, "the answer is not HTTP"),
        ("", False, "the answer is not HTTP"),
    ],
)
async def test_well_is_a_2xx_with_the_token_echoed(head: str, ok: bool, told: str) -> None:
    seen = await probed(f"{head}\r\n".encode())
    assert seen.ok is ok
    assert told in seen.detail and "GET /status (Host: shop.tako) on 127.0.0.1:" in seen.detail
    assert TOKEN not in seen.detail


async def test_the_request_is_the_contracts() -> None:
    asked = asyncio.get_running_loop().create_future()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set_result(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 200 OK\r\n{ECHO}\r\n".encode())

    assert (await probed(note)).ok
    lines = (await asked).decode().split("\r\n")
    assert lines[0] == "GET /status HTTP/1.1"
    assert {"Host: shop.tako", f"X-Tako-Internal-Token: {TOKEN}", "Connection: close"} <= set(lines)


async def test_an_answer_that_never_comes_is_told() -> None:
    async def hang(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    seen = await probed(hang)
    assert not seen.ok and "no answer within 0.5 s" in seen.detail


async def test_a_connection_closed_without_an_answer_is_told() -> None:
    async def close(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    seen = await probed(close)
    assert not seen.ok and "closed without an answer" in seen.detail


async def test_an_endless_head_is_given_up_on() -> None:
    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 200_000)
        await writer.drain()

    assert not (await probed(endless)).ok


async def test_nobody_listening_is_told_with_what_to_look_at() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        seen = await probe(unused.getsockname()[1], "shop.tako", "/status", TOKEN)
    assert not seen.ok and "connection refused" in seen.detail and "the port it reported" in seen.detail
