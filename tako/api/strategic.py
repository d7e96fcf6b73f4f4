"""Strategic merge patches, for the built-in kinds only: Kubernetes refuses them for custom resources, and so do we.

Differs from a JSON merge patch in lists: those named here merge, by value or by a key, and directives steer it.
Pure; the document given is never changed.
"""

from typing import Any

from tako.api.patch import Document, Json, PatchInvalid

Path = tuple[str, ...]

# Lists of the built-in kinds that merge: the key that identifies an element, or None for lists of plain values.
_MERGE_KEYS: dict[Path, str | None] = {
    ("metadata", "finalizers"): None,
    ("metadata", "ownerReferences"): "uid",
    ("secrets",): "name",
    ("imagePullSecrets",): "name",
    ("status", "conditions"): "type",
}
_ORDER, _DELETE, _DIRECTIVE, _RETAIN = "$setElementOrder/", "$deleteFromPrimitiveList/", "$patch", "$retainKeys"


def strategic_merge(doc: Document, patch: Document) -> Document:
    """Apply a strategic merge patch with its directives `$patch`, `$retainKeys`, `$setElementOrder`, `$deleteFrom…`."""
    if not isinstance(patch, dict):
        raise PatchInvalid("a strategic merge patch must be an object", 400)
    return _merge(doc, patch, ())


def _merge(doc: Json, patch: Document, path: Path) -> Document:
    if patch.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    if patch.get(_DIRECTIVE) == "delete":
        return {}
    merged = dict(doc) if isinstance(doc, dict) else {}
    if _RETAIN in patch:
        merged = {key: value for key, value in merged.items() if key in patch[_RETAIN]}
    for key, value in patch.items():
        if not key.startswith("$"):
            _merge_member(merged, key, value, (*path, key))
    for key, value in patch.items():
        _apply_directive(merged, key, value, path)
    return merged


def _merge_member(merged: Document, key: str, value: Json, path: Path) -> None:
    if value is None:
        merged.pop(key, None)
    elif isinstance(value, dict):
        merged[key] = _merge(merged.get(key), value, path)
    elif isinstance(value, list) and path in _MERGE_KEYS:
        merged[key] = _merge_list(merged.get(key) or [], value, _MERGE_KEYS[path], path)
    else:
        merged[key] = value


def _merge_list(old: list[Json], patch: list[Json], key: str | None, path: Path) -> list[Json]:
    if key is None:
        return old + [value for value in dict.fromkeys(patch) if value not in old]
    if any(isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" for item in patch):
        return [item for item in patch if _DIRECTIVE not in item]
    merged = {item[key]: item for item in old}
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise PatchInvalid(f"{'.'.join(path)}: an element of the patch does not contain its merge key {key!r}", 400)
        if item.get(_DIRECTIVE) == "delete":
            merged.pop(item[key], None)
        else:
            merged[item[key]] = _merge(merged.get(item[key]), item, path)
    return list(merged.values())


def _apply_directive(merged: Document, directive: str, value: Json, path: Path) -> None:
    if directive.startswith(_DELETE):
        field = directive.removeprefix(_DELETE)
        merged[field] = [item for item in merged.get(field) or [] if item not in value]
    elif directive.startswith(_ORDER):
        field = directive.removeprefix(_ORDER)
        if isinstance(merged.get(field), list):
            merged[field] = _ordered(merged[field], value, _MERGE_KEYS.get((*path, field)))


def _ordered(items: list[Json], order: list[Any], key: str | None) -> list[Json]:
    """Put `items` into the patch's order; those it does not name stay behind, in the order they had."""
    place = {(wanted[key] if key else wanted): index for index, wanted in enumerate(order)}
    return sorted(items, key=lambda item: place.get(item[key] if key else item, len(place)))
