"""A measured table: printed as it is found, written as Markdown."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """`note` says how it was measured, so that somebody else may measure it again."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self, heading: str = "##") -> str:
        lines = [f"{heading} {self.title}", ""]
        lines += [self.note, ""] if self.note else []
        lines += [_row(self.columns), _row(["---"] * len(self.columns))]
        lines += [_row(row) for row in self.rows]
        return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def spread(samples: Sequence[float]) -> tuple[str, str, str]:
    """Median, 95th percentile and worst, of seconds."""
    ordered = sorted(samples)
    p95 = ordered[math.ceil(len(ordered) * 0.95) - 1]
    return milliseconds(statistics.median(ordered)), milliseconds(p95), milliseconds(ordered[-1])
