"""Whether a CRD's schema can be used: the rules of structural schemas, in Kubernetes' words.

A schema that passes here compiles; one that does not is refused before it is stored.
"""

import re
from collections.abc import Iterator
from typing import Any

from tako.api.formats import compile_pattern
from tako.api.jsonpath import PathInvalid, compile_path
from tako.api.patch import Json
from tako.api.schema import Schema
from tako.model import faults
from tako.model.errors import FieldError

Node = dict[str, Any]

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES = ("atomic", "set", "map")
_NUMBERS = (
    *("minimum", "maximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "maxProperties"),
)
_FORBIDDEN = {
    "$ref": "$ref is not supported",
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "patternProperties": "patternProperties is not supported",
    "id": "id is not supported",
}


def schema_faults(schema: Json, field: str) -> list[FieldError]:
    """Return why the `openAPIV3Schema` found at `field` cannot be used."""
    found = list(_node_faults(schema, field, required_type=True))
    if not found and schema["type"] != "object":
        found.append(faults.invalid(f"{field}.type", schema["type"], "must be object at the root"))
    return found or list(_default_faults(schema, field))


def column_faults(columns: list[Node], field: str) -> list[FieldError]:
    """Return which of `additionalPrinterColumns` cannot be shown."""
    found = []
    for index, column in enumerate(columns):
        try:
            compile_path(column["jsonPath"])
        except PathInvalid as error:
            found.append(faults.invalid(f"{field}[{index}].jsonPath", column["jsonPath"], str(error)))
    return found


def _node_faults(node: Json, field: str, *, required_type: bool) -> Iterator[FieldError]:
    if not isinstance(node, dict):
        yield faults.wrong_type(field, node, "object")
        return
    for keyword, rule in _FORBIDDEN.items():
        if node.get(keyword) and keyword in node:
            yield faults.forbidden(f"{field}.{keyword}", rule)
    yield from _type_faults(node, field, required_type)
    yield from _keyword_faults(node, field)
    yield from _list_faults(node, field)
    yield from _below(node, field)


def _type_faults(node: Node, field: str, required_type: bool) -> Iterator[FieldError]:
    # These two say themselves what the value may be.
    free = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
    if "type" not in node:
        if required_type and not free:
            yield faults.required(f"{field}.type", "must not be empty for specified object fields")
    elif node["type"] not in _TYPES:
        yield faults.not_supported(f"{field}.type", node["type"], _TYPES)


def _keyword_faults(node: Node, field: str) -> Iterator[FieldError]:
    if "pattern" in node and (fault := _pattern_fault(node["pattern"])):
        yield faults.invalid(f"{field}.pattern", node["pattern"], fault)
    if "enum" in node and not isinstance(node["enum"], list):
        yield faults.wrong_type(f"{field}.enum", node["enum"], "array")
    if not _is_list_of(node.get("required", []), str):
        yield faults.invalid(f"{field}.required", node["required"], "must be a list of names")
    for keyword in _NUMBERS:
        value = node.get(keyword, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield faults.wrong_type(f"{field}.{keyword}", value, "number")
    if node.get("properties") and node.get("additionalProperties") is not None:
        yield faults.forbidden(f"{field}.additionalProperties", "must not be used together with properties")
    elif node.get("additionalProperties") is False:
        yield faults.forbidden(f"{field}.additionalProperties", "must not be false")


def _pattern_fault(pattern: Json) -> str | None:
    if not isinstance(pattern, str):
        return "must be a regular expression"
    try:
        compile_pattern(pattern)
    except re.error as error:
        return f"must be a regular expression that can be used here: {error}"
    return None


def _list_faults(node: Node, field: str) -> Iterator[FieldError]:
    if node.get("uniqueItems"):
        yield faults.forbidden(f"{field}.uniqueItems", "use x-kubernetes-list-type: set instead")
    if node.get("type") == "array" and "items" not in node:
        yield faults.required(f"{field}.items", "must be specified")
    list_type = node.get("x-kubernetes-list-type")
    if list_type is None:
        return
    if list_type not in _LIST_TYPES:
        yield faults.not_supported(f"{field}.x-kubernetes-list-type", list_type, _LIST_TYPES)
    if node.get("type") != "array":
        yield faults.invalid(f"{field}.type", node.get("type"), "must be array if x-kubernetes-list-type is specified")
    keys = node.get("x-kubernetes-list-map-keys")
    if list_type == "map" and not (keys and _is_list_of(keys, str)):
        rule = "must not be empty if x-kubernetes-list-type is map"
        yield faults.required(f"{field}.x-kubernetes-list-map-keys", rule)


def _is_list_of(value: Json, type_: type) -> bool:
    return isinstance(value, list) and all(isinstance(item, type_) for item in value)


def _below(node: Node, field: str) -> Iterator[FieldError]:
    properties = node.get("properties", {})
    if not isinstance(properties, dict):
        yield faults.wrong_type(f"{field}.properties", properties, "object")
        return
    for name, member in properties.items():
        yield from _node_faults(member, f"{field}.properties[{name}]", required_type=True)
    if "items" in node:
        yield from _node_faults(node["items"], f"{field}.items", required_type=True)
    if not isinstance(node.get("additionalProperties", True), bool):
        yield from _node_faults(node["additionalProperties"], f"{field}.additionalProperties", required_type=True)
    for keyword in ("allOf", "anyOf", "oneOf"):
        parts = node.get(keyword, [])
        if not isinstance(parts, list):
            yield faults.wrong_type(f"{field}.{keyword}", parts, "array")
            continue
        for index, part in enumerate(parts):
            yield from _node_faults(part, f"{field}.{keyword}[{index}]", required_type=False)
    if "not" in node:
        yield from _node_faults(node["not"], f"{field}.not", required_type=False)


def _default_faults(node: Node, field: str) -> Iterator[FieldError]:
    """A default must be valid itself, or every document that relies on it would be refused."""
    if node.get("default") is not None:
        schema = Schema({"type": "object", "properties": {"default": {**node, "default": None}}})
        for fault in schema.validate(schema.default({"default": node["default"]})):
            yield faults.invalid(f"{field}.{fault.field}", node["default"], fault.message)
    for name, member in node.get("properties", {}).items():
        yield from _default_faults(member, f"{field}.properties[{name}]")
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield from _default_faults(node[keyword], f"{field}.{keyword}")
