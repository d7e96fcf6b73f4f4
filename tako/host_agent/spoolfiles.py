"""The files an instance prints into: what they are called, and the last lines in them."""

import os
from pathlib import Path

from tako.host_agent.layout import AppDirs
from tako.model.names import InstanceId

STREAMS = ("out", "err")
# The end of what was printed stays on disk, already logged or not, to explain how a process died.
KEPT_BYTES = 64 * 1024


def spool_file(dirs: AppDirs, instance: InstanceId, stream: str) -> Path:
    """Return where the stream ``out`` or ``err`` of an instance goes."""
    return dirs.spool / f"{instance}.{stream}"


def last_lines(dirs: AppDirs, instance: InstanceId, lines: int) -> list[str]:
    """Return the last lines an instance printed.

    A crash is explained on stderr, so lines of stdout only fill what that leaves, and come first.
    """
    errors = _tail(spool_file(dirs, instance, "err"))[-lines:]
    rest = lines - len(errors)
    return (_tail(spool_file(dirs, instance, "out"))[-rest:] if rest > 0 else []) + errors


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - KEPT_BYTES))
            content = file.read()
    except FileNotFoundError:
        return []
    # What was logged and freed before that reads as NUL bytes.
    lines = content.lstrip(b"\0").decode(errors="replace").split("\n")
    return [line.rstrip() for line in lines if line.strip()]
