"""The log of each app: one file of lines from all its instances and from Tako itself.

Line: ``2026-04-20T06:19:53.716Z [out] [vdACgHcC] text``; see :mod:`tako.host_agent.spool` for how lines get here.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tako.host_agent.layout import Layout
from tako.model.names import DeploymentId, InstanceId


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an app's log. `source` is an instance id, or tako-server, proxy, images for stream server."""

    at: str
    stream: str  # out, err, server
    source: str
    text: str

    def __str__(self) -> str:
        return f"{self.at} [{self.stream}] [{self.source}] {self.text}"


class AppLogs:
    """Moves what instances print into their app's log, from a thread of its own."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def start(self) -> None:
        """Begin; whatever was printed while no tako-server ran comes first."""
        return None

    def watch(self, app: DeploymentId) -> None:
        """Follow the instances of an app that came after `start`; cheap when it is followed already."""
        return None

    def server_line(
        self, app: DeploymentId, source: str, level: str, message: str, **fields: str | int | float | None
    ) -> None:
        """Add a line of our own: ``LEVEL message key=value …``. Returns at once; safe from any thread."""
        return None

    async def drained(self, app: DeploymentId, instance: InstanceId) -> None:
        """Wait until everything a process that has ended printed is in the log, and drop its spool files."""
        return None

    def follow(
        self,
        app: DeploymentId,
        since_lines: int | None = None,
        follow: bool = True,
        instance: InstanceId | None = None,
        stream: str | None = None,
    ) -> AsyncIterator[LogLine]:
        """Yield the last `since_lines` lines (None: all there are), then new ones as they come if `follow`."""
        return None

    def close(self) -> None:
        """Write what is there and stop."""
        return None
