"""Starting one process by the process contract: fds 0 to 4, directory, umask, limits, user.

A process never gets PDEATHSIG: instances outlive tako-server on purpose.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tako.host_agent.isolation import Confinement
from tako.model.kinds.app import Limits
from tako.model.names import DeploymentId, InstanceId, ReleaseId


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """Everything that one process is started with."""

    id: InstanceId
    app: DeploymentId
    release: ReleaseId
    template: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    token: str = field(repr=False)
    envelope: bytes = field(repr=False)
    limits: Limits = field(default_factory=Limits)
    confinement: Confinement = field(default_factory=Confinement)
    role: str = "http"
    restarts: int = 0
