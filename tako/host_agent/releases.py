"""Releases on disk: copied or unpacked, given their dependencies, made current, pruned."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tako.host_agent.isolation import AppUser
from tako.host_agent.layout import Layout
from tako.model.kinds.release import ReleaseSpec
from tako.model.names import DeploymentId


@dataclass(frozen=True, slots=True)
class Prepared:
    """A release that can be started."""

    path: Path
    digest: str
    size_bytes: int


def source_digest(path: Path) -> str:
    """Return ``sha256:…`` of a source directory's names, kinds, executable bits, link targets and contents.

    Of an archive it is that of the file. Times and owners do not count; what is never copied does not either.
    Raises `Refused` when something cannot be read.
    """
    raise NotImplementedError


async def prepare(app: DeploymentId, spec: ReleaseSpec, layout: Layout, owner: AppUser | None = None) -> Prepared:
    """Bring a release to its directory with its dependencies; a release that is there already is left as it is.

    Raises `Refused` when the source cannot become a release, with what to do; `RetryLater` when the disk is full.
    """
    raise NotImplementedError


def activate(app: DeploymentId, version: str, layout: Layout) -> None:
    """Point `current` at a release, atomically; no write when it does already."""
    raise NotImplementedError


def prune(app: DeploymentId, layout: Layout, keep: Collection[str]) -> list[str]:
    """Remove old releases except `keep`; return their versions."""
    raise NotImplementedError
