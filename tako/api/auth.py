"""Who may talk to the API: on the Unix socket root and the server's own user, on TCP who has the token. Nobody else.

And how often they do.
"""

import asyncio
import hmac
import os
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from tako.api.errors import ApiError
from tako.api.http import failure

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


# Anybody may send any method; what is counted by it must not grow without end.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
_CLIENT_GONE = 499


def counting(requests: Counter[tuple[str, int]]) -> Middleware:
    """Return the middleware that counts requests by method and status code, 499 where the client went away."""

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        code = 500
        try:
            response = await handler(request)
            code = response.status
        except web.HTTPException as error:
            code = error.status
            raise
        except asyncio.CancelledError:
            code = _CLIENT_GONE
            raise
        finally:
            requests[request.method if request.method in _METHODS else "other", code] += 1
        return response

    return count


def authentication(token: str) -> Middleware:
    """Return the middleware that lets a request through or answers it with 401."""

    @web.middleware
    async def authenticate(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not (_is_trusted_peer(request) or _has_token(request, token)):
            return failure(_unauthorized(request))
        return await handler(request)

    return authenticate


def _is_trusted_peer(request: web.Request) -> bool:
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is None or connection.family != socket.AF_UNIX:
        return False
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(credentials)
    return uid in (0, os.getuid())


def _has_token(request: web.Request, token: str) -> bool:
    given = request.headers.get("Authorization", "")
    # Bytes that are no text come as lone surrogates.
    return request.secure and hmac.compare_digest(given.encode(errors="surrogateescape"), f"Bearer {token}".encode())


def _unauthorized(request: web.Request) -> ApiError:
    if request.secure:
        hint = "a bearer token is needed; `tako kubeconfig` writes a kubeconfig that has it"
    else:
        hint = f"the socket is for root and for uid {os.getuid()}, whom the server runs as"
    return ApiError(401, "Unauthorized", f"Unauthorized: {hint}")
