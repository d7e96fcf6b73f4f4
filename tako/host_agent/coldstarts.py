"""Counts the cold starts of one app: requests that found no instance of an app that may sleep, until one serves."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from tako.model.distribution import COLD_START_BOUNDS, Distribution

StartFault = Literal["spawn_failed", "instance_dead"]


@dataclass(slots=True)
class ColdStarts:
    """What happened since tako-server began; at most one start is under way. Times are the supervisor's clock."""

    begun: int = 0
    durations: Distribution = field(default_factory=lambda: Distribution(COLD_START_BOUNDS))
    failures: Counter[StartFault] = field(default_factory=Counter)
    _since: float | None = None

    def begin(self, now: float) -> None:
        """A process is started because requests wait; another before the first serves is part of the same start."""
        if self._since is None:
            self._since = now
            self.begun += 1

    def succeed(self, now: float) -> None:
        """An instance serves."""
        self._end(now)

    def fail(self, now: float, fault: StartFault) -> None:
        """The process could not be started, or was gone before it served."""
        if self._since is not None:
            self.failures[fault] += 1
        self._end(now)

    def abandon(self) -> None:
        """Nobody wants the app any more."""
        self._since = None

    def _end(self, now: float) -> None:
        if self._since is not None:
            self.durations.observe(now - self._since)
            self._since = None
