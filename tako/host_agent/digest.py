"""The digest of a source: the same files give the same digest on every host and at every time.

Light on purpose: `tako apply` computes it too, and loads nothing of the server for that.
"""

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tako.model.errors import Refused

# Never part of a release: version control, our own state, and files of secrets.
_LEFT_OUT = frozenset({".git", ".tako"})
_CHUNK = 1 << 20


def is_left_out(name: str) -> bool:
    """Tell whether a file or directory of this name is never copied into a release."""
    return name in _LEFT_OUT or name == ".env" or name.startswith(".env.")


def source_digest(path: Path) -> str:
    """Return ``sha256:…`` of a source directory's names, kinds, executable bits, link targets and contents.

    Of an archive it is that of the file. Times and owners do not count; what is never copied does not either.
    Raises `Refused` when something cannot be read.
    """
    total = hashlib.sha256()
    try:
        if path.is_dir():
            for relative, full in source_files(path):
                total.update(_entry(relative, full))
        else:
            total.update(_content(path))
    except FileNotFoundError as error:
        raise Refused(f"the source {error.filename} does not exist; create it or correct spec.source") from error
    except OSError as error:
        raise Refused(f"the source {error.filename or path} cannot be read: {error.strerror}") from error
    return f"sha256:{total.hexdigest()}"


def source_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield what a release is made of, (relative path, full path), sorted; a directory before its contents."""
    pending = [("", root)]
    while pending:
        relative, directory = pending.pop()
        with os.scandir(directory) as found:
            entries = sorted((e for e in found if not is_left_out(e.name)), key=lambda e: os.fsencode(e.name))
        for entry in entries:
            name = f"{relative}{entry.name}"
            yield name, Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                pending.append((f"{name}/", Path(entry.path)))


def _entry(relative: str, full: Path) -> bytes:
    seen = full.lstat()
    if stat.S_ISLNK(seen.st_mode):
        kind, content = b"l", os.fsencode(full.readlink())
    elif stat.S_ISDIR(seen.st_mode):
        kind, content = b"d", b""
    elif stat.S_ISREG(seen.st_mode):
        kind, content = (b"x" if seen.st_mode & 0o100 else b"f"), _content(full)
    else:
        raise Refused(f"the source has {full}, which is neither a file, a directory nor a link; remove it")
    # Lengths keep "ab"+"c" and "a"+"bc" apart.
    name = os.fsencode(relative)
    return b"%s %d:%s %d:%s" % (kind, len(name), name, len(content), content)


def _content(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()
