"""Asking an instance whether it is well."""

import asyncio
import os
from dataclasses import dataclass

TOKEN_HEADER = "X-Tako-Internal-Token"
# A status body is a few hundred bytes; more than this is not one.
_MOST_BYTES = 64 * 1024
_SHOWN_BYTES = 200


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer; `detail` says what was asked and what came back, for a person, without the token."""

    ok: bool
    detail: str


async def probe(port: int, host: str, path: str, token: str, timeout: float = 2.0) -> Probe:
    """Ask ``GET path`` of 127.0.0.1:`port` with Host `host`; well is a 2xx that echoes the internal token.

    `timeout` is for each of connecting, sending and receiving.
    """
    asked = f"GET {path} (Host: {host}) on 127.0.0.1:{port}"
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except TimeoutError:
        return Probe(False, f"{asked}: no connection within {timeout:g} s")
    except OSError as error:
        why = os.strerror(error.errno).lower() if error.errno else str(error)
        return Probe(False, f"{asked}: {why}; does the app listen on the port it reported?")
    try:
        async with asyncio.timeout(timeout):
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{TOKEN_HEADER}: {token}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode("latin-1"))
            await writer.drain()
        async with asyncio.timeout(timeout):
            answer = await _read_answer(reader)
    except TimeoutError:
        return Probe(False, f"{asked}: no answer within {timeout:g} s")
    except OSError as error:
        return Probe(False, f"{asked}: the connection broke: {error.strerror or error}")
    finally:
        writer.close()
    return _judge(asked, answer, token)


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    """Read the head, and as much of a body as comes with it; the rest does not matter."""
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < _MOST_BYTES:
        chunk = await reader.read(_MOST_BYTES)
        if not chunk:
            break
        answer += chunk
    return answer


def _judge(asked: str, answer: bytes, token: str) -> Probe:
    if not answer:
        return Probe(False, f"{asked}: the connection was closed without an answer")
    head, _, body = answer.partition(b"\r\n\r\n")
    status_line, *headers = head.decode("latin-1").split("\r\n")
    words = status_line.split(" ", 2)
    if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        return Probe(False, f"{asked}: the answer is not HTTP: {_shown(answer, token)}")
    if not 200 <= int(words[1]) < 300:
        return Probe(False, f"{asked}: answered {' '.join(words[1:])}: {_shown(body, token)}".removesuffix(": "))
    echoed = [value.strip() for name, _, value in (line.partition(":") for line in headers) if _is_token(name)]
    if echoed != [token]:
        what = "a different token" if echoed else f"no {TOKEN_HEADER}"
        hint = "is another program on this port, or the app not served by a Tako SDK?"
        return Probe(False, f"{asked}: answered {words[1]} with {what}; {hint}")
    return Probe(True, f"{asked}: answered {words[1]}")


def _is_token(name: str) -> bool:
    return name.strip().lower() == TOKEN_HEADER.lower()


def _shown(content: bytes, token: str) -> str:
    text = content[:_SHOWN_BYTES].decode("utf-8", "replace").replace(token, "…")
    return " ".join(text.split())
