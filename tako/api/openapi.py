"""OpenAPI v3 as kubectl reads it: `/openapi/v3` and one document for each group version.

kubectl takes three things from it: the schemas (`explain`), the kind behind a path, and that PATCH knows
`fieldValidation` (without which it falls back to OpenAPI v2, which is not served). Each path says no more.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tako.api.objectmeta import OBJECT_META

Document = dict[str, Any]

_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_PATCH_TYPES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
)
_QUERY = {
    "dryRun": "All: nothing is stored.",
    "fieldManager": "Who is writing.",
    "fieldValidation": "What happens with unknown fields: Ignore, Warn or Strict.",
    "pretty": "Ignored.",
}


@dataclass(frozen=True)
class PublishedKind:
    """A kind as clients are told of it; `schema` is its structural schema."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    schema: Document = field(default_factory=dict)
    subresources: tuple[str, ...] = ()

    @property
    def group_version_path(self) -> str:
        """``api/v1`` or ``apis/tako.sh/v1``: the key under which the document is found."""
        return f"apis/{self.group}/{self.version}" if self.group else f"api/{self.version}"

    @property
    def definition(self) -> str:
        """The name of the schema: the group backwards, as Kubernetes names them."""
        if not self.group:
            return f"io.k8s.api.core.{self.version}.{self.kind}"
        return ".".join([*reversed(self.group.split(".")), self.version, self.kind])

    @property
    def mark(self) -> Document:
        return {"group": self.group, "version": self.version, "kind": self.kind}


def openapi_index(documents: Mapping[str, bytes]) -> Document:
    """Return what `/openapi/v3` answers; keys are paths as in `PublishedKind.group_version_path`.

    The hash in each address lets clients keep a document for as long as it is the same.
    """
    return {
        "paths": {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={hashlib.sha256(body).hexdigest().upper()}"}
            for path, body in sorted(documents.items())
        }
    }


def openapi_documents(kinds: Iterable[PublishedKind], server_version: str) -> dict[str, bytes]:
    """Return the document of every group version, as JSON."""
    groups: dict[str, list[PublishedKind]] = {}
    for kind in kinds:
        groups.setdefault(kind.group_version_path, []).append(kind)
    return {
        path: json.dumps(group_version_document(members, server_version), separators=(",", ":")).encode()
        for path, members in groups.items()
    }


def group_version_document(kinds: Iterable[PublishedKind], server_version: str) -> Document:
    """Return the OpenAPI v3 document of kinds that share a group version."""
    paths: Document = {}
    schemas: Document = {_META: OBJECT_META}
    for kind in kinds:
        paths |= _paths(kind)
        schemas[kind.definition] = _kind_schema(kind)
        schemas[f"{kind.definition}List"] = _list_schema(kind)
    return {
        "openapi": "3.0.0",
        "info": {"title": "Tako", "version": server_version},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _kind_schema(kind: PublishedKind) -> Document:
    properties = dict(kind.schema.get("properties", {}))
    properties["apiVersion"] = {"type": "string", "description": "Group and version of this document's format."}
    properties["kind"] = {"type": "string", "description": "The kind of the document."}
    properties["metadata"] = {
        "description": OBJECT_META["description"],
        "default": {},
        "allOf": [{"$ref": f"#/components/schemas/{_META}"}],
    }
    first = {name: properties.pop(name) for name in ("apiVersion", "kind", "metadata")}
    return {
        **kind.schema,
        "type": "object",
        "properties": {**first, **properties},
        "x-kubernetes-group-version-kind": [kind.mark],
    }


def _list_schema(kind: PublishedKind) -> Document:
    return {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "items": {"type": "array", "items": {"$ref": f"#/components/schemas/{kind.definition}"}},
        },
        "x-kubernetes-group-version-kind": [{**kind.mark, "kind": f"{kind.kind}List"}],
    }


def _paths(kind: PublishedKind) -> Document:
    root = f"/{kind.group_version_path}"
    collection = f"{root}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{root}/{kind.plural}"
    one = f"{collection}/{{name}}"
    paths: Document = {
        collection: _path_item(kind, collection, get="list", post="create", delete="deletecollection"),
        one: _path_item(kind, one, get="get", put="update", patch="patch", delete="delete"),
    }
    if kind.namespaced:
        everywhere = f"{root}/{kind.plural}"
        paths[everywhere] = _path_item(kind, everywhere, get="list")
    for subresource in kind.subresources:
        below = f"{one}/{subresource}"
        paths[below] = _path_item(kind, below, get="get", put="update", patch="patch")
    return paths


def _path_item(kind: PublishedKind, path: str, **verbs: str) -> Document:
    variables = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in ("namespace", "name")
        if f"{{{name}}}" in path
    ]
    item: Document = {method: _operation(kind, method, action) for method, action in verbs.items()}
    return {**item, "parameters": variables} if variables else item


def _operation(kind: PublishedKind, method: str, action: str) -> Document:
    reference = {"$ref": f"#/components/schemas/{kind.definition}{'List' if action == 'list' else ''}"}
    operation: Document = {
        "responses": {"200": {"description": "OK", "content": {"application/json": {"schema": reference}}}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind.mark,
    }
    if method in ("post", "put", "patch"):
        operation["parameters"] = [
            {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
            for name, text in _QUERY.items()
        ]
        body_types = _PATCH_TYPES if method == "patch" else ("application/json", "application/yaml")
        operation["requestBody"] = {"content": {body: {"schema": {"type": "object"}} for body in body_types}}
    return operation
