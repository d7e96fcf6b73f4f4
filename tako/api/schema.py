"""Structural schemas: what is kept of a document, what is added to it.

A schema is compiled to closures once, when its CRD arrives, because every write runs them. What is wrong with a
document is found by :mod:`tako.api.validation`. Documents are never changed in place; results share what stayed.
"""

from collections.abc import Callable
from typing import Any

from tako.api.objectmeta import OBJECT_META
from tako.api.patch import Document, Json, clone
from tako.api.validation import Path, compile_check, show_path
from tako.model.errors import FieldError

Node = dict[str, Any]
Prune = Callable[[Json, Path, list[str]], Json]
Fill = Callable[[Json], Json]


class Schema:
    """An OpenAPI v3 structural schema of a whole object, metadata included, ready to be run."""

    def __init__(self, document: Node) -> None:
        self.document = _with_object_meta(document)
        self._prune = _compile_prune(self.document)
        self._fill = _compile_fill(self.document)
        self._check = compile_check(self.document)

    def prune(self, doc: Document) -> tuple[Document, list[str]]:
        """Return the document without the fields that the schema does not know, and the paths of those."""
        unknown: list[str] = []
        return (self._prune(doc, (), unknown) if self._prune else doc), unknown

    def default(self, doc: Document) -> Document:
        """Return the document with the schema's defaults where it says nothing, or null."""
        return self._fill(doc) if self._fill else doc

    def validate(self, doc: Document) -> list[FieldError]:
        """Return everything that is wrong with the document."""
        errors: list[FieldError] = []
        if self._check:
            self._check(doc, (), errors)
        return errors


def _with_object_meta(document: Node) -> Node:
    """Put in what Kubernetes knows of every object whatever a CRD says of it."""
    properties = dict(document.get("properties", {}))
    properties["apiVersion"] = {"type": "string", **properties.get("apiVersion", {})}
    properties["kind"] = {"type": "string", **properties.get("kind", {})}
    properties["metadata"] = _object_meta(properties.get("metadata", {}))
    return {**document, "type": "object", "properties": properties}


def _object_meta(declared: Node) -> Node:
    """Take over the only thing a CRD may add: narrower names."""
    members = dict(OBJECT_META["properties"])
    for name in ("name", "generateName"):
        members[name] = {**members[name], **declared.get("properties", {}).get(name, {})}
    return {**OBJECT_META, "properties": members}


def _compile_prune(node: Node) -> Prune | None:
    """Return what prunes a value of this schema; None when there is nothing it could take away."""
    if node.get("x-kubernetes-embedded-resource"):
        node = _with_object_meta({**node, "x-kubernetes-embedded-resource": False})
    if node.get("type") == "array":
        return _prune_items(_compile_prune(node.get("items", {})))
    if node.get("type") != "object":
        return None
    values = node.get("additionalProperties")
    if values is True:
        return None
    if isinstance(values, dict):
        return _prune_values(_compile_prune(values))
    return _prune_members(node)


def _prune_items(inner: Prune | None) -> Prune | None:
    if inner is None:
        return None

    def prune(value: Json, path: Path, unknown: list[str]) -> Json:
        if not isinstance(value, list):
            return value
        return [inner(item, (path, index), unknown) for index, item in enumerate(value)]

    return prune


def _prune_values(inner: Prune | None) -> Prune | None:
    if inner is None:
        return None

    def prune(value: Json, path: Path, unknown: list[str]) -> Json:
        if not isinstance(value, dict):
            return value
        return {key: inner(item, (path, key), unknown) for key, item in value.items()}

    return prune


def _prune_members(node: Node) -> Prune:
    members = {name: _compile_prune(member) for name, member in node.get("properties", {}).items()}
    preserve = bool(node.get("x-kubernetes-preserve-unknown-fields"))

    def prune(value: Json, path: Path, unknown: list[str]) -> Json:
        if not isinstance(value, dict):
            return value
        kept = {}
        for key, item in value.items():
            if key in members:
                inner = members[key]
                kept[key] = inner(item, (path, key), unknown) if inner else item
            elif preserve:
                kept[key] = item
            else:
                unknown.append(show_path((path, key)))
        return kept

    return prune


def _compile_fill(node: Node) -> Fill | None:
    """Return what puts defaults into a value of this schema; None when it has none anywhere."""
    if node.get("type") == "array":
        return _fill_items(_compile_fill(node.get("items", {})))
    if node.get("type") != "object":
        return None
    values = node.get("additionalProperties")
    if isinstance(values, dict):
        return _fill_values(_compile_fill(values))
    return _fill_members(node.get("properties", {}))


def _fill_items(inner: Fill | None) -> Fill | None:
    return inner and (lambda value: [inner(item) for item in value] if isinstance(value, list) else value)


def _fill_values(inner: Fill | None) -> Fill | None:
    return inner and (lambda value: {k: inner(v) for k, v in value.items()} if isinstance(value, dict) else value)


def _fill_members(properties: dict[str, Node]) -> Fill | None:
    fills = {name: inner for name, member in properties.items() if (inner := _compile_fill(member))}
    defaults = {
        # A default is completed by those inside it, once and for all.
        name: (fills[name](member["default"]) if name in fills else member["default"], bool(member.get("nullable")))
        for name, member in properties.items()
        if member.get("default") is not None
    }
    if not fills and not defaults:
        return None

    def fill(value: Json) -> Json:
        if not isinstance(value, dict):
            return value
        filled = dict(value)
        for name, inner in fills.items():
            if name in filled:
                filled[name] = inner(filled[name])
        for name, (default, nullable) in defaults.items():
            # A null that may not be there means "not given"; Kubernetes drops it too before it puts in defaults.
            if name not in filled or (filled[name] is None and not nullable):
                filled[name] = clone(default)
        return filled

    return fill
