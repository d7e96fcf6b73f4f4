"""Release: one version of an app's files on this host."""

from enum import StrEnum

from pydantic import Field

from tako.model.kinds.app import Runtime, Source
from tako.model.kinds.kind import Document, Seen
from tako.model.names import VERSION_PATTERN


class ReleasePhase(StrEnum):
    """How far a release has come."""

    UPLOADED = "Uploaded"
    EXTRACTED = "Extracted"
    PREPARED = "Prepared"
    FAILED = "Failed"


class ReleaseSpec(Document):
    """What is wanted of a release."""

    app: str = Field(description="Name of the App it belongs to.")
    version: str = Field(pattern=VERSION_PATTERN, description="Version id, unique within the app.")
    source: Source = Field(description="Where the files come from.")
    runtime: Runtime | None = Field(default=None, description="Runtime whose production install is run.")
    main: str | None = Field(default=None, description="Entry point that must exist when it names a file.")
    start: list[str] | None = Field(default=None, description="Explicit command; no production install is run.")
    app_dir: str | None = Field(default=None, description="Working directory below the release.")
    install_dir: str | None = Field(default=None, description="Directory that holds the lock file.")


class ReleaseStatus(Seen):
    """What is seen of a release."""

    phase: ReleasePhase | None = Field(default=None, description="Uploaded, Extracted, Prepared or Failed.")
    path: str | None = Field(default=None, description="Absolute directory of the release on this host.")
    digest: str | None = Field(default=None, description="SHA-256 of the contents.")
    size_bytes: int | None = Field(default=None, description="Bytes on disk.")
    public_dir: str | None = Field(
        default=None,
        description="Absolute directory whose files are served before the app is asked: `public` below the app's "
        "directory. Absent when there is none.",
    )
