"""What is kept on disk about each process, so that the next tako-server finds it again.

The file holds the instance's token: mode 0600, and never in a log or a `repr`.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tako.adapters.files import replace_file
from tako.host_agent.layout import Layout
from tako.model.names import DeploymentId, InstanceId, ReleaseId


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """One process. `pid` is None from before it is spawned until just after."""

    id: InstanceId
    app: DeploymentId
    release: ReleaseId
    template: str
    role: str
    argv: tuple[str, ...]
    token: str = field(repr=False)
    started_at: str
    boot_id: str
    restarts: int = 0
    pid: int | None = None
    start_ticks: int | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record file that says nothing: its process, if there is one, cannot be adopted without its token."""

    path: Path


class Records:
    """The record files below one data directory."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def path(self, app: DeploymentId, id: InstanceId) -> Path:
        return self._layout.app(app).instances / f"{id}.json"

    def write(self, record: InstanceRecord) -> None:
        """Keep a record; raises `RetryLater` when the disk is full."""
        document = asdict(record) | {"app": str(record.app)}
        replace_file(self.path(record.app, record.id), json.dumps(document).encode())

    def remove(self, record: InstanceRecord) -> None:
        self.path(record.app, record.id).unlink(missing_ok=True)

    def read(self) -> Iterator[InstanceRecord | UnreadableRecord]:
        """Yield every record there is."""
        for app in self._layout.apps():
            for path in sorted(self._layout.app(app).instances.glob("[!.]*.json")):
                yield _read(path)


def _read(path: Path) -> InstanceRecord | UnreadableRecord:
    # After a power cut a file may be empty; nothing it described can still be running.
    try:
        document = json.loads(path.read_bytes())
        document["app"] = DeploymentId.parse(document["app"])
        document["argv"] = tuple(document["argv"])
        return InstanceRecord(**document)
    except (ValueError, TypeError, KeyError):
        return UnreadableRecord(path)
