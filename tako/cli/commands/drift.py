"""`tako drift`: declared against seen on this host."""

from typing import Any

from tako.cli.happenings import age_of
from tako.cli.session import Session
from tako.cli.tables import render_columns

HEADERS = ("Kind", "Namespace", "Name", "Field", "Wanted", "Seen", "Since", "Action")


def drift(session: Session) -> int:
    """Show each difference between declared and seen on this host: since when, and what is being done about it."""
    found = session.client.json("/tako/drift")
    if session.settings.json:
        session.result_json(found)
    elif found["items"]:
        session.result(render_columns(HEADERS, [_cells(item) for item in found["items"]]))
    else:
        session.progress("No drift: everything on this host is as declared.")
    return 0


def _cells(item: dict[str, Any]) -> list[str]:
    plain = [_text(item.get(key)) for key in ("kind", "namespace", "name", "field", "wanted", "seen")]
    return [*plain, age_of(item.get("since") or ""), _text(item.get("action"))]


def _text(value: Any) -> str:
    return "<none>" if value is None or value == "" else str(value)
