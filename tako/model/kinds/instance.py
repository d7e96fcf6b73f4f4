"""Instance: one process of an app."""

from enum import StrEnum

from pydantic import Field

from tako.model.kinds.kind import Document, Seen


class InstanceState(StrEnum):
    """Where a process is in its life; the order is the order of life."""

    STARTING = "Starting"  # spawned, has not reported a port
    READY = "Ready"  # reported a port, not yet probed
    HEALTHY = "Healthy"
    UNHEALTHY = "Unhealthy"
    DRAINING = "Draining"  # out of routing, finishing requests
    STOPPING = "Stopping"  # told to exit
    EXITED = "Exited"  # gone because we told it to
    FAILED = "Failed"  # gone, or never ready, against our will


class Exit(Document):
    """How a process ended."""

    code: int | None = Field(default=None, description="Exit code; absent when a signal ended it or it is unknown.")
    signal: str | None = Field(default=None, description="Signal that ended it, such as SIGKILL.")
    at: str | None = Field(default=None, description="When it was seen to end, RFC 3339.")
    reason: str = Field(default="", description="What that means, for a person.")
    last_output: list[str] | None = Field(default=None, description="The last lines it printed.")


class InstanceSpec(Document):
    """What the process was started as. Instances are written by the host agent."""

    app: str = Field(description="Name of the App.")
    release: str = Field(description="Version of the release.")
    template: str = Field(description="Hash of everything that a running process cannot change.")
    role: str = Field(default="http", description="http or worker.", json_schema_extra={"enum": ["http", "worker"]})
    argv: list[str] = Field(default_factory=list, description="Command line.")


class InstanceStatus(Seen):
    """What is seen of the process."""

    state: InstanceState | None = Field(default=None, description="Where it is in its life.")
    pid: int | None = Field(default=None, description="Process id on this host.")
    start_ticks: int | None = Field(
        default=None,
        description="Start time of the pid in clock ticks since boot, which tells a reused pid apart.",
    )
    started_at: str | None = Field(default=None, description="When it was spawned, RFC 3339.")
    port: int | None = Field(default=None, description="Loopback port it serves.")
    restarts: int | None = Field(default=None, description="Failures of this app's instances in a row before this one.")
    requests: int | None = Field(
        default=None,
        description="Requests that the proxy sent to it; told when its state changes, and every 30 seconds while it is "
        "used.",
    )
    last_request_time: str | None = Field(
        default=None,
        description="When the last of them ended, RFC 3339; told as `requests` is.",
        json_schema_extra={"format": "date-time"},
    )
    exit: Exit | None = Field(default=None, description="How it ended.")
