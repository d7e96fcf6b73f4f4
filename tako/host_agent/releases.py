"""Releases on disk: copied or unpacked, given their dependencies, made current."""

import asyncio
import os
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tako.adapters.archives import unpack
from tako.adapters.files import file_error
from tako.host_agent.digest import source_digest, source_files
from tako.host_agent.install import install
from tako.host_agent.isolation import AppUser
from tako.host_agent.layout import Layout
from tako.model.errors import Refused
from tako.model.kinds.release import ReleaseSpec
from tako.model.names import DeploymentId

__all__ = ["Prepared", "activate", "prepare", "public_dir", "source_digest"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A release that can be started."""

    path: Path
    digest: str
    size_bytes: int


async def prepare(app: DeploymentId, spec: ReleaseSpec, layout: Layout, owner: AppUser | None = None) -> Prepared:
    """Bring a release to its directory with its dependencies; a release that is there already is left as it is.

    Raises `Refused` when the source cannot become a release, with what to do; `RetryLater` when the disk is full.
    """
    dirs = layout.app(app)
    dirs.make((owner.uid, owner.gid) if owner else None)
    home = dirs.release(spec.version)
    digest = spec.source.digest
    if digest is None:
        digest = await asyncio.to_thread(source_digest, _source(spec))
    if not home.is_dir() or _unfinished(home).exists():
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
        fresh = layout.tmp / f"release-{uuid.uuid4().hex}"
        try:
            layout.tmp.mkdir(parents=True, exist_ok=True)
            _refuse_own_data(_source(spec), layout)
            await asyncio.to_thread(_bring, spec, fresh)
            await asyncio.to_thread(_check_digest, spec, fresh)
            _check_entry(spec, fresh)
            _unfinished(home).touch()
            await asyncio.to_thread(_move, fresh, home, owner)
        finally:
            await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        # In its place, because a virtual environment knows the path it was made at.
        await install(spec, home, layout, owner)
        _unfinished(home).unlink()
    return Prepared(home, digest, await asyncio.to_thread(_size, home))


def _unfinished(home: Path) -> Path:
    """The mark of a release whose install has not ended well; a crash leaves it, and the release is made anew."""
    return home.with_name(f".{home.name}.unfinished")


def activate(app: DeploymentId, version: str, layout: Layout) -> None:
    """Point `current` at a release, atomically; no write when it does already."""
    dirs = layout.app(app)
    target = dirs.release(version)
    if dirs.current.is_symlink() and dirs.current.readlink() == target:
        return
    fresh = dirs.root / ".current.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(dirs.current)


def public_dir(release: Path, app_dir: str | None) -> Path | None:
    """Return the directory of a release whose files the proxy serves, None when there is none.

    A link that leads out of the release is none: the proxy may read what the app's own user may not.
    """
    found = release / (app_dir or "") / "public"
    return found if found.is_dir() and found.resolve().is_relative_to(release.resolve()) else None


def _source(spec: ReleaseSpec) -> Path:
    text = spec.source.path or spec.source.archive
    if text is None:
        raise Refused("spec.source names neither a path nor an archive")
    return Path(text)


def _bring(spec: ReleaseSpec, into: Path) -> None:
    source = _source(spec)
    if not source.exists():
        raise Refused(f"the source {source} does not exist; create it or correct spec.source")
    into.mkdir(mode=0o750)
    if spec.source.archive is not None:
        unpack(source, into)
    elif source.is_dir():
        _copy(source, into)
    else:
        raise Refused(f"the source {source} is not a directory; give an archive as spec.source.archive")


def _refuse_own_data(source: Path, layout: Layout) -> None:
    if layout.data_dir.is_relative_to(source):
        raise Refused(
            f"the source {source} contains the server's data directory {layout.data_dir}, which would be copied into "
            "itself with every release; keep one of them elsewhere"
        )


def _check_digest(spec: ReleaseSpec, brought: Path) -> None:
    """What is run must be what was applied: files may have been edited, or be edited, meanwhile."""
    found = source_digest(_source(spec) if spec.source.archive is not None else brought)
    if spec.source.digest not in (None, found):
        raise Refused(f"the source {_source(spec)} has changed since it was applied; apply it again")


def _copy(source: Path, into: Path) -> None:
    try:
        for relative, full in source_files(source):
            target = into / relative
            if full.is_symlink():
                target.symlink_to(full.readlink())
            elif full.is_dir():
                target.mkdir()
            else:
                shutil.copy2(full, target, follow_symlinks=False)
    except OSError as error:
        raise file_error(f"cannot copy {source}", error) from error


def _check_entry(spec: ReleaseSpec, release: Path) -> None:
    """Find out now, and not when the first instance fails, that the entry point is not there."""
    app_dir = release / (spec.app_dir or "")
    if not app_dir.is_dir():
        raise Refused(f"spec.appDir {spec.app_dir!r} is not a directory of the source")
    if spec.main is None or spec.start is not None or spec.runtime is None:
        return
    if spec.runtime.value.startswith("python-"):
        module = spec.main.partition(":")[0].replace(".", "/")
        candidates = [f"{module}.py", f"{module}/__init__.py", f"src/{module}.py", f"src/{module}/__init__.py"]
        # A callable may come from an installed package, which is not among the files.
        if ":" in spec.main or any((app_dir / one).exists() for one in candidates):
            return
        raise Refused(f"spec.main {spec.main!r} needs the form module:callable, for example main:app")
    looks_like_a_file = spec.main.startswith(".") or Path(spec.main).suffix in {".js", ".mjs", ".ts", ".mts", ".tsx"}
    if (looks_like_a_file or spec.runtime.value == "go") and not (app_dir / spec.main).is_file():
        raise Refused(f"spec.main {spec.main!r} is not a file of the source")


def _move(fresh: Path, home: Path, owner: AppUser | None) -> None:
    if owner is not None:
        for path in (fresh, *_everything_below(fresh)):
            os.lchown(path, owner.uid, owner.gid)
    try:
        fresh.rename(home)
    except OSError as error:
        raise file_error(f"cannot put the release at {home}", error) from error


def _everything_below(root: Path) -> Iterable[Path]:
    for directory, names, files in os.walk(root):
        yield from (Path(directory, name) for name in (*names, *files))


def _size(root: Path) -> int:
    return sum(path.lstat().st_size for path in _everything_below(root) if not path.is_dir())
