"""Tables: what `kubectl get` prints, made by the server from a kind's printer columns."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tako.api.jsonpath import Lookup, compile_path

Document = dict[str, Any]
Column = Mapping[str, Any]  # an element of additionalPrinterColumns

_NAME = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": "Name, unique among objects of its kind in the namespace.",
    "priority": 0,
}
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
# Columns of the kinds without a CRD of ours. `count` and `reference` are known to this module only.
BUILTIN_COLUMNS: dict[str, tuple[Column, ...]] = {
    "namespaces": ({"name": "Status", "type": "string", "jsonPath": ".status.phase"}, _AGE),
    "configmaps": ({"name": "Data", "type": "count", "jsonPath": ".data"}, _AGE),
    "secrets": (
        {"name": "Type", "type": "string", "jsonPath": ".type"},
        {"name": "Data", "type": "count", "jsonPath": ".data"},
        _AGE,
    ),
    "serviceaccounts": ({"name": "Secrets", "type": "count", "jsonPath": ".secrets"}, _AGE),
    "leases.coordination.k8s.io": ({"name": "Holder", "type": "string", "jsonPath": ".spec.holderIdentity"}, _AGE),
    "customresourcedefinitions.apiextensions.k8s.io": (
        {"name": "Created At", "type": "string", "jsonPath": ".metadata.creationTimestamp"},
    ),
    "events": (
        {"name": "Last Seen", "type": "date", "jsonPath": ".lastTimestamp"},
        {"name": "Type", "type": "string", "jsonPath": ".type"},
        {"name": "Reason", "type": "string", "jsonPath": ".reason"},
        {"name": "Object", "type": "reference", "jsonPath": ".involvedObject"},
        {"name": "Message", "type": "string", "jsonPath": ".message"},
        {"name": "Count", "type": "integer", "jsonPath": ".count", "priority": 1},
        {"name": "Source", "type": "string", "jsonPath": ".source.component", "priority": 1},
    ),
}
_SHOWN_TYPES = {"count": "integer", "reference": "string", "date": "string"}


def render_table(
    columns: Sequence[Column],
    docs: Iterable[Document],
    include_object: str,
    resource_version: str,
    *,
    now: datetime,
) -> Document:
    """Return a `meta.k8s.io/v1` Table of `docs`; `include_object` is Metadata, Object or None, as the query says.

    A printer column of type date is shown as the time since then, at `now`.
    """
    cells = [(column.get("type", "string"), compile_path(column["jsonPath"])) for column in columns]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": resource_version},
        "columnDefinitions": [_NAME, *map(_definition, columns)],
        "rows": [_row(cells, doc, include_object, now) for doc in docs],
    }


def show_duration(seconds: float) -> str:
    """Write a time span as kubectl does: exact while it is short, one unit when it is long."""
    if seconds < 0:
        return "<invalid>" if seconds <= -2 else "0s"
    whole = int(seconds)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 120:
        return f"{whole}s"
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def _definition(column: Column) -> Document:
    shown = _SHOWN_TYPES.get(column.get("type", "string"), column.get("type", "string"))
    return {
        "name": column["name"],
        "type": shown,
        "format": column.get("format", ""),
        "description": column.get("description", f"{column['jsonPath']} of the object"),
        "priority": column.get("priority", 0),
    }


def _row(cells: list[tuple[str, Lookup]], doc: Document, include_object: str, now: datetime) -> Document:
    metadata = doc.get("metadata", {})
    row: Document = {"cells": [metadata.get("name"), *(_cell(type_, look(doc), now) for type_, look in cells)]}
    if include_object == "Object":
        row["object"] = doc
    elif include_object != "None":
        row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return row


def _cell(type_: str, values: list[Any], now: datetime) -> Any:
    """What is not there is an empty cell, which kubectl leaves blank."""
    if not values:
        return 0 if type_ == "count" else None
    value = values[0]
    if type_ == "string":
        return " ".join(_text(each) for each in values)
    if type_ == "date":
        return _age(value, now)
    if type_ == "integer":
        return int(value) if isinstance(value, (int, float)) else None
    if type_ == "count":
        return len(value) if isinstance(value, (dict, list)) else 0
    if type_ == "reference":
        return f"{value.get('kind', '').lower()}/{value.get('name', '')}" if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _age(value: Any, now: datetime) -> str | None:
    if value is None:
        return None
    try:
        then = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return "<invalid>"
    return show_duration((now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds())
