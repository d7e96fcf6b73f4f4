"""Archives: tar, tar.gz and tar.zst, unpacked without trusting what they say."""

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import zstandard

from tako.adapters.files import file_error
from tako.model.errors import Refused

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst")


def unpack(archive: Path, into: Path) -> None:
    """Unpack `archive` below the directory `into`, links kept as links. Blocks.

    Raises `Refused` for an archive that is damaged or that names anything outside `into` (absolute paths, `..`,
    links that lead out, devices), `RetryLater` when the disk is full.
    """
    try:
        with _opened(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            # The `data` filter refuses what leads out, devices, and links that do.
            tar.extractall(into, filter="data")
    except tarfile.FilterError as error:
        raise Refused(f"{archive} is refused: {error}") from error
    except (tarfile.TarError, EOFError, zstandard.ZstdError, gzip.BadGzipFile) as error:
        raise Refused(f"{archive} cannot be unpacked, it is damaged or of another kind: {error}") from error
    except OSError as error:
        raise file_error(f"cannot unpack {archive}", error) from error


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
