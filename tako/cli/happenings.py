"""Events as rows: newest last, those of one document or of a namespace."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from tako.cli.client import Client, Document, Resource
from tako.cli.durations import show_age
from tako.cli.tables import render_columns

EVENTS = Resource("", "v1", "events", "Event", True, "event")
HEADERS = ("Last Seen", "Type", "Reason", "Object", "Message")


def events_about(client: Client, document: Document) -> list[Document]:
    """Return the events of one document, oldest first."""
    metadata = document["metadata"]
    fields = f"involvedObject.uid={metadata['uid']}"
    return by_time(client.list(EVENTS, metadata.get("namespace"), fields=fields)["items"])


def by_time(events: Iterable[Document]) -> list[Document]:
    """Oldest first; those of the same second in the order in which they were stored."""
    return sorted(events, key=lambda event: (last_seen(event), int(event["metadata"].get("resourceVersion") or 0)))


def last_seen(event: Document) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((time for time in times if time), event["metadata"].get("creationTimestamp") or "")


def age_of(timestamp: str, now: datetime | None = None) -> str:
    """Write the time since an RFC 3339 timestamp; empty when there is none."""
    if not timestamp:
        return ""
    then = datetime.fromisoformat(timestamp)
    return show_age(((now or datetime.now(UTC)) - then.astimezone(UTC)).total_seconds())


def event_cells(event: Document, with_namespace: bool = False, now: datetime | None = None) -> list[str]:
    """Return the texts of one row."""
    regarding: dict[str, Any] = event.get("involvedObject") or {}
    count = (event.get("series") or {}).get("count") or event.get("count") or 1
    age = age_of(last_seen(event), now) + (f" (x{count})" if count > 1 else "")
    shown = f"{str(regarding.get('kind', '')).lower()}/{regarding.get('name', '')}"
    message = str(event.get("message") or "").strip().replace("\n", "\\n")
    cells = [age, str(event.get("type", "")), str(event.get("reason", "")), shown, message]
    return [event["metadata"].get("namespace", ""), *cells] if with_namespace else cells


def render_events(events: Sequence[Document], with_namespace: bool = False, now: datetime | None = None) -> str:
    headers = ["Namespace", *HEADERS] if with_namespace else list(HEADERS)
    return render_columns(headers, [event_cells(event, with_namespace, now) for event in events])
