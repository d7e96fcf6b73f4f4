"""An upstream on aiohttp, run by no server of ours: answers who it is, counts a body, echoes WebSocket messages.

`echo.py NAME` prints its port. It pings its WebSockets, and closes one that does not answer.
"""

import asyncio
import os
import sys
from typing import Any

from aiohttp import WSMsgType, web

# Half of it is the time to answer: much for a machine that does everything at once.
PING_SECONDS = 20.0


async def say(request: web.Request) -> web.StreamResponse:
    body = await request.read()
    said: dict[str, Any] = {"app": request.host.split(".")[0], "instance": sys.argv[1], "release": "1"}
    return web.json_response(said | {"pid": os.getpid(), "length": len(body)})


async def echo(request: web.Request) -> web.StreamResponse:
    socket = web.WebSocketResponse(heartbeat=PING_SECONDS)
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def main() -> None:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_get("/ws", echo)
    app.router.add_route("*", "/{path:.*}", say)
    # Idle upstream connections are not to be closed by this side: that race is another test's.
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=3600)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=4096)
    await site.start()
    (address,) = runner.addresses
    print(address[1], flush=True)
    # The end of our input is the end of whoever started us.
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
