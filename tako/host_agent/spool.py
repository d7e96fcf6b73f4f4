"""From what an instance printed, or the proxy recorded, to lines of its app's log.

Each instance appends to two files of its own, so it never waits for tako-server and loses nothing while there is
none. Disk that logged output takes is given back by punching holes: unlike truncation that cannot race with a write.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from tako.adapters.clock import timestamp
from tako.adapters.files import punch_hole
from tako.host_agent.logfile import Consumed
from tako.host_agent.spoolfiles import KEPT_BYTES, STREAMS
from tako.model.names import InstanceId

LINE_BYTES = 64 * 1024
_BATCH_BYTES = 4 * LINE_BYTES
_FREE_EVERY_BYTES = 1024 * 1024
# Lines that are only moved cost nearly nothing each, so that what is left is what a batch costs.
_READY_BATCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines as they go into the log; `printed` counts them."""

    lines: bytes
    printed: int
    consumed: Consumed


def split_name(name: str) -> tuple[InstanceId, str] | None:
    """Return the instance and the stream of a spool file's name, None for any other file."""
    instance, _, stream = name.rpartition(".")
    return (InstanceId(instance), stream) if instance and stream in STREAMS else None


def take(path: Path, start: int, *, final: bool) -> Batch | None:
    """Return the next lines of a spool file from `start` on, or None when there is no whole line.

    `final`: the process is gone, so a line without its newline is a line.
    """
    instance, stream = path.name.rsplit(".", 1)
    with path.open("rb", buffering=0) as file:
        # When it was printed, not when it is read: it may have been waiting for tako-server for an hour.
        at = timestamp(os.fstat(file.fileno()).st_mtime)
        chunk = os.pread(file.fileno(), _BATCH_BYTES, start)
    content = chunk[: _whole_lines(chunk, final)]
    if not content:
        return None
    head = f"{at} [{stream}] [{instance}] "
    lines = [head + text for text in texts(content)]
    joined = "\n".join([*lines, ""]).encode() if lines else b""
    return Batch(joined, len(lines), Consumed(path.name, start, start + len(content)))


def take_ready(path: Path, start: int) -> Batch | None:
    """Return the next lines of a file whose lines are those of the log already, as the proxy's are; None: no whole one.

    They are moved as they are: at tens of thousands of requests a second nobody has the time to look at each.
    """
    with path.open("rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size < start:
            start = 0  # somebody removed it, and the proxy has made it anew
        chunk = os.pread(file.fileno(), _READY_BATCH_BYTES, start)
    end = chunk.rfind(b"\n") + 1
    lines = chunk[:end]
    if not end and len(chunk) == _READY_BATCH_BYTES:
        end, lines = len(chunk), chunk + b"\n"  # no line of ours is so long; it must not hold up those behind it
    if not end:
        return None
    if b"\0" in lines:
        lines = lines.replace(b"\0", b"")  # what a power cut leaves of a write
    return Batch(lines, lines.count(b"\n"), Consumed(path.name, start, start + end))


def texts(content: bytes) -> list[str]:
    """Return the lines as they are shown: valid text, no trailing blanks, none empty, none over 64 KiB."""
    found = (line.rstrip() for line in content.replace(b"\0", b"").decode(errors="replace").split("\n"))
    return [piece for line in found if line for piece in _pieces(line)]


def free(path: Path, before: int, after: int, *, at_once: bool = False) -> None:
    """Give logged output back to the disk each time another MiB of it has come together, but for the last lines."""
    if not at_once and before // _FREE_EVERY_BYTES == after // _FREE_EVERY_BYTES:
        return
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # Where the file system cannot, the file stays until its instance is gone.
        punch_hole(fd, 0, after - KEPT_BYTES)
    finally:
        os.close(fd)


def _whole_lines(chunk: bytes, final: bool) -> int:
    newline = chunk.rfind(b"\n") + 1
    if newline:
        return newline
    if len(chunk) >= LINE_BYTES:
        return _boundary(chunk, LINE_BYTES)
    return len(chunk) if final else 0


def _boundary(content: bytes, limit: int) -> int:
    """Return a cut of at most `limit` bytes that does not go through a character."""
    cut = limit
    while cut > limit - 4 and cut < len(content) and content[cut] & 0xC0 == 0x80:
        cut -= 1
    return cut


def _pieces(line: str) -> list[str]:
    if len(line) <= LINE_BYTES // 4:  # no character takes more than four bytes
        return [line]
    content, pieces = line.encode(), []
    while len(content) > LINE_BYTES:
        cut = _boundary(content, LINE_BYTES)
        pieces.append(content[:cut].decode())
        content = content[cut:]
    return [*pieces, content.decode()]
