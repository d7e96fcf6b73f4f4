"""The bootstrap envelope: what Tako hands a process once, over a pipe, at its start.

No message made here contains the envelope's text, because that holds secrets.
"""

import functools
import json
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BOOTSTRAP_FD = 3
BOOTSTRAP_VARIABLE = "TAKO_BOOTSTRAP_DATA"


class EnvelopeInvalid(ValueError):
    """The envelope is not what the process contract says."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A checked envelope; storages are checked one by one when the runtime object is made."""

    token: str = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    storages: Mapping[str, Mapping[str, Any]] = field(repr=False)


@functools.cache
def process_envelope() -> Envelope | None:
    """Return the envelope of this process, or None when Tako did not start it."""
    text = _read_pipe() if started_natively() and is_pipe(BOOTSTRAP_FD) else None
    # Removed even when fd 3 won: children of the app must not inherit the secrets.
    variable = os.environ.pop(BOOTSTRAP_VARIABLE, None)
    data = variable if text is None else text
    return None if data is None else parse_envelope(data)


def parse_envelope(text: str) -> Envelope:
    """Check the text of an envelope."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError:
        raise EnvelopeInvalid("the bootstrap envelope is not valid JSON") from None
    if not isinstance(data, dict):
        raise EnvelopeInvalid("the bootstrap envelope is not a JSON object")
    token, secrets, storages = data.get("token"), data.get("secrets"), data.get("storages", {})
    if not isinstance(token, str):
        raise EnvelopeInvalid("the bootstrap envelope has no token string")
    if not isinstance(secrets, dict):
        raise EnvelopeInvalid("the bootstrap envelope has no secrets object")
    if not isinstance(storages, dict):
        raise EnvelopeInvalid("storages in the bootstrap envelope is not an object")
    return Envelope(token, secrets, storages)


def started_natively() -> bool:
    """Say whether Tako spawned this process itself, so that fds 3 and 4 are its pipes."""
    # Anything else that starts a process may have left a pipe of its own there.
    return "--instance" in sys.argv or "TAKO_INTERNAL_SOCKET" in os.environ


def is_pipe(fd: int) -> bool:
    """Say whether `fd` is open and a pipe."""
    try:
        return stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def _read_pipe() -> str:
    try:
        with open(BOOTSTRAP_FD, encoding="utf-8") as pipe:
            return pipe.read()
    except (OSError, UnicodeDecodeError):
        raise EnvelopeInvalid(f"cannot read the bootstrap envelope from fd {BOOTSTRAP_FD}") from None
