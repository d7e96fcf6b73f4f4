"""Reading an app's log from its end and on, across rotations, without disturbing who writes it."""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from tako.adapters import inotify
from tako.host_agent.layout import AppDirs
from tako.host_agent.logline import LogLine

_CHUNK_BYTES = 64 * 1024

Accept = Callable[[LogLine], bool]


class _Reader:
    """The lines of one log file from where it was read last; the file may be renamed meanwhile."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = 0

    @property
    def inode(self) -> int:
        return os.fstat(self._fd).st_ino

    def read(self) -> list[LogLine]:
        """Return some of the whole lines that were not read yet; none when that is all."""
        # Half a line may be withdrawn by a writer whose disk was full: only whole ones move the offset. The file is
        # shorter than that only when somebody emptied it.
        self._offset = min(self._offset, os.fstat(self._fd).st_size)
        chunk = os.pread(self._fd, 2 * _CHUNK_BYTES, self._offset)
        whole = chunk.rfind(b"\n") + 1
        self._offset += whole
        lines = (LogLine.parse(text) for text in chunk[:whole].decode(errors="replace").split("\n"))
        return [line for line in lines if line is not None]

    def rest(self) -> Iterator[LogLine]:
        while lines := self.read():
            yield from lines

    def close(self) -> None:
        os.close(self._fd)


async def read_log(dirs: AppDirs, tail: int | None, *, follow: bool, accept: Accept) -> AsyncIterator[LogLine]:
    """Yield the last `tail` accepted lines (None: all), then with `follow` what is written from then on."""
    if not dirs.logs.is_dir():
        return
    changes = inotify.Inotify()
    reader = None
    try:
        # Watched before it is read: nothing can be written between the two unnoticed.
        changes.add(dirs.logs, inotify.MODIFY | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE)
        lines, reader = await asyncio.to_thread(_existing, dirs, tail, accept)
        for line in lines:
            yield line
        while follow:
            for line in (new := reader.read() if reader else []):
                if accept(line):
                    yield line
            if new:
                continue
            rotated = _newer(dirs, reader)
            if rotated is None:
                await _readable(changes.fd)
                if any(change.gone and change.name in ("", dirs.spool.name) for change in list(changes.read())):
                    return  # the app was removed
                continue
            if reader is not None:
                # It was renamed before we looked, so nothing is added to it any more.
                for line in reader.rest():
                    if accept(line):
                        yield line
                reader.close()
            reader = rotated
    finally:
        changes.close()
        if reader is not None:
            reader.close()


def _existing(dirs: AppDirs, tail: int | None, accept: Accept) -> tuple[deque[LogLine], _Reader | None]:
    """Return the lines there are and a reader at their end. Blocks."""
    lines: deque[LogLine] = deque(maxlen=tail)
    current = _open(dirs.current_log)
    previous = _open(dirs.previous_log)
    # A rotation between the two opens gives the same file twice.
    if previous is not None:
        if current is None or previous.inode != current.inode:
            lines.extend(line for line in previous.rest() if accept(line))
        previous.close()
    if current is not None:
        lines.extend(line for line in current.rest() if accept(line))
    return lines, current


def _newer(dirs: AppDirs, reader: _Reader | None) -> _Reader | None:
    """Return a reader of the file that follows the one of `reader`, None when that is still written."""
    current = _open(dirs.current_log)
    if current is None or reader is None:
        return current
    if current.inode == reader.inode:
        current.close()
        return None
    previous = _open(dirs.previous_log)
    if previous is not None and previous.inode != reader.inode:
        current.close()  # rotated twice since: there is a whole file in between
        return previous
    if previous is not None:
        previous.close()
    return current


def _open(path: Path) -> _Reader | None:
    try:
        return _Reader(path)
    except FileNotFoundError:
        return None


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(fd)
