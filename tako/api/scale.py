"""The scale subresource: one number of a document, in the form every scaler knows. Pure."""

from typing import Any

from tako.api.errors import bad_request
from tako.api.registry import Resource, ScalePaths

Document = dict[str, Any]


def scale_of(doc: Document, paths: ScalePaths) -> Document:
    """Return the Scale of a document."""
    metadata = doc["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: Document = {"replicas": _look(doc, paths.status_replicas) or 0}
    selector = _look(doc, paths.selector) if paths.selector else None
    if selector:
        status["selector"] = selector
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": _look(doc, paths.spec_replicas) or 0},
        "status": status,
    }


def with_scale(doc: Document, scale: Any, resource: Resource) -> Document:
    """Return the document scaled as `scale` wants; a resourceVersion in it must be the document's."""
    assert resource.scale is not None
    replicas = (scale.get("spec") or {}).get("replicas", 0) if isinstance(scale, dict) else None
    if not isinstance(replicas, int) or isinstance(replicas, bool) or replicas < 0:
        raise bad_request(f"spec.replicas must be a number that is not negative, is {replicas!r}")
    revision = (scale.get("metadata") or {}).get("resourceVersion")
    changed = _put(doc, resource.scale.spec_replicas, replicas)
    if revision:
        changed = {**changed, "metadata": {**changed["metadata"], "resourceVersion": revision}}
    return changed


def _look(doc: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        doc = doc.get(part) if isinstance(doc, dict) else None
    return doc


def _put(doc: Document, path: tuple[str, ...], value: Any) -> Document:
    if len(path) == 1:
        return {**doc, path[0]: value}
    return {**doc, path[0]: _put(doc.get(path[0]) or {}, path[1:], value)}
