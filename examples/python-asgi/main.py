"""An ASGI application without a framework: a page, a stream of events, and work at start and end.

Starlette, FastAPI, Django or Litestar are named in `app.yaml` in the same way: `module:callable`.
"""

import asyncio
import json
import os
import time

from tako_sh import tako

started = time.monotonic()


async def app(scope, receive, send):
    """Handle one connection, or the life of the process."""
    if scope["type"] == "lifespan":
        await live(receive, send)
    elif scope["type"] == "http":
        await ROUTES.get((scope["method"], scope["path"]), not_found)(scope, receive, send)


async def live(receive, send):
    """Open and close what the process holds; no request comes before `startup.complete`."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            tako.logger.info("ready", env=tako.env, data_dir=tako.data_dir)
            await send({"type": "lifespan.startup.complete"})
        else:
            tako.logger.info("stopped", seconds=round(time.monotonic() - started))
            await send({"type": "lifespan.shutdown.complete"})
            return


async def hello(scope, receive, send):
    """Say who answers; scale the app and reload to see several."""
    body = {"hello": "from Python, asynchronously", "process": os.getpid(), "instance": tako.instance}
    await respond(send, 200, body)


async def ticks(scope, receive, send):
    """Send ten server-sent events, one each second, unless the visitor leaves."""
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(1, 11):
        event = f"id: {number}\ndata: {time.time():.0f}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
        await asyncio.sleep(1)
    await send({"type": "http.response.body"})


async def not_found(scope, receive, send):
    """Answer what nothing else does."""
    await respond(send, 404, {"error": "Not found"})


async def respond(send, status, body):
    """Send a JSON answer."""
    content = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


ROUTES = {("GET", "/"): hello, ("GET", "/ticks"): ticks}
