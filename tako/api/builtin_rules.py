"""What the built-in kinds demand and complete beyond their schemas. Pure."""

import base64
from collections.abc import Callable
from typing import Any

from tako.api.builtin import NAMESPACES
from tako.api.registry import CRDS
from tako.api.structural import column_faults, schema_faults
from tako.model.errors import FieldError

Document = dict[str, Any]
CRD_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
NAMESPACE_FINALIZER = "kubernetes"


def complete(group_resource: str, doc: Document, old: Document | None, now: str) -> Document:
    """Return `doc` with what the server adds for its kind."""
    rule = _COMPLETE.get(group_resource)
    return rule(doc, old, now) if rule else doc


def faults(group_resource: str, doc: Document) -> list[FieldError]:
    """Return what a kind's own rules have against `doc`, which matches its schema."""
    rule = _FAULTS.get(group_resource)
    return rule(doc) if rule else []


def new_namespace(name: str) -> Document:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _complete_namespace(doc: Document, old: Document | None, now: str) -> Document:
    name = doc["metadata"]["name"]
    labels = {**(doc["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": name}
    deleting = "deletionTimestamp" in doc["metadata"]
    finalizers = (old or {}).get("spec", {}).get("finalizers", [NAMESPACE_FINALIZER])
    return {
        **doc,
        "metadata": {**doc["metadata"], "labels": labels},
        "spec": {"finalizers": finalizers},
        "status": {**(doc.get("status") or {}), "phase": "Terminating" if deleting else "Active"},
    }


def _complete_secret(doc: Document, old: Document | None, now: str) -> Document:
    rest = {key: value for key, value in doc.items() if key != "stringData"}
    encoded = {
        key: base64.b64encode(value.encode()).decode()
        for key, value in (doc.get("stringData") or {}).items()
        if isinstance(value, str)
    }
    data = {**(doc.get("data") or {}), **encoded}
    return {**rest, **({"data": data} if data else {}), "type": doc.get("type") or "Opaque"}


def _complete_crd(doc: Document, old: Document | None, now: str) -> Document:
    spec = doc.get("spec") or {}
    names = dict(spec.get("names") or {})
    kind = str(names.get("kind", ""))
    names.setdefault("singular", kind.lower())
    names.setdefault("listKind", f"{kind}List")
    metadata = doc["metadata"]
    finalizers = metadata.get("finalizers") or []
    if CRD_CLEANUP not in finalizers and "deletionTimestamp" not in metadata:
        metadata = {**metadata, "finalizers": [*finalizers, CRD_CLEANUP]}
    known = (old or {}).get("status", {})
    conditions = known.get("conditions") or [
        _condition("NamesAccepted", "NoConflicts", "no conflicts found", now),
        _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", now),
    ]
    stored = [v.get("name") for v in spec.get("versions") or () if isinstance(v, dict) and v.get("storage")]
    status = {"acceptedNames": names, "conditions": conditions, "storedVersions": stored}
    spec = {"conversion": {"strategy": "None"}, **spec, "names": names}
    return {**doc, "metadata": metadata, "spec": spec, "status": status}


def _condition(type_: str, reason: str, message: str, now: str) -> Document:
    return {"type": type_, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}


def _namespace_faults(doc: Document) -> list[FieldError]:
    name = doc["metadata"]["name"]
    if len(name) <= 63 and "." not in name:
        return []
    rule = "must be no more than 63 characters" if len(name) > 63 else "a lowercase RFC 1123 label must have no '.'"
    return [FieldError("metadata.name", rule, name)]


def _crd_faults(doc: Document) -> list[FieldError]:
    spec = doc["spec"]
    found = []
    expected = f"{spec['names']['plural']}.{spec['group']}"
    if doc["metadata"]["name"] != expected:
        rule = f'must be spec.names.plural+"."+spec.group ({expected})'
        found.append(FieldError("metadata.name", rule, doc["metadata"]["name"]))
    if sum(1 for version in spec["versions"] if version["storage"]) != 1:
        found.append(
            FieldError(
                "spec.versions", "must have exactly one version marked as storage version", len(spec["versions"])
            )
        )
    for index, version in enumerate(spec["versions"]):
        found += _version_faults(version, f"spec.versions[{index}]")
    if spec.get("conversion", {}).get("strategy") == "Webhook":
        found.append(FieldError("spec.conversion.strategy", 'only "None" is supported here', "Webhook"))
    return found


def _version_faults(version: Document, field: str) -> list[FieldError]:
    """A version that passes can be compiled and served."""
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    columns = column_faults(version.get("additionalPrinterColumns") or [], f"{field}.additionalPrinterColumns")
    field = f"{field}.schema.openAPIV3Schema"
    if not schema:
        return [*columns, FieldError(field, "schemas are required", None, "FieldValueRequired")]
    return [*columns, *schema_faults(schema, field)]


_COMPLETE: dict[str, Callable[[Document, Document | None, str], Document]] = {
    NAMESPACES: _complete_namespace,
    "secrets": _complete_secret,
    CRDS: _complete_crd,
}
_FAULTS: dict[str, Callable[[Document], list[FieldError]]] = {NAMESPACES: _namespace_faults, CRDS: _crd_faults}
