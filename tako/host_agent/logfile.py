"""One app's log file: appended to, rotated, and exactly once even when tako-server is killed in between.

Moving lines from a spool file into the log changes two files, and a kill may come between. So each batch is first
announced in a journal: how long the log was, how long it will be, and how much of the spool that uses up. After a
kill the log's length tells whether the batch was written whole; a part of it is cut off and written again.
"""

import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

from tako.adapters.files import disk_full
from tako.host_agent.layout import AppDirs

ROTATE_BYTES = 10 * 1024 * 1024
_JOURNAL_BYTES = 512


@dataclass(frozen=True, slots=True)
class Consumed:
    """The part of a spool file that a batch of lines was made from."""

    spool: str  # file name
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Announced:
    inode: int
    before: int
    length: int
    spool: str
    start: int
    end: int


class LogFile:
    """``current.log`` and what it was made from. One writer at a time, which is one thread of tako-server."""

    def __init__(self, dirs: AppDirs) -> None:
        self._dirs = dirs
        self._offsets = dirs.spool / "offsets"
        self._offsets.mkdir(exist_ok=True)
        self._current = dirs.current_log
        self._fd = _open_log(self._current)
        self._journal = os.open(self._offsets / "journal", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._recover()

    def append(self, lines: bytes, consumed: Consumed | None = None) -> bool:
        """Write whole lines and remember what they were made from. False: the disk is full, nothing was written."""
        size = self._size_where_it_belongs()
        if size and size + len(lines) > ROTATE_BYTES:
            if not self._rotate():
                return False
            size = 0
        if consumed is not None and lines:
            self._announce(size, len(lines), consumed)
        try:
            _write_all(self._fd, lines)
        except OSError as error:
            os.ftruncate(self._fd, size)
            if disk_full(error):
                return False
            raise
        if consumed is not None:
            self._remember(consumed.spool, consumed.end)
        return True

    def drop(self, consumed: Consumed) -> None:
        """Count a part of a spool as dealt with although its lines are lost."""
        self._announce(os.fstat(self._fd).st_size, 0, consumed)
        self._remember(consumed.spool, consumed.end)

    def offset(self, spool: str) -> int:
        """Return how much of a spool file is in the log."""
        try:
            return int((self._offsets / spool).read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def forget(self, spool: str) -> None:
        """Drop what is remembered of a spool file that was removed."""
        (self._offsets / spool).unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._journal)

    def _size_where_it_belongs(self) -> int:
        """Return the log's length, after opening it anew when somebody has moved or removed it."""
        status = os.fstat(self._fd)
        try:
            if self._current.stat().st_ino == status.st_ino:
                return status.st_size
        except FileNotFoundError:
            pass
        fd = _open_log(self._current)
        os.close(self._fd)
        self._fd = fd
        return os.fstat(fd).st_size

    def _announce(self, before: int, length: int, consumed: Consumed) -> None:
        announced = _Announced(os.fstat(self._fd).st_ino, before, length, **asdict(consumed))
        text = json.dumps(asdict(announced))
        # Always the same bytes of the same block: it fits on a full disk, and a kill cannot cut it in two.
        os.pwrite(self._journal, f"{zlib.crc32(text.encode()):08x} {text}".encode().ljust(_JOURNAL_BYTES), 0)

    def _remember(self, spool: str, offset: int) -> None:
        fd = os.open(self._offsets / spool, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.pwrite(fd, f"{offset:020d}".encode(), 0)
        except OSError as error:
            # Only a file's first write needs room; until there is some, the journal knows the last batch.
            if not disk_full(error):
                raise
        finally:
            os.close(fd)

    def _recover(self) -> None:
        announced = self._announced()
        status = os.fstat(self._fd)
        # In a log that was rotated since then, or that somebody emptied, the batch is where it should be, or gone.
        if announced is not None and announced.inode == status.st_ino and status.st_size >= announced.before:
            if status.st_size < announced.before + announced.length:
                os.ftruncate(self._fd, announced.before)
                self._announce_nothing()
            else:
                self._remember(announced.spool, announced.end)
        elif announced is not None:
            self._remember(announced.spool, announced.end)
        self._cut_partial_line()

    def _announced(self) -> _Announced | None:
        checksum, _, text = os.pread(self._journal, _JOURNAL_BYTES, 0).decode(errors="replace").rstrip().partition(" ")
        if not text or f"{zlib.crc32(text.encode()):08x}" != checksum:
            return None
        return _Announced(**json.loads(text))

    def _announce_nothing(self) -> None:
        # The spool's offset still is the batch's start; only the announcement must not outlive its undoing.
        os.pwrite(self._journal, b" " * _JOURNAL_BYTES, 0)

    def _cut_partial_line(self) -> None:
        """Remove the start of a line of our own that was being written when we were killed."""
        size = os.fstat(self._fd).st_size
        tail = os.pread(self._fd, 128 * 1024, max(0, size - 128 * 1024))
        if tail and not tail.endswith(b"\n"):
            os.ftruncate(self._fd, size - len(tail) + tail.rfind(b"\n") + 1)

    def _rotate(self) -> bool:
        # The new file first: with a full disk the old one stays in use.
        fresh = self._current.with_name("current.log.new")
        try:
            fd = _open_log(fresh)
        except OSError as error:
            if disk_full(error):
                return False
            raise
        self._current.replace(self._dirs.previous_log)
        fresh.replace(self._current)
        os.close(self._fd)
        self._fd = fd
        return True


def _open_log(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
