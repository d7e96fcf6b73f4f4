"""Conditions in Kubernetes' form: one entry per type, and a time that moves only when the status does."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Told:
    """One condition as a reconciler states it. `reason` is for programs, `message` for a person."""

    type: str
    status: Status
    reason: str
    message: str = ""


def merge_conditions(
    old: Iterable[Mapping[str, Any]] | None, told: Iterable[Told], generation: int | None, now: str
) -> list[dict[str, Any]]:
    """Return the conditions to store: `told`, with the old transition time where the status is the same."""
    before = {entry["type"]: entry for entry in old or ()}
    merged: list[dict[str, Any]] = []
    for one in told:
        known = before.get(one.type)
        same = known is not None and known.get("status") == one.status
        entry: dict[str, Any] = {
            "type": one.type,
            "status": one.status,
            "reason": one.reason,
            "message": one.message,
            "lastTransitionTime": known["lastTransitionTime"] if same and known else now,
        }
        if generation is not None:
            entry["observedGeneration"] = generation
        merged.append(entry)
    return merged


def condition_of(doc: Mapping[str, Any], type_: str) -> Mapping[str, Any] | None:
    """Return the condition of that type of a document, or None."""
    for entry in doc.get("status", {}).get("conditions") or ():
        if entry.get("type") == type_:
            return dict(entry)
    return None


def is_true(doc: Mapping[str, Any], type_: str) -> bool:
    """Say whether the condition holds for the generation the document has now."""
    entry = condition_of(doc, type_)
    if entry is None or entry.get("status") != "True":
        return False
    observed = entry.get("observedGeneration")
    return observed is None or bool(observed >= doc["metadata"].get("generation", 0))
