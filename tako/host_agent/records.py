"""What is kept on disk about each process, so that the next tako-server finds it again.

The file holds the instance's token: mode 0600, and never in a log or a `repr`.
"""

from dataclasses import dataclass, field

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
