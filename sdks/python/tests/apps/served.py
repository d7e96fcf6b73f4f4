"""Applications that show each part of the contract; imported by real instances in test_instance.py."""

import asyncio
import hashlib
import json
import logging
import os
import signal
import threading

from tako_sh import tako

gate = threading.Event()
signal.signal(signal.SIGUSR2, lambda *_: gate.set())


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    path = scope["path"]
    if path == "/throw":
        raise RuntimeError("out of order")
    if path == "/wait":
        tako.logger.info("waiting")
        while not gate.is_set():
            await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text(path, scope["scheme"]).encode()})


async def live(receive, send):
    while True:
        message = await receive()
        tako.logger.info(message["type"])
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def refusing(scope, receive, send):
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "database down"})


def wsgi(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/throw":
        raise RuntimeError("out of order")
    if path == "/wait":
        tako.logger.info("waiting")
        gate.wait()
    body = text(path, environ["wsgi.url_scheme"])
    if path == "/digest":
        body = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
    if path == "/client":
        body = environ.get("HTTP_X_FORWARDED_FOR", "")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]


def create_app():
    return wsgi


def text(path, scheme):
    if path == "/secret":
        return tako.secrets.API_KEY
    if path == "/environment":
        return json.dumps(dict(os.environ))
    if path == "/print":
        print("printed")
        logging.getLogger("shop").warning("low stock: %d", 2, extra={"sku": "a1"})
        tako.logger.info("structured", n=1, secrets=tako.secrets)
    return f"{scheme}:{path}"


number = 3
