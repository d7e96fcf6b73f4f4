"""Server-side apply: several managers write one document, and each field has its owners.

A manager's configuration is everything it wants. What it no longer names goes, unless somebody else owns it too; what
it changes and somebody else owns is a conflict. Fields are tracked from an object's first apply on, so that writes to
all other objects, which are nearly all of kopf's, cost nothing.
"""

import json
from dataclasses import dataclass

from tako.api.fieldset import (
    FieldPath,
    Fields,
    Node,
    fields_of,
    merge_fields,
    prefixes,
    show_field,
    without_fields,
)
from tako.api.managers import Manager, ManagerId, Managers, has_applier, read_managers, write_managers
from tako.api.patch import Document, PatchInvalid, same
from tako.api.schema import Schema
from tako.model.errors import Refused

# Owns what was there before the first apply; the name is Kubernetes'.
BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

# Identity and what the server writes: nobody's to own.
_UNOWNED = {("f:apiVersion",), ("f:kind",), ("f:metadata",)} | {
    ("f:metadata", f"f:{name}")
    for name in (
        *("name", "namespace", "generateName", "selfLink", "uid", "resourceVersion", "generation"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "managedFields"),
    )
}
_SERVER_WRITES = (
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
    "managedFields",
)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that somebody else owns, and who: in words, as kubectl prints them."""

    manager: str
    field: str


class ApplyConflicts(Refused):
    """Somebody else owns what this apply would change; `force` would take it."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        super().__init__(_conflict_message(conflicts))
        self.conflicts = tuple(conflicts)

    @property
    def causes(self) -> list[Document]:
        """The causes of the Status, as kubectl reads them."""
        return [
            {
                "reason": "FieldManagerConflict",
                "message": f"conflict with {conflict.manager}",
                "field": conflict.field,
            }
            for conflict in self.conflicts
        ]


def apply(
    live: Document | None,
    config: Document,
    manager: str,
    force: bool,
    schema: Schema,
    now: str,
    subresource: str | None = None,
) -> Document:
    """Return `live` with everything `config` says, and without what only this manager wanted before.

    `config` holds only what may be written here: no status, unless `subresource` is status. `now` is RFC 3339. Raises
    :class:`ApplyConflicts`. Applying the same again returns a document equal to `live`.
    """
    if config.get("metadata", {}).get("managedFields"):
        raise PatchInvalid("metadata.managedFields must be nil", 400)
    node = schema.document
    config = _writable(config)
    managers = _managers_before(live, node, now)
    me = ManagerId(manager, "Apply", subresource or "")
    merged = merge_fields(live or {}, config, node)
    before, after = _owned_fields(live or {}, node), _owned_fields(merged, node)
    changed = _changed(before, after)
    _refuse_conflicts(managers, me, changed, set(after) if force else _surely_ours(live, manager, schema))
    lost = changed | _removed(before, after)
    managers = {who: theirs if who == me else theirs.without(lost) for who, theirs in managers.items()}
    # What the schema does not know is refused or pruned by whoever stores the document, so nobody owns it.
    wanted = frozenset(_owned_fields(schema.prune(config)[0], node))
    previous = managers.pop(me, Manager("", ""))
    owned = set(wanted).union(*(other.paths for other in managers.values()))
    gone = previous.paths - owned - prefixes(owned)
    merged = without_fields(merged, node, set(gone), owned)
    unchanged = wanted == previous.paths and same(merged, live)
    managers[me] = Manager(config.get("apiVersion", ""), previous.time if unchanged else now, wanted)
    return write_managers(merged, managers)


def track(
    old: Document,
    new: Document,
    manager: str,
    operation: str,
    now: str,
    schema: Schema,
    subresource: str | None = None,
) -> Document:
    """Return `new` with its managers after a write that is no apply: what it changed is the writer's alone.

    Nothing is tracked in objects that nobody applied.
    """
    managers = _managers_claimed(old, new)
    if not has_applier(managers):
        return write_managers(new, {})
    before, after = _owned_fields(old, schema.document), _owned_fields(new, schema.document)
    changed, removed = _changed(before, after), _removed(before, after)
    if changed or removed:
        me = ManagerId(manager, operation, subresource or "")
        mine = managers.get(me, Manager("", ""))
        managers = {who: theirs.without(changed | removed) for who, theirs in managers.items()}
        managers[me] = Manager(new.get("apiVersion", ""), now, (mine.paths | changed) - removed)
    return write_managers(new, managers)


def _writable(config: Document) -> Document:
    metadata = {key: value for key, value in config.get("metadata", {}).items() if key not in _SERVER_WRITES}
    return {**config, "metadata": metadata}


def _owned_fields(doc: Document, node: Node) -> Fields:
    return {path: value for path, value in fields_of(doc, node).items() if path and path[:2] not in _UNOWNED}


def _changed(before: Fields, after: Fields) -> set[FieldPath]:
    return {path for path, value in after.items() if path not in before or not same(before[path], value)}


def _removed(before: Fields, after: Fields) -> set[FieldPath]:
    """Return the fields that are gone; an empty object that has got members is still there."""
    return before.keys() - after.keys() - prefixes(after)


def _managers_before(live: Document | None, node: Node, now: str) -> Managers:
    if live is None:
        return {}
    managers = read_managers(live)
    if managers:
        return managers
    everything = Manager(live.get("apiVersion", ""), now, frozenset(_owned_fields(live, node)))
    return {ManagerId(BEFORE_FIRST_APPLY, "Update"): everything}


def _managers_claimed(old: Document, new: Document) -> Managers:
    """Clients send managers back as they read them, move them (kubectl's migration), or reset them by ``[{}]``."""
    claimed = new.get("metadata", {}).get("managedFields")
    return read_managers(old) if not claimed else read_managers(new)


def _refuse_conflicts(managers: Managers, me: ManagerId, changed: set[FieldPath], allowed: set[FieldPath]) -> None:
    conflicts = [
        Conflict(_describe(who, managers[who]), show_field(path))
        for who in sorted(managers.keys() - {me})
        for path in sorted((managers[who].paths & changed) - allowed)
    ]
    if conflicts:
        raise ApplyConflicts(conflicts)


def _surely_ours(live: Document | None, manager: str, schema: Schema) -> set[FieldPath]:
    """Return what kubectl set by client-side apply, before its user moved to server-side apply: it may go on."""
    annotation = ((live or {}).get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    if manager != "kubectl" or not annotation:
        return set()
    try:
        applied = json.loads(annotation)
    except ValueError:
        return set()
    fields = {*_owned_fields(applied, schema.document)} if isinstance(applied, dict) else set()
    return fields | {("f:metadata", "f:annotations", f"f:{LAST_APPLIED}")}


def _describe(who: ManagerId, manager: Manager) -> str:
    text = json.dumps(who.name)
    if who.subresource:
        text += f" with subresource {json.dumps(who.subresource)}"
    if who.operation != "Update":
        return text
    return f"{text} using {manager.api_version}" + (f" at {manager.time}" if manager.time else "")


def _conflict_message(conflicts: list[Conflict]) -> str:
    if len(conflicts) == 1:
        return f"Apply failed with 1 conflict: conflict with {conflicts[0].manager}: {conflicts[0].field}"
    by_manager: dict[str, list[str]] = {}
    for conflict in conflicts:
        by_manager.setdefault(conflict.manager, []).append(conflict.field)
    lines = [f"conflicts with {manager}:\n- " + "\n- ".join(fields) for manager, fields in by_manager.items()]
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
