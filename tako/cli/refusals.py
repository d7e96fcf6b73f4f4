"""The server's Status in a person's words: which field, what was given, what is allowed."""

import json
import re
from typing import Any

from tako.cli.client import RequestFailed

_GIVEN = re.compile(
    r"^(Invalid|Unsupported|Duplicate) value: (?P<given>\"(?:[^\"\\]|\\.)*\"|[^:]+?)(?:: (?P<rule>.*))?$", re.S
)
_TYPE = re.compile(r"^(?P<rule>must be of type \S+): \"(?P<given>\w+)\"$")
_STEP = re.compile(r"(?:^|\.)([^.\[\]]+)|\[(\d+)\]")
LONGEST_VALUE = 80
_CONFLICT = re.compile(r'conflict with "(?P<manager>[^"]+)"')


def explain_refusal(failed: RequestFailed, where: str = "", document: Any = None) -> str:
    """Return one line per fault, each with `where` (the file and document) before it.

    `document` is what was sent: of a wrong type the server only tells the type, and people look for the value.
    """
    prefix = f"{where}: " if where else ""
    if failed.reason == "Conflict" and conflicts(failed):
        return "\n".join(prefix + line for line in _conflict_lines(failed))
    if failed.reason in ("Invalid", "BadRequest") and failed.causes:
        return "\n".join(prefix + explain_cause(cause, document) for cause in failed.causes)
    return prefix + str(failed) + _place(failed)


def explain_cause(cause: dict[str, Any], document: Any = None) -> str:
    """``spec.instances: given -1: must be at least 0`` from a cause of a Status."""
    field, message = cause.get("field") or "", str(cause.get("message") or cause.get("reason") or "")
    found = _GIVEN.match(message)
    if found:
        rule = found["rule"] or {"Duplicate": "is there twice"}.get(found[1], "is not allowed")
        given, rule = found["given"], rule.removeprefix(f"{field} in body ")
        typed = _TYPE.match(rule)
        if typed:
            given, rule = _shown(_value_at(document, field), typed["given"]), typed["rule"]
        message = f"given {given}: {rule}"
    return f"{field}: {message}" if field and field != "<nil>" else message


def _value_at(document: Any, field: str) -> Any:
    """Follow ``spec.routes[0]`` or ``spec.env.A`` in a document; None when it does not lead anywhere."""
    for member, index in _STEP.findall(field):
        if index and isinstance(document, list) and int(index) < len(document):
            document = document[int(index)]
        elif member and isinstance(document, dict):
            document = document.get(member)
        else:
            return None
    return document


def _shown(value: Any, type_name: str) -> str:
    text = "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if 0 < len(text) <= LONGEST_VALUE else f"a value of type {type_name}"


def _place(failed: RequestFailed) -> str:
    """Say in which namespace something is not; it is often in another."""
    found = re.search(r"/namespaces/([^/?]+)/[^/?]+/", failed.target)
    return f" in namespace {found[1]}" if found and failed.code == 404 and " not found" in str(failed) else ""


def conflicts(failed: RequestFailed) -> list[tuple[str, str]]:
    """Return (manager, field) for each field that another manager holds against an apply."""
    found = []
    for cause in failed.causes:
        manager = _CONFLICT.search(str(cause.get("message", "")))
        if cause.get("reason") == "FieldManagerConflict" and manager:
            found.append((manager["manager"], str(cause.get("field", "")).removeprefix(".")))
    return found


def _conflict_lines(failed: RequestFailed) -> list[str]:
    return [
        f'{field}: was set by "{manager}"; take it over with --force-conflicts, or leave it out of the file'
        for manager, field in conflicts(failed)
    ]
