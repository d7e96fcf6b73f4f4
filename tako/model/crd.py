"""CustomResourceDefinitions of our kinds, derived from their models.

Structural schemas as a real cluster demands them: nothing referenced, nothing nullable, every list with its type.
Pure; `crds/generate.py` writes the files.
"""

import sys
from typing import Any

from pydantic import BaseModel

from tako.model.kinds import GROUP, VERSION, Column, Kind

Schema = dict[str, Any]

_AGE = Column("Age", ".metadata.creationTimestamp", type="date")
# Members of pydantic's schema that mean the same to Kubernetes.
_KEPT = (
    *("description", "type", "format", "default", "enum", "pattern", "minimum", "maximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-int-or-string"),
)
_FORMATS = {"integer": "int64", "number": "double"}


def custom_resource_definition(kind: Kind) -> dict[str, Any]:
    """Return the CustomResourceDefinition of `kind`, as `kubectl apply` takes it."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.group_resource},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.singular,
                "shortNames": list(kind.short_names),
                "categories": list(kind.categories),
            },
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [_version(kind)],
        },
    }


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the structural schema of a pydantic model, camelCase as on the wire."""
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, schema.get("$defs", {}))


def _version(kind: Kind) -> dict[str, Any]:
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _document_schema(kind)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in _columns(kind)],
    }
    if kind.scale:
        paths = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")
        version["subresources"]["scale"] = dict(zip(paths, kind.scale, strict=True))
    if kind.selectable_fields:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable_fields]
    return version


def _document_schema(kind: Kind) -> Schema:
    spec = structural_schema(kind.spec)
    schema: Schema = {
        "description": (sys.modules[kind.spec.__module__].__doc__ or "").strip(),
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": structural_schema(kind.status),
        },
    }
    if spec.get("required"):
        schema["required"] = ["spec"]
    return schema


def _columns(kind: Kind) -> list[Column]:
    """Age ends what is always shown, as kubectl's readers are used to."""
    return [*(c for c in kind.columns if c.priority == 0), _AGE, *(c for c in kind.columns if c.priority)]


def _column(column: Column) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    return {**shown, "priority": column.priority} if column.priority else shown


def _structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    node = _inlined(_without_null(node), definitions)
    schema = {key: node[key] for key in _KEPT if key in node and node[key] is not None}
    if schema.get("type") in _FORMATS:
        schema.setdefault("format", _FORMATS[schema["type"]])
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if exclusive in node:  # a number to JSON Schema, a flag beside the bound to OpenAPI 3.0
            schema |= {bound: node[exclusive], exclusive: True}
    if schema.get("type") == "array":
        schema["items"] = _structural(node["items"], definitions)
        schema.setdefault("x-kubernetes-list-type", "atomic")
    if schema.get("type") == "object":
        schema |= _members(node, definitions)
    return schema


def _members(node: Schema, definitions: dict[str, Schema]) -> Schema:
    if "properties" not in node:
        values = node.get("additionalProperties")
        return {"additionalProperties": _structural(values, definitions)} if isinstance(values, dict) else {}
    properties = {name: _structural(member, definitions) for name, member in node["properties"].items()}
    required = node.get("required", [])
    for name, member in properties.items():
        # A part that is always there, by a factory, needs a default of its own: those inside it come into force only
        # when it is there. An optional part has the default null.
        if name not in required and "default" not in node["properties"][name] and _has_defaults(member):
            member["default"] = {}
    return {"properties": properties, **({"required": required} if required else {})}


def _has_defaults(schema: Schema) -> bool:
    """Tell whether an object whose members are all optional has a default among them."""
    members = schema.get("properties", {})
    return not schema.get("required") and any("default" in member for member in members.values())


def _inlined(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Replace a reference by what it names; what stands beside the reference wins."""
    if "$ref" not in node:
        return node
    target = definitions[node["$ref"].rpartition("/")[2]]
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


def _without_null(node: Schema) -> Schema:
    """Turn ``X | None`` into X: on the wire what is not there is left out."""
    if "anyOf" not in node:
        return node
    (only,) = [choice for choice in node["anyOf"] if choice.get("type") != "null"]
    return {**only, **{key: value for key, value in node.items() if key != "anyOf"}}
