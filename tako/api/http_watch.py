"""Watches over HTTP: one JSON object a line, for as long as the client wants."""

import asyncio
import json
import random
from collections.abc import Callable

from aiohttp import web

from tako.api.entries import Entry, watch_line
from tako.api.errors import ApiError
from tako.api.http_request import flag, number
from tako.api.registry import Resource
from tako.api.store import Store
from tako.api.watch import Seen, Selection, watch

# kopf gives a watch up that is silent for 70 s.
BOOKMARK_SECONDS = 30.0
_LONGEST_SECONDS = (1800, 3600)

Shown = Callable[[Entry], bytes]


async def stream_watch(
    request: web.BaseRequest, store: Store, resource: Resource, selection: Selection, shown: Shown
) -> web.StreamResponse:
    """Answer a watch; `shown` turns an entry into the form that the client asked for."""
    revision = number(request, "resourceVersion")
    seconds = number(request, "timeoutSeconds") or random.uniform(*_LONGEST_SECONDS)
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    await response.prepare(request)
    bookmarks = flag(request, "allowWatchBookmarks")
    batches = watch(
        store,
        selection,
        revision or None,
        initial=flag(request, "sendInitialEvents"),
        # Without bookmarks the tick costs nothing and shows nothing.
        bookmark_seconds=BOOKMARK_SECONDS if bookmarks else None,
    )
    try:
        async with asyncio.timeout(seconds):
            async for batch in batches:
                await response.write(b"".join(_line(seen, resource, shown) for seen in batch))
    except TimeoutError:
        pass
    except ApiError as error:
        # Anything but an ERROR event in a 200 makes kopf give the kind up for ever.
        await response.write(watch_line("ERROR", json.dumps(error.status()).encode()))
    except ConnectionResetError:
        return response
    finally:
        await batches.aclose()  # type: ignore[attr-defined]
    await response.write_eof()
    return response


def _line(seen: Seen, resource: Resource, shown: Shown) -> bytes:
    if seen.entry is not None:
        return watch_line(seen.type, shown(seen.entry))
    metadata: dict[str, object] = {"resourceVersion": str(seen.revision), "creationTimestamp": None}
    if seen.initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    bookmark = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    return watch_line("BOOKMARK", json.dumps(bookmark).encode())
