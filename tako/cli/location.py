"""Where the server's socket is, and what to tell when nobody answers there."""

import json
import os
from collections.abc import Mapping
from typing import NamedTuple

DEFAULT_SOCKET = "/opt/tako/api.sock"


class Location(NamedTuple):
    """A socket path, and in words who named it."""

    path: str
    named_by: str


def user_data_dir(environment: Mapping[str, str]) -> str:
    """The user's own data directory of Tako: `TAKO_HOME`, else as XDG says."""
    if home := environment.get("TAKO_HOME"):
        return home
    data = environment.get("XDG_DATA_HOME") or os.path.join(_home(environment), ".local", "share")  # noqa: PTH118
    return os.path.join(data, "tako")  # noqa: PTH118 - pathlib costs 5 ms of every command


def locate(option: str | None, environment: Mapping[str, str]) -> Location:
    """Find the server's socket: `--api-socket`, `TAKO_API_SOCKET`, `local-server.json`, `/opt/tako/api.sock`."""
    if option:
        return Location(option, "--api-socket")
    if variable := environment.get("TAKO_API_SOCKET"):
        return Location(variable, "TAKO_API_SOCKET")
    note = os.path.join(user_data_dir(environment), "local-server.json")  # noqa: PTH118
    if written := _socket_in(note):
        return Location(written, note)
    return Location(DEFAULT_SOCKET, "the default")


def explain_unreachable(location: Location, cause: OSError | str) -> tuple[str, str]:
    """Say which socket was tried and why it did not answer, and how to start or name a server."""
    path, named_by = location
    problem = "no answer from tako-server" if isinstance(cause, str) else "cannot reach tako-server"
    return f"{problem}: {_what(path, cause)} (named by {named_by})", _way_out(cause)


def _what(path: str, cause: OSError | str) -> str:
    match cause:
        case FileNotFoundError():
            return f"there is no socket at {path}"
        case ConnectionRefusedError():
            return f"nobody listens on {path} any more; a server that was killed left it behind"
        case PermissionError():
            return f"user {os.getuid()} may not open {path}"
        case TimeoutError():
            return f"no answer came from {path} in time"
        case OSError():
            return f"{path}: {cause.strerror or cause}"
    return f"{path}: {cause}"


def _way_out(cause: OSError | str) -> str:
    if isinstance(cause, str):
        return "The log of tako-server says why."
    if isinstance(cause, PermissionError):
        return "Only root and the user that the server runs as may use it: run tako as one of them."
    return (
        "Start a server with `tako-server --data-dir DIR`, or point to a running one with "
        "--api-socket DIR/api.sock or TAKO_API_SOCKET."
    )


def _socket_in(note: str) -> str | None:
    try:
        with open(note, encoding="utf-8") as file:  # noqa: PTH123
            content = json.load(file)
    except (OSError, ValueError):
        # Nothing is lost by an unreadable note: the next place is tried, and the message names what was.
        return None
    path = content.get("socket") if isinstance(content, dict) else None
    return path if isinstance(path, str) else None


def _home(environment: Mapping[str, str]) -> str:
    return environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111
