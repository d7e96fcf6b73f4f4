"""Files: written whole or not at all, and given back to the disk while they are open."""

import ctypes
import errno
import os
from pathlib import Path

from tako.model.errors import Refused, RetryLater

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_KEEP_SIZE_AND_PUNCH_HOLE = 0x01 | 0x02
# Holes are whole blocks; a partial one at either end would be zeroed, not freed.
_BLOCK = 4096

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def disk_full(error: OSError) -> bool:
    return error.errno in _DISK_FULL


def file_error(what: str, error: OSError) -> RetryLater | Refused:
    """Translate an error of the file system: a full disk passes, anything else waits for a person."""
    if disk_full(error):
        return RetryLater(f"{what}: the disk is full; free some space", delay_seconds=10)
    where = f" ({error.filename})" if error.filename else ""
    return Refused(f"{what}: {error.strerror}{where}")


def replace_file(path: Path, content: bytes, mode: int = 0o600, *, durable: bool = False) -> None:
    """Put `content` at `path`; a reader, or a crash at any point, sees the old or the new, never a part.

    With `durable` that holds for a power cut too; without, it is for what a power cut makes worthless anyway.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.write(content)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise file_error(f"cannot write {path}", error) from error


def punch_hole(fd: int, start: int, end: int) -> bool:
    """Give the blocks between `start` and `end` back to the disk; the size stays. False: not possible here.

    Unlike truncation it cannot race with somebody who appends.
    """
    first = -(-start // _BLOCK) * _BLOCK
    last = end // _BLOCK * _BLOCK
    if last <= first:
        return True
    return bool(_libc.fallocate(fd, _KEEP_SIZE_AND_PUNCH_HOLE, first, last - first) == 0)
