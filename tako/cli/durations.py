"""Durations as typed (`30s`, `1m30s`, `500ms`, `90`) and as shown (`3m12s`)."""

import re
import time

from tako.cli.failure import CommandFailed

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")


def parse_duration(text: str) -> float:
    """Return seconds; a bare number is seconds."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise CommandFailed(f'given "{text}": must be a duration such as 30s, 2m or 1m30s', 2)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def deadline_in(text: str) -> float:
    """Return the time on the monotonic clock at which a wait of that long ends."""
    return time.monotonic() + parse_duration(text)


def show_age(seconds: float) -> str:
    """Write an age as kubectl does: 45s, 3m12s, 2h, 5d3h."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 10:
        return f"{minutes}m{whole % 60}s" if whole % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if days < 2:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"
