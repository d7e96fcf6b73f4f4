"""The metadata every object has: its schema, and the rules that hold for names, labels and owners of any kind."""

import re
from typing import Any

from tako.api.selectors import label_key_fault, label_value_fault
from tako.model import faults
from tako.model.errors import FieldError

_STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
_TIME = {"type": "string", "format": "date-time"}
_OWNER = {
    "type": "object",
    "required": ["apiVersion", "kind", "name", "uid"],
    "properties": {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "name": {"type": "string"},
        "uid": {"type": "string"},
        "controller": {"type": "boolean", "nullable": True},
        "blockOwnerDeletion": {"type": "boolean", "nullable": True},
    },
}
_MANAGED = {
    "type": "object",
    "properties": {
        "manager": {"type": "string"},
        "operation": {"type": "string"},
        "apiVersion": {"type": "string"},
        "time": {**_TIME, "nullable": True},
        "fieldsType": {"type": "string"},
        "fieldsV1": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "subresource": {"type": "string"},
    },
}
# Typed clients write null for times and lists that are not set.
OBJECT_META: dict[str, Any] = {
    "description": "Standard metadata of an object: its name, labels, annotations and owners.",
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Name, unique among objects of its kind in the namespace."},
        "generateName": {"type": "string", "description": "Prefix of a name that the server completes."},
        "namespace": {"type": "string", "description": "Namespace; for Tako the environment."},
        "selfLink": {"type": "string"},
        "uid": {"type": "string", "description": "Identity, never used again."},
        "resourceVersion": {"type": "string", "description": "Changes with every write of the object."},
        "generation": {"type": "integer", "format": "int64", "description": "Changes with every write of the spec."},
        "creationTimestamp": {**_TIME, "nullable": True, "description": "When it was made, RFC 3339."},
        "deletionTimestamp": {**_TIME, "nullable": True, "description": "When its deletion was asked for, RFC 3339."},
        "deletionGracePeriodSeconds": {"type": "integer", "format": "int64", "nullable": True},
        "labels": {**_STRINGS, "nullable": True, "description": "Key and value to select by."},
        "annotations": {**_STRINGS, "nullable": True, "description": "Key and value for tools."},
        "ownerReferences": {
            "type": "array",
            "nullable": True,
            "items": _OWNER,
            "description": "Objects with whose deletion this one goes.",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
        },
        "finalizers": {
            "type": "array",
            "nullable": True,
            "items": {"type": "string"},
            "description": "Who must do something before the object may go.",
            "x-kubernetes-list-type": "set",
        },
        "managedFields": {"type": "array", "nullable": True, "items": _MANAGED, "description": "Who set which field."},
    },
}

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_ANNOTATIONS_LIMIT = 256 * 1024


def metadata_faults(doc: dict[str, Any]) -> list[FieldError]:
    """Check what holds for the metadata of any kind, once its types are known to be right."""
    metadata = doc.get("metadata") or {}
    found = []
    name = metadata.get("name")
    if name is not None and not (len(name) <= 253 and _SUBDOMAIN.fullmatch(name)):
        found.append(faults.invalid("metadata.name", name, _SUBDOMAIN_RULE))
    return found + _label_faults(metadata.get("labels") or {}) + _annotation_faults(metadata.get("annotations") or {})


_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', must start and "
    "end with an alphanumeric character and be no more than 253 characters (e.g. 'example.com')"
)


def _label_faults(labels: dict[str, str]) -> list[FieldError]:
    found = []
    for key, value in labels.items():
        if fault := label_key_fault(key):
            found.append(faults.invalid("metadata.labels", key, fault))
        if fault := label_value_fault(value):
            found.append(faults.invalid("metadata.labels", value, fault))
    return found


def _annotation_faults(annotations: dict[str, str]) -> list[FieldError]:
    found = []
    for key in annotations:
        if fault := label_key_fault(key.lower()):
            found.append(faults.invalid("metadata.annotations", key, fault))
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _ANNOTATIONS_LIMIT:
        message = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes, is {size}"
        found.append(FieldError("metadata.annotations", message, None, "FieldValueTooLong"))
    return found
