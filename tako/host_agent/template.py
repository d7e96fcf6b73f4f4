"""Everything about an instance that a running process cannot change: when it differs, a new process is needed."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tako.host_agent.rollout import TemplateHash
from tako.model.kinds.app import AppSpec, Limits
from tako.model.names import DeploymentId, ReleaseId


@dataclass(frozen=True)
class Template:
    """What an instance is started from; equal templates have equal hashes on every run of the server."""

    app: DeploymentId
    release: ReleaseId
    path: str  # absolute directory of the release
    runtime: str | None = None
    main: str | None = None
    start: tuple[str, ...] | None = None
    app_dir: str | None = None
    install_dir: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    health_path: str = "/status"
    limits: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, app: DeploymentId, spec: AppSpec, release: ReleaseId, path: Path) -> "Template":
        """Take from the spec what a process is started with, and nothing that may change under it."""
        return cls(
            app=app,
            release=release,
            path=str(path),
            runtime=spec.runtime.value if spec.runtime else None,
            main=spec.main,
            start=tuple(spec.start) if spec.start else None,
            app_dir=spec.app_dir,
            install_dir=spec.install_dir,
            env=dict(spec.env),
            health_path=spec.health.path,
            limits=spec.limits.model_dump(mode="json"),
        )

    @property
    def hash(self) -> TemplateHash:
        """Twelve hexadecimal digits of SHA-256 over the canonical JSON."""
        return TemplateHash(hashlib.sha256(self.to_json().encode()).hexdigest()[:12])

    @property
    def resource_limits(self) -> Limits:
        return Limits.model_validate(self.limits)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Template":
        """Read what :meth:`to_json` wrote; KeyError or TypeError when it is something else."""
        doc = json.loads(text)
        doc["app"] = DeploymentId(**doc["app"])
        doc["start"] = tuple(doc["start"]) if doc["start"] else None
        return cls(**doc)
