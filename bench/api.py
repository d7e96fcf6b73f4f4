"""The resource API: durable writes at several concurrencies, and how soon watchers see them."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import aiohttp

from bench.table import Table, spread
from e2e.host import Host

WATCHERS = 10
# ConfigMaps, because nothing reconciles them: this is the API and its store alone.
COLLECTION = "http://tako/api/v1/namespaces/bench/configmaps"
PADDING = "x" * 900


def measure(host: Host) -> list[Table]:
    return asyncio.run(_measure(str(host.socket)))


async def _measure(socket: str) -> list[Table]:
    connector = aiohttp.UnixConnector(socket, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        rows = []
        for concurrency in (1, 16, 64):
            count = 300 if concurrency == 1 else 1500
            names = [f"c{concurrency}-{number}" for number in range(count)]
            rates = [await _rate(concurrency, names, partial(call, session)) for call in (_create, _patch, _get)]
            rows.append((str(concurrency), *(f"{rate:,.0f}" for rate in rates)))
        writes = Table(
            "API: requests per second",
            "ConfigMaps of about 1 KB over the Unix socket, one client process on the same two cores; "
            "each write is committed with `synchronous=FULL` before it is acknowledged.",
            ("in parallel", "creates/s", "patches/s", "gets/s"),
            tuple(rows),
        )
        return [writes, await _fan_out(session)]


async def _rate(concurrency: int, names: Sequence[str], call: Callable[[str], Awaitable[None]]) -> float:
    remaining = iter(names)

    async def worker() -> None:
        for name in remaining:
            await call(name)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return len(names) / (time.perf_counter() - began)


async def _create(session: aiohttp.ClientSession, name: str) -> None:
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": PADDING}}
    async with session.post(COLLECTION, json=document) as response:
        assert response.status == 201, await response.text()
        await response.read()


async def _patch(session: aiohttp.ClientSession, name: str, value: str = "1") -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    body = json.dumps({"data": {"value": value}})
    async with session.patch(f"{COLLECTION}/{name}", data=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        await response.read()


async def _get(session: aiohttp.ClientSession, name: str) -> None:
    async with session.get(f"{COLLECTION}/{name}") as response:
        assert response.status == 200
        await response.read()


async def _fan_out(session: aiohttp.ClientSession) -> Table:
    async with session.get(COLLECTION) as response:
        version = (await response.json())["metadata"]["resourceVersion"]
    sent: dict[str, float] = {}
    delays: list[float] = []
    count = 200

    async def watch() -> None:
        parameters = {"watch": "true", "resourceVersion": version}
        async with session.get(COLLECTION, params=parameters) as response:
            for _ in range(count):
                event = json.loads(await response.content.readline())
                delays.append(time.perf_counter() - sent[event["object"]["data"]["value"]])

    watchers = [asyncio.create_task(watch()) for _ in range(WATCHERS)]
    await asyncio.sleep(0.5)  # until the watches stand; nothing tells when
    for number in range(count):
        value = f"fan-{number}"
        sent[value] = time.perf_counter()
        await _patch(session, f"c1-{number}", value)
        await asyncio.sleep(0.005)
    await asyncio.gather(*watchers)
    return Table(
        "API: from a write to its watchers",
        f"{count} patches, one each 5 ms, {WATCHERS} watchers: from sending a patch until a watcher has its event.",
        ("median", "p95", "worst"),
        (spread(delays),),
    )
