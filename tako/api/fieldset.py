"""Fields of a document as server-side apply counts them: which there are, merging by them, taking some away.

A path is a tuple of FieldsV1 elements: ``f:name`` a member, ``k:{"type":"Ready"}`` an element of a map list by its
keys, ``v:"a"`` a value of a set. What the schema calls atomic is one field, and so is a list that it calls neither
set nor map.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

Json = Any
Node = dict[str, Any]
FieldPath = tuple[str, ...]
Fields = dict[FieldPath, Json]

# Stands for "is there" where a field has fields below it that have the values.
PRESENT = "<present>"
_ATOMIC: Node = {"x-kubernetes-map-type": "atomic"}


class Part(NamedTuple):
    """One thing inside a container; `counts` tells whether its being there is a field of its own."""

    element: str
    value: Json
    node: Node
    counts: bool


def fields_of(value: Json, node: Node) -> Fields:
    """Return every field of a value with what stands there."""
    found: Fields = {}
    _collect(value, node, (), found)
    return found


def merge_fields(live: Json, config: Json, node: Node) -> Json:
    """Return `live` with every field of `config`; lists get its order, foreign elements keep their neighbours."""
    theirs, ours = _parts(live, node), _parts(config, node)
    if theirs is None or ours is None or type(live) is not type(config):
        return config
    merged = {part.element: part.value for part in theirs}
    for part in ours:
        known = part.element in merged
        merged[part.element] = merge_fields(merged[part.element], part.value, part.node) if known else part.value
    if isinstance(config, dict):
        return _rebuilt(merged)
    order = _interleaved([part.element for part in theirs], [part.element for part in ours])
    return [merged[element] for element in order]


def without_fields(value: Json, node: Node, gone: set[FieldPath], kept: set[FieldPath], path: FieldPath = ()) -> Json:
    """Return a value without the fields `gone`, nor what becomes empty by that unless it is in `kept`."""
    parts = _parts(value, node) if gone else None
    if parts is None:
        return value
    remaining = {}
    for part in parts:
        below = (*path, part.element)
        if below in gone:
            continue
        left = without_fields(part.value, part.node, gone - _keys_of(part, below), kept, below)
        if left or below in kept or left == part.value:
            remaining[part.element] = left
    return _rebuilt(remaining) if isinstance(value, dict) else list(remaining.values())


def encode_fields(paths: Iterable[FieldPath]) -> Json:
    """Write paths as FieldsV1; a field that has fields below it is marked with ``.``."""
    root: dict[str, Any] = {}
    for path in sorted(paths):
        node = root
        for element in path:
            node = node.setdefault(element, {})
        node["."] = {}
    return _unmarked(root)


def decode_fields(encoded: Json) -> set[FieldPath]:
    """Read FieldsV1."""
    return set(_decoded(encoded, ())) - {()}


def show_field(path: FieldPath) -> str:
    """Write a path as Kubernetes' conflicts name it: ``.status.conditions[type="Ready"].status``."""
    return "".join(_show_element(element) for element in path)


def prefixes(paths: Iterable[FieldPath]) -> set[FieldPath]:
    """Return every path above these."""
    return {path[:length] for path in paths for length in range(1, len(path))}


def _collect(value: Json, node: Node, path: FieldPath, found: Fields) -> None:
    parts = _parts(value, node)
    if not parts:
        found[path] = value
        return
    for part in parts:
        below = (*path, part.element)
        if part.counts:
            found[below] = PRESENT
        _collect(part.value, part.node, below, found)


def _parts(value: Json, node: Node) -> list[Part] | None:
    """Return what a container holds, or None when the value is one field."""
    if node.get("x-kubernetes-map-type") == "atomic":
        return None
    if isinstance(value, dict):
        members = node.get("properties", {})
        rest = node.get("additionalProperties")
        rest = rest if isinstance(rest, dict) else {}
        declared = bool(members) or not rest
        return [Part(f"f:{key}", item, members.get(key, rest), not declared) for key, item in value.items()]
    if isinstance(value, list):
        list_type = node.get("x-kubernetes-list-type")
        if list_type == "set":
            return [Part(f"v:{_compact(item)}", item, _ATOMIC, True) for item in value]
        if list_type == "map":
            keys = node["x-kubernetes-list-map-keys"]
            items = node.get("items", {})
            return [Part(f"k:{_key_of(item, keys, items)}", item, items, True) for item in value]
    return None


def _key_of(item: Json, keys: list[str], items: Node) -> str:
    """Identify an element of a map list; a key that is not given has its default."""
    given = item if isinstance(item, dict) else {}
    defaults = items.get("properties", {})
    return _compact({key: given.get(key, defaults.get(key, {}).get("default")) for key in keys})


def _keys_of(part: Part, path: FieldPath) -> set[FieldPath]:
    """Return the fields that identify an element: as long as it stays, they do."""
    if not part.element.startswith("k:"):
        return set()
    return {(*path, f"f:{key}") for key in json.loads(part.element[2:])}


def _rebuilt(members: dict[str, Json]) -> dict[str, Any]:
    return {element[2:]: value for element, value in members.items()}


def _interleaved(theirs: list[str], ours: list[str]) -> list[str]:
    """Order elements as `ours`; each of only `theirs` follows the one it followed."""
    order = list(dict.fromkeys(ours))
    for index, element in enumerate(theirs):
        if element not in order:
            order.insert(order.index(theirs[index - 1]) + 1 if index else 0, element)
    return order


def _unmarked(node: dict[str, Any]) -> dict[str, Any]:
    """Leave out the mark where nothing is below: there it goes without saying."""
    if node.keys() == {"."}:
        return {}
    return {element: _unmarked(below) if element != "." else {} for element, below in node.items()}


def _decoded(node: Json, path: FieldPath) -> Iterator[FieldPath]:
    if not node or not isinstance(node, dict):
        yield path
        return
    for element, below in node.items():
        if element == ".":
            yield path
        else:
            yield from _decoded(below, (*path, element))


def _show_element(element: str) -> str:
    kind, text = element[0], element[2:]
    if kind == "f":
        return f".{text}"
    if kind == "k":
        return "[" + ",".join(f"{key}={_compact(value)}" for key, value in json.loads(text).items()) + "]"
    return f"[={text}]"


def _compact(value: Json) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
