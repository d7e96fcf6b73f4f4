"""Who may use the resource API: root and the server's own user over the Unix socket, bearers of the token over TLS.

Nothing is served to anybody else. Everybody who is let in may do everything: the host has one administrator.
"""

import base64
import hmac
import json
import os
import secrets
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from tako.adapters.files import replace_file

TOKEN_BYTES = 32
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid
_SCHEME = "Bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `username` as Kubernetes would name them."""

    username: str
    uid: int | None = None


def load_token(directory: Path) -> str:
    """Return the bearer token of this server, made at its first start; the file is 0600."""
    path = directory / "token"
    try:
        token = path.read_text().strip()
    except FileNotFoundError:
        token = ""
    if not token:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = secrets.token_urlsafe(TOKEN_BYTES)
        replace_file(path, token.encode(), mode=0o600)
    return token


def identify(request: web.Request, token: str) -> Caller | None:
    """Return who makes the request, or None when nothing proves it."""
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport else None
    if connection is not None and connection.family == socket.AF_UNIX:
        return _peer(connection)
    given = request.headers.get("Authorization", "")
    if given.startswith(_SCHEME) and hmac.compare_digest(given[len(_SCHEME) :].encode(), token.encode()):
        return Caller("tako:admin")
    return None


def _peer(connection: socket.socket) -> Caller | None:
    _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    if uid in (0, os.geteuid()):
        return Caller(f"unix:{uid}", uid)
    return None


def kubeconfig(server_url: str, ca_pem: bytes, token: str, namespace: str = "production") -> str:
    """Return a kubeconfig for this server as text. It holds the token: whoever reads it administers the host."""
    name = "tako"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": server_url,
                    "certificate-authority-data": base64.b64encode(ca_pem).decode(),
                },
            }
        ],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
    }
    # JSON is YAML, and needs no library.
    return json.dumps(document, indent=2) + "\n"
