"""Being told by the kernel that files in a directory changed. Linux only."""

import ctypes
import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tako.model.errors import RetryLater

MODIFY = 0x002
MOVED_TO = 0x080
CREATE = 0x100
DELETE = 0x200
_OVERFLOW = 0x4000
_IGNORED = 0x8000
_ONLY_DIRECTORIES = 0x0100_0000

_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Change:
    """One event. `watch` is None when events were lost: look at everything. `gone`: what is named was
    removed, or without a name the directory itself.
    """

    watch: int | None
    name: str
    gone: bool = False


class Inotify:
    """Watches on directories; `fd` is readable when something changed, and never blocks."""

    def __init__(self) -> None:
        self.fd: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            raise _error("cannot watch files", ctypes.get_errno())

    def add(self, directory: Path, mask: int) -> int:
        """Watch a directory. Raises `FileNotFoundError` when there is none, `RetryLater` at the kernel's limit."""
        watch: int = _libc.inotify_add_watch(self.fd, os.fsencode(directory), mask | _ONLY_DIRECTORIES)
        if watch < 0:
            number = ctypes.get_errno()
            if number in (errno.ENOENT, errno.ENOTDIR):
                raise FileNotFoundError(number, os.strerror(number), str(directory))
            raise _error(f"cannot watch {directory}", number)
        return watch

    def read(self) -> Iterator[Change]:
        """Yield what happened since the last call; nothing when nothing did."""
        try:
            content = os.read(self.fd, 64 * 1024)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(content):
            watch, mask, _, length = _EVENT.unpack_from(content, offset)
            offset += _EVENT.size + length
            name = os.fsdecode(content[offset - length : offset].rstrip(b"\0"))
            yield Change(None if mask & _OVERFLOW else watch, name, bool(mask & (_IGNORED | DELETE)))

    def close(self) -> None:
        os.close(self.fd)


def _error(what: str, number: int) -> RetryLater:
    hint = "; raise fs.inotify.max_user_instances or max_user_watches" if number in (errno.EMFILE, errno.ENOSPC) else ""
    return RetryLater(f"{what}: {os.strerror(number)}{hint}")
