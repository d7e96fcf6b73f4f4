"""The time, as documents and log lines have it."""

from datetime import UTC, datetime


def timestamp(at: float | None = None) -> str:
    """Return RFC 3339 in UTC with milliseconds; `at` is seconds since the epoch, default now."""
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
