"""What an instance is told: its environment variables, and the envelope it reads from fd 3. Pure."""

import json
import secrets as random
from collections.abc import Mapping
from pathlib import Path

from tako.model.kinds.app import Runtime
from tako.model.names import DeploymentId, ReleaseId

_TOKEN_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz-"
_TOKEN_LENGTH = 32

_RUNTIME_DEFAULTS: Mapping[Runtime | None, Mapping[str, str]] = {
    Runtime.NODE: {"NODE_ENV": "production", "TAKO_APP_ROOT": "src"},
    Runtime.BUN: {"NODE_ENV": "production", "BUN_ENV": "production", "TAKO_APP_ROOT": "src"},
}


def http_environment(
    app: DeploymentId,
    release: ReleaseId,
    runtime: Runtime | None,
    env: Mapping[str, str],
    *,
    data_app: Path,
    internal_socket: Path,
    inherited: Mapping[str, str],
) -> dict[str, str]:
    """Return the whole environment of a native HTTP instance; of `inherited` only PATH and HOME pass."""
    return {
        **{name: inherited[name] for name in ("PATH", "HOME") if name in inherited},
        **_RUNTIME_DEFAULTS.get(runtime, {}),
        **env,
        "ENV": app.environment,
        "TAKO_BUILD": release,
        "TAKO_DATA_DIR": str(data_app),
        "PORT": "0",
        "HOST": "127.0.0.1",
        "TAKO_APP_NAME": str(app),
        "TAKO_INTERNAL_SOCKET": str(internal_socket),
        "NODE_ENV": env.get("NODE_ENV", "production"),
    }


def new_token() -> str:
    """Return a fresh bootstrap token, which the instance demands of whoever asks its internal endpoints."""
    return "".join(random.choice(_TOKEN_ALPHABET) for _ in range(_TOKEN_LENGTH))


def envelope(
    token: str,
    secrets: Mapping[str, str] | None = None,
    storages: Mapping[str, Mapping[str, str | bool]] | None = None,
) -> bytes:
    """Return what fd 3 carries: one JSON object with exactly three keys and no newline."""
    content = {"token": token, "secrets": dict(secrets or {}), "storages": dict(storages or {})}
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
