"""What this process knows of itself as an instance; changed only by the entrypoint."""

import os
import time
from dataclasses import dataclass, field
from typing import Literal

Status = Literal["starting", "healthy", "draining", "unhealthy"]


@dataclass(slots=True)
class Instance:
    """One per process."""

    id: str = field(default_factory=lambda: os.environ.get("TAKO_INSTANCE_ID", "unknown"))
    status: Status = "starting"
    started_at: float = field(default_factory=time.monotonic)

    def uptime_seconds(self) -> int:
        """Return whole seconds since the start."""
        return int(time.monotonic() - self.started_at)


INSTANCE = Instance()


def app_name() -> str:
    """Return the base name of the app: ``TAKO_APP_NAME`` is ``app/environment`` on a host."""
    return os.environ.get("TAKO_APP_NAME", "").partition("/")[0]
