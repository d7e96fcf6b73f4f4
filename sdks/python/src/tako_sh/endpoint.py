"""The internal endpoint: what Tako asks an instance under the host name ``<app>.tako``.

The public proxy strips the token header, so a request that carries the right one is Tako's.
"""

import hmac
import json
import os
from typing import Any

from tako_sh.asgi import Application, Receive, Scope, Send
from tako_sh.instance import INSTANCE, app_name

TOKEN_HEADER = b"x-tako-internal-token"
INTERNAL_SUFFIX = ".tako"


class InternalEndpoint:
    """ASGI middleware that answers internal requests and passes on all others."""

    def __init__(self, app: Application, token: str | None) -> None:
        """Wrap `app`; without a token every internal request is forbidden."""
        self._app = app
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "http" and is_internal_host(_header(scope, b"host") or b""):
            await self._answer(scope, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        sent = _header(scope, TOKEN_HEADER)
        if self._token is None or sent is None or not hmac.compare_digest(sent, self._token):
            await _send_json(send, 403, {"error": "Forbidden"})
        elif scope["path"] == "/status":
            await _send_json(send, 200, _status_body(), self._token)
        else:
            await _send_json(send, 404, {"error": "Not found"}, self._token)


def is_internal_host(host: bytes) -> bool:
    """Say whether `host` (a Host header) is this app's internal name."""
    name = host.decode("latin-1").lower()
    base, _, port = name.rpartition(":")
    if base and port.isdecimal():
        name = base
    app = app_name()
    return name == app + INTERNAL_SUFFIX if app else name.endswith(INTERNAL_SUFFIX)


def _status_body() -> dict[str, Any]:
    return {
        "status": INSTANCE.status,
        "app": app_name(),
        "version": os.environ.get("TAKO_BUILD", "unknown"),
        "instance_id": INSTANCE.id,
        "pid": os.getpid(),
        "uptime_seconds": INSTANCE.uptime_seconds(),
    }


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value)
    return None


async def _send_json(send: Send, status: int, body: dict[str, Any], token: bytes | None = None) -> None:
    content = json.dumps(body, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if token is not None:
        headers.append((TOKEN_HEADER, token))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
