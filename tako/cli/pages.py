"""The page that `tako describe` prints: labelled lines, then sections. Pure text from documents."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from tako.cli.client import Document
from tako.cli.happenings import age_of, render_events
from tako.cli.tables import render_columns
from tako.cli.yamltext import indented

LABEL_WIDTH = 14
CONDITION_HEADERS = ("Type", "Status", "Reason", "Since", "Message")
_QUIET_ANNOTATIONS = (
    "kopf.zalando.org/",
    "operator.tako.sh/",
    "tako.sh/",
    "kubectl.kubernetes.io/last-applied-configuration",
)


def line(label: str, value: Any) -> str:
    return f"{label + ':':<{LABEL_WIDTH}}{value}"


def head(document: Document, now: datetime) -> list[str]:
    """Name, namespace, labels and age."""
    metadata = document["metadata"]
    lines = [line("Name", metadata["name"])]
    if "namespace" in metadata:
        lines.append(line("Namespace", metadata["namespace"]))
    lines += _pairs("Labels", metadata.get("labels") or {})
    lines += _pairs("Annotations", _loud(metadata.get("annotations") or {}))
    if "creationTimestamp" in metadata:
        lines.append(
            line("Age", f"{age_of(metadata['creationTimestamp'], now)} (since {metadata['creationTimestamp']})")
        )
    if "deletionTimestamp" in metadata:
        waits = ", ".join(metadata.get("finalizers") or []) or "nothing"
        lines.append(line("Deleted", f"{age_of(metadata['deletionTimestamp'], now)} ago; waits for {waits}"))
    owners = [f"{owner['kind'].lower()}/{owner['name']}" for owner in metadata.get("ownerReferences") or []]
    return [*lines, line("Belongs to", ", ".join(owners))] if owners else lines


def conditions(document: Document, now: datetime) -> list[str]:
    """A row per condition; messages that do not fit a row stand below, every line of them."""
    found = (document.get("status") or {}).get("conditions") or []
    if not found:
        return section("Conditions", ["<none>"])
    lines = render_columns(CONDITION_HEADERS, [_condition_cells(each, now) for each in found]).splitlines()
    for each in found:
        rest = each.get("message", "").splitlines()[1:]
        if rest:
            lines += ["", f"{each['type']} says further:", *(f"  {text}" for text in rest)]
    return section("Conditions", lines)


def events(found: Sequence[Document], now: datetime) -> list[str]:
    return section("Events", render_events(found, now=now).splitlines() if found else ["<none>"])


def section(title: str, lines: Iterable[str]) -> list[str]:
    return ["", f"{title}:", *(f"  {text}".rstrip() for text in lines)]


def generic_page(document: Document, happened: Sequence[Document], now: datetime) -> list[str]:
    """Any kind: its head, spec, status, conditions and events."""
    lines = head(document, now)
    plain = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    for key, value in plain.items():
        lines += ["", f"{key[:1].upper()}{key[1:]}:", indented(value)]
    status = {key: value for key, value in (document.get("status") or {}).items() if key != "conditions"}
    if status:
        lines += ["", "Status:", indented(status)]
    if "conditions" in (document.get("status") or {}):
        lines += conditions(document, now)
    return lines + events(happened, now)


def _pairs(label: str, pairs: dict[str, str]) -> list[str]:
    return [line(label if index == 0 else "", f"{key}={value}") for index, (key, value) in enumerate(pairs.items())]


def _loud(annotations: dict[str, str]) -> dict[str, str]:
    """Leave out what programs keep for themselves."""
    return {key: value for key, value in annotations.items() if not key.startswith(_QUIET_ANNOTATIONS)}


def _condition_cells(each: dict[str, Any], now: datetime) -> list[str]:
    since = age_of(each.get("lastTransitionTime", ""), now)
    message = each.get("message", "").partition("\n")[0]
    return [each["type"], each["status"], each.get("reason", ""), since, message]
