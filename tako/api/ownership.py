"""Who set which field: what a write means for the managers of a document, in the words of the API."""

from datetime import datetime
from typing import Any

from tako.api.apply import ApplyConflicts, apply, track
from tako.api.errors import ApiError
from tako.api.lifecycle import rfc3339
from tako.api.options import Options
from tako.api.registry import Resource

Document = dict[str, Any]
_IDENTITY = ("apiVersion", "kind", "metadata")


def applied(live: Document | None, config: Document, resource: Resource, options: Options, now: datetime) -> Document:
    """Return `live` with what `config` wants; raises 409 naming whose fields it would take."""
    part = options.subresource or ""
    wanted = _applicable(config, resource, part)
    try:
        return apply(live, wanted, options.manager, options.force, resource.schema, rfc3339(now), part)
    except ApplyConflicts as conflicts:
        raise ApiError(409, "Conflict", str(conflicts), {"causes": conflicts.causes}) from conflicts


def created_by_client(doc: Document) -> Document:
    """Drop what a client claims about managers: nobody has applied the document yet."""
    metadata = {key: value for key, value in doc["metadata"].items() if key != "managedFields"}
    return {**doc, "metadata": metadata}


def tracked(old: Document, new: Document, resource: Resource, options: Options, now: datetime) -> Document:
    """Return `new` with its managers. Costs nothing for documents that nobody applies server-side."""
    if "managedFields" not in old["metadata"] and "managedFields" not in new["metadata"]:
        return new
    return track(old, new, options.manager, "Update", rfc3339(now), resource.schema, options.subresource or "")


def _applicable(config: Document, resource: Resource, part: str) -> Document:
    """Return of `config` what may be written by this request."""
    if part == "status":
        return {key: value for key, value in config.items() if key in (*_IDENTITY, "status")}
    if resource.has_status:
        return {key: value for key, value in config.items() if key != "status"}
    return config
