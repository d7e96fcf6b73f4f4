"""Archives: tar, tar.gz and tar.zst, unpacked without trusting what they say."""

import gzip
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, cast

import zstandard

from tako.adapters.files import file_error
from tako.model.errors import Refused

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst")


class _ThroughLink(Exception):
    """A member that a link, unpacked before it, would take elsewhere."""


def unpack(archive: Path, into: Path) -> None:
    """Unpack `archive` below the directory `into`, links kept as links. Blocks.

    Raises `Refused` for an archive that is damaged or that names anything outside `into` (absolute paths, `..`,
    links that lead out, devices), `RetryLater` when the disk is full.
    """
    try:
        with _opened(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            tar.extractall(into, filter=_kept_inside)
        _check_links(archive, into)
    except _ThroughLink as error:
        raise Refused(f"{archive} is refused: {error}") from error
    except tarfile.FilterError as error:
        raise Refused(f"{archive} is refused: {error}") from error
    except (tarfile.TarError, EOFError, zstandard.ZstdError, gzip.BadGzipFile) as error:
        raise Refused(f"{archive} cannot be unpacked, it is damaged or of another kind: {error}") from error
    except OSError as error:
        raise file_error(f"cannot unpack {archive}", error) from error


def _kept_inside(member: tarfile.TarInfo, into: str) -> tarfile.TarInfo | None:
    """Refuse what leads out, devices, and anything written through a link that came before."""
    # The `data` filter trusts realpath, which Python before 3.11.13 takes as inside when a path is too long for it;
    # no archive made from a directory writes through its own links.
    for name in (member.name, member.linkname if member.islnk() else ""):
        parts = PurePosixPath(name.lstrip("/"))
        for place in (parts, *parts.parents):
            if place.parts and Path(into, place).is_symlink():
                raise _ThroughLink(f"{member.name!r} would be written through the link {place}")
    return tarfile.data_filter(member, into)


def _check_links(archive: Path, into: Path) -> None:
    """Refuse links that the kernel follows out of `into`, whatever their text looks like."""
    inside = into.resolve()
    for directory, names, files in os.walk(into):
        for link in (path for name in (*names, *files) if (path := Path(directory, name)).is_symlink()):
            try:
                fd = os.open(link, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue  # leads nowhere
            target = Path(f"/proc/self/fd/{fd}").readlink()
            os.close(fd)
            if not target.is_relative_to(inside):
                raise Refused(f"{archive} is refused: the link {link.relative_to(into)} leads out of it")


@contextmanager
def _opened(archive: Path) -> Iterator[IO[bytes]]:
    if not archive.name.endswith(SUFFIXES):
        raise Refused(f"{archive} is not an archive of a known kind; known are {', '.join(SUFFIXES)}")
    with archive.open("rb") as file:
        if archive.name.endswith((".gz", ".tgz")):
            with gzip.GzipFile(fileobj=file) as stream:
                yield cast(IO[bytes], stream)
        elif archive.name.endswith(".zst"):
            with zstandard.ZstdDecompressor().stream_reader(file) as stream:
                yield stream
        else:
            yield file
