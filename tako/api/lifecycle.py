"""What the server decides about a document's metadata when it is made, changed or marked for deletion.

Pure: old document and proposed one in, complete document out. The resourceVersion is set by whoever stores it.
"""

import secrets
import uuid
from datetime import UTC, datetime
from typing import Any

from tako.api.errors import ApiError, bad_request, changed_meanwhile, conflict
from tako.api.patch import same
from tako.api.registry import Resource

Document = dict[str, Any]
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
# Kubernetes leaves out what could be read as another character or make a word.
_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_NULLABLE = ("labels", "annotations", "ownerReferences", "finalizers", "creationTimestamp", "deletionTimestamp")
_BY_SERVER = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def normalized(doc: Any, resource: Resource, namespace: str, name: str | None) -> Document:
    """Return the document with the type and place its path says, or raise 400 where it says otherwise."""
    if not isinstance(doc, dict) or not isinstance(doc.get("metadata", {}), dict | None):
        raise bad_request("the body must be an object with an object as its metadata")
    _match(doc.get("apiVersion"), resource.api_version, "apiVersion")
    _match(doc.get("kind"), resource.kind, "kind")
    metadata = {key: value for key, value in (doc.get("metadata") or {}).items() if value is not None}
    _match(metadata.get("namespace"), namespace, "metadata.namespace")
    if namespace:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    if name is not None:
        _match(metadata.get("name"), name, "metadata.name")
        metadata["name"] = name
    elif not metadata.get("name"):
        metadata["name"] = _generated_name(metadata)
    rest = {key: value for key, value in doc.items() if key not in ("apiVersion", "kind", "metadata")}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **rest}


def created(doc: Document, resource: Resource, now: datetime) -> Document:
    """Complete a new document."""
    metadata = {key: value for key, value in doc["metadata"].items() if key not in _BY_SERVER}
    metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": rfc3339(now)}
    if resource.group:
        metadata["generation"] = 1
    complete = {**doc, "metadata": _without_empty(metadata)}
    if resource.has_status and resource.is_custom:
        complete.pop("status", None)
    return complete


def updated(old: Document, new: Document, resource: Resource, subresource: str | None) -> Document:
    """Complete a changed document; equal to `old` when nothing changes."""
    group_resource, name = resource.group_resource, old["metadata"]["name"]
    claimed = new["metadata"].get("resourceVersion")
    if claimed and claimed != old["metadata"]["resourceVersion"]:
        raise changed_meanwhile(group_resource, name)
    if new["metadata"].get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
        fault = f"Precondition failed: UID in precondition: {new['metadata']['uid']}, "
        raise conflict(group_resource, name, f"{fault}UID in object meta: {old['metadata']['uid']}")
    if subresource == "status":
        complete = {key: value for key, value in old.items() if key not in ("status", "metadata")}
        complete["metadata"] = _with_managers(old["metadata"], new["metadata"])
        return {**complete, "status": new["status"]} if "status" in new else complete
    return _main_update(old, new, resource)


def marked_for_deletion(doc: Document, now: datetime, finalizer: str | None) -> Document:
    """Return the document as one that goes once its finalizers are done."""
    metadata = dict(doc["metadata"])
    if finalizer and finalizer not in metadata.get("finalizers", ()):
        metadata["finalizers"] = [*metadata.get("finalizers", ()), finalizer]
    if "deletionTimestamp" not in metadata:
        metadata |= {"deletionTimestamp": rfc3339(now), "deletionGracePeriodSeconds": 0}
        if "generation" in metadata:
            metadata["generation"] += 1
    return {**doc, "metadata": metadata}


def same_content(old: Document, new: Document) -> bool:
    """Tell whether storing `new` over `old` would change anything but its resourceVersion."""
    return same(_comparable(old), _comparable(new))


def _main_update(old: Document, new: Document, resource: Resource) -> Document:
    metadata = {key: value for key, value in new["metadata"].items() if key not in _BY_SERVER}
    metadata |= {key: old["metadata"][key] for key in _BY_SERVER if key in old["metadata"]}
    if "generateName" in old["metadata"]:
        metadata["generateName"] = old["metadata"]["generateName"]
    if "deletionTimestamp" in old["metadata"]:
        _refuse_new_finalizers(old["metadata"], metadata, resource)
    complete = {**new, "metadata": _without_empty(metadata)}
    if resource.has_status:
        complete.pop("status", None)
        if "status" in old:
            complete["status"] = old["status"]
    if "generation" in metadata and not same(_content(old, resource), _content(complete, resource)):
        metadata_with_generation = {**complete["metadata"], "generation": metadata["generation"] + 1}
        complete["metadata"] = metadata_with_generation
    return complete


def _refuse_new_finalizers(old: Document, new: Document, resource: Resource) -> None:
    added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
    if added:
        raise ApiError(
            422,
            "Invalid",
            f'{resource.kind} "{old["name"]}" is invalid: metadata.finalizers: Forbidden: no new finalizers can be '
            f"added if the object is being deleted, found new finalizers {json_list(added)}",
        )


def json_list(values: list[str]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"


def _content(doc: Document, resource: Resource) -> Document:
    """Return what the generation counts the changes of."""
    left_out = ("metadata", "status") if resource.has_status else ("metadata",)
    return {key: value for key, value in doc.items() if key not in left_out}


def _with_managers(old: Document, new: Document) -> Document:
    if new.get("managedFields") is None:
        return dict(old)
    return {**old, "managedFields": new["managedFields"]}


def _without_empty(metadata: Document) -> Document:
    return {key: value for key, value in metadata.items() if value or key not in _NULLABLE}


def _comparable(doc: Document) -> Document:
    metadata = dict(doc["metadata"])
    metadata.pop("resourceVersion", None)
    if "managedFields" in metadata:
        # The time of a manager's entry alone is no change.
        metadata["managedFields"] = [
            {key: value for key, value in entry.items() if key != "time"} for entry in metadata["managedFields"]
        ]
    return {**doc, "metadata": metadata}


def _match(given: Any, expected: str, field: str) -> None:
    if given and given != expected:
        raise bad_request(f"the {field} of the object ({given}) does not match the one of the request ({expected})")


def _generated_name(metadata: Document) -> str:
    prefix = metadata.get("generateName")
    if not prefix:
        raise bad_request("resource name may not be empty: metadata.name or metadata.generateName is required")
    return str(prefix)[:58] + "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(5))
