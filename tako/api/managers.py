"""`metadata.managedFields`: who set which field, read from a document and written back to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tako.api.fieldset import FieldPath, decode_fields, encode_fields

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class ManagerId:
    """Who writes, how (Apply or Update), and through which subresource."""

    name: str
    operation: str
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Manager:
    """What a manager owns, and when that last changed."""

    api_version: str
    time: str
    paths: frozenset[FieldPath] = field(default_factory=frozenset)

    def without(self, paths: set[FieldPath]) -> "Manager":
        return replace(self, paths=self.paths - paths)


Managers = dict[ManagerId, Manager]


def read_managers(doc: Document) -> Managers:
    """Return the managers of a document. An entry that cannot be read owns nothing; a client may have written it."""
    found: Managers = {}
    entries = doc.get("metadata", {}).get("managedFields")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or not entry.get("manager") or not isinstance(entry.get("fieldsV1"), dict):
            continue
        who = ManagerId(*(str(entry.get(name) or "") for name in ("manager", "operation", "subresource")))
        paths = frozenset(decode_fields(entry["fieldsV1"]))
        found[who] = Manager(str(entry.get("apiVersion") or ""), str(entry.get("time") or ""), paths)
    return found


def write_managers(doc: Document, managers: Mapping[ManagerId, Manager]) -> Document:
    """Return the document with these managers; those that own nothing are left out."""
    entries = [_entry(who, managers[who]) for who in sorted(managers) if managers[who].paths]
    metadata = {key: value for key, value in doc.get("metadata", {}).items() if key != "managedFields"}
    return {**doc, "metadata": {**metadata, "managedFields": entries} if entries else metadata}


def has_applier(managers: Mapping[ManagerId, Manager]) -> bool:
    """Tell whether fields are tracked here: they are from the first apply on."""
    return any(who.operation == "Apply" for who in managers)


def _entry(who: ManagerId, manager: Manager) -> Document:
    entry = {
        "manager": who.name,
        "operation": who.operation,
        "apiVersion": manager.api_version,
        "time": manager.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": encode_fields(manager.paths),
    }
    return {**entry, "subresource": who.subresource} if who.subresource else entry
