"""How long something took, many times over: observations by bucket, as a histogram is published."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

# Of work inside tako-server, which mostly takes milliseconds. Upper bounds in seconds; one more bucket has none.
WORK_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
# The specification's for starts.
COLD_START_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Distribution:
    """Counts by bucket, not cumulative, and the sum of what was observed. Only grows."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    sum_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    @property
    def total(self) -> int:
        return sum(self.counts)

    def observe(self, seconds: float) -> None:
        # An upper bound is inside its bucket, as Prometheus has it.
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum_seconds += seconds
