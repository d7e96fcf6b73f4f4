"""What is wrong with a document by its schema, in the words of Kubernetes' own validation.

`compile_check` turns a schema into one closure; a path is a linked pair that becomes text only for a fault.
"""

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from tako.api.formats import INTEGER_RANGES, STRING_FORMATS, compile_pattern
from tako.api.patch import Json, same
from tako.model import faults
from tako.model.errors import FieldError

Node = dict[str, Any]
Path = tuple[Any, ...]  # () at the root, else (path of the parent, key or index)
Check = Callable[[Json, Path, list[FieldError]], None]


def show_path(path: Path) -> str:
    """Write a path as kubectl prints it: ``spec.routes[0]``."""
    parts: list[str] = []
    while path:
        path, key = path
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return "".join(reversed(parts)).removeprefix(".")


def compile_check(node: Node) -> Check | None:
    """Return what validates a value of this schema, or None when everything is valid."""
    checks = [check for check in (_type_check(node), _enum_check(node), *_combination_checks(node)) if check]
    if not checks:
        return None
    if len(checks) == 1 and not node.get("nullable"):
        return checks[0]
    nullable = bool(node.get("nullable"))

    def check(value: Json, path: Path, errors: list[FieldError]) -> None:
        if value is None and nullable:
            return
        before = len(errors)
        for each in checks:
            each(value, path, errors)
            if len(errors) != before:
                return  # more about a value that is already wrong only repeats it

    return check


def _type_check(node: Node) -> Check | None:
    if node.get("x-kubernetes-int-or-string"):
        return _scalar_check("integer,string", lambda value: _is_integer(value) or isinstance(value, str), [])
    compiler = _TYPES.get(node.get("type", ""))
    return compiler(node) if compiler else None


def _string_check(node: Node) -> Check:
    rules: list[Check] = []
    if "pattern" in node:
        matches, text = compile_pattern(node["pattern"]).search, node["pattern"]
        rules.append(_rule(lambda value: matches(value) is not None, f"should match '{text}'"))
    rules += _size_rules(node, "Length", "be", "chars long")
    if node.get("format") in STRING_FORMATS:
        name = node["format"]
        holds = STRING_FORMATS[name]

        def check_format(value: Json, path: Path, errors: list[FieldError]) -> None:
            if not holds(value):
                field = show_path(path)
                errors.append(
                    faults.invalid(field, value, f"{field} in body must be of type {name}: {faults.quote(value)}")
                )

        rules.append(check_format)
    return _scalar_check("string", lambda value: isinstance(value, str), rules)


def _integer_check(node: Node) -> Check:
    rules = _number_rules(node)
    if node.get("format") in INTEGER_RANGES:
        low, high = INTEGER_RANGES[node["format"]]
        rules.append(_rule(lambda value: low <= value <= high, f"must be a number that fits {node['format']}"))
    return _scalar_check("integer", _is_integer, rules)


def _number_check(node: Node) -> Check:
    return _scalar_check("number", _is_number, _number_rules(node))


def _boolean_check(node: Node) -> Check:
    return _scalar_check("boolean", lambda value: isinstance(value, bool), [])


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: Json) -> bool:
    """2.0 is an integer to JSON schema, and to Kubernetes."""
    return _is_number(value) and (isinstance(value, int) or value.is_integer())


def _scalar_check(name: str, has_type: Callable[[Json], bool], rules: list[Check]) -> Check:
    def check(value: Json, path: Path, errors: list[FieldError]) -> None:
        if not has_type(value):
            errors.append(faults.wrong_type(show_path(path), value, name))
            return
        for rule in rules:
            rule(value, path, errors)

    return check


def _rule(holds: Callable[[Any], bool], demand: str) -> Check:
    """Make a check of a predicate and the demand it stands for."""

    def check(value: Json, path: Path, errors: list[FieldError]) -> None:
        if not holds(value):
            field = show_path(path)
            errors.append(faults.invalid(field, value, f"{field} in body {demand}"))

    return check


def _number_rules(node: Node) -> list[Check]:
    rules: list[Check] = []
    if "minimum" in node:
        low = node["minimum"]
        if node.get("exclusiveMinimum"):
            rules.append(_rule(lambda value: value > low, f"should be greater than {low}"))
        else:
            rules.append(_rule(lambda value: value >= low, f"should be greater than or equal to {low}"))
    if "maximum" in node:
        high = node["maximum"]
        if node.get("exclusiveMaximum"):
            rules.append(_rule(lambda value: value < high, f"should be less than {high}"))
        else:
            rules.append(_rule(lambda value: value <= high, f"should be less than or equal to {high}"))
    if node.get("multipleOf"):
        step = node["multipleOf"]
        rules.append(_rule(lambda value: (value / step) % 1 == 0, f"should be a multiple of {step}"))
    return rules


def _size_rules(node: Node, what: str, verb: str, unit: str) -> list[Check]:
    rules: list[Check] = []
    least, most = node.get(f"min{what}"), node.get(f"max{what}")
    if least is not None:
        rules.append(_rule(lambda value: len(value) >= least, f"should {verb} at least {least} {unit}"))
    if most is not None:
        rules.append(_rule(lambda value: len(value) <= most, f"should {verb} at most {most} {unit}"))
    return rules


def _array_check(node: Node) -> Check:
    inner = compile_check(node.get("items", {}))
    rules = _size_rules(node, "Items", "have", "items")
    list_type = node.get("x-kubernetes-list-type")
    if list_type == "set" or node.get("uniqueItems"):
        rules.append(_uniqueness(lambda item: item))
    elif list_type == "map":
        keys = node["x-kubernetes-list-map-keys"]
        rules.append(
            _uniqueness(lambda item: {k: item[k] for k in keys if k in item} if isinstance(item, dict) else item)
        )

    def check(value: Json, path: Path, errors: list[FieldError]) -> None:
        if not isinstance(value, list):
            errors.append(faults.wrong_type(show_path(path), value, "array"))
            return
        if inner:
            for index, item in enumerate(value):
                inner(item, (path, index), errors)
        for rule in rules:
            rule(value, path, errors)

    return check


def _uniqueness(identity: Callable[[Json], Json]) -> Check:
    def check(value: Json, path: Path, errors: list[FieldError]) -> None:
        seen = set()
        for index, item in enumerate(value):
            key = json.dumps(identity(item), sort_keys=True)
            if key in seen:
                errors.append(faults.duplicate(show_path((path, index)), identity(item)))
            seen.add(key)

    return check


def _object_check(node: Node) -> Check:
    members = {name: compile_check(member) for name, member in node.get("properties", {}).items()}
    checks = {name: check for name, check in members.items() if check}
    values = node.get("additionalProperties")
    rest = compile_check(values) if isinstance(values, dict) else None
    required: Iterable[str] = tuple(node.get("required", ()))
    rules = _size_rules(node, "Properties", "have", "properties")

    def check(value: Json, path: Path, errors: list[FieldError]) -> None:
        if not isinstance(value, dict):
            errors.append(faults.wrong_type(show_path(path), value, "object"))
            return
        for name in required:
            if name not in value:
                errors.append(faults.required(show_path((path, name))))
        for key, item in value.items():
            inner = checks.get(key, rest)
            if inner:
                inner(item, (path, key), errors)
        for rule in rules:
            rule(value, path, errors)

    return check


_TYPES: dict[str, Callable[[Node], Check]] = {
    "string": _string_check,
    "integer": _integer_check,
    "number": _number_check,
    "boolean": _boolean_check,
    "array": _array_check,
    "object": _object_check,
}


def _enum_check(node: Node) -> Check | None:
    if "enum" not in node:
        return None
    allowed = node["enum"]

    def check(value: Json, path: Path, errors: list[FieldError]) -> None:
        if not any(same(value, choice) for choice in allowed):
            errors.append(faults.not_supported(show_path(path), value, allowed))

    return check


def _combination_checks(node: Node) -> list[Check]:
    """`allOf`, `anyOf`, `oneOf` and `not`, which structural schemas allow for validation only."""
    checks = [check for part in node.get("allOf", ()) if (check := _part_check(part))]
    for name, holds, demand in _COMBINATIONS:
        if name in node:
            checks.append(_count_check([_part_check(part) for part in node[name]], holds, demand))
    if "not" in node:
        inner = _part_check(node["not"])
        checks.append(_count_check([inner], lambda count: count == 0, "must not validate the schema (not)"))
    return checks


_COMBINATIONS: tuple[tuple[str, Callable[[int], bool], str], ...] = (
    ("anyOf", lambda count: count > 0, "must validate at least one schema (anyOf)"),
    ("oneOf", lambda count: count == 1, "must validate one and only one schema (oneOf)"),
)


def _part_check(part: Node) -> Check | None:
    """Compile a part of a combination; it names no type of its own, so that is told by what it demands."""
    if "type" not in part and not part.get("x-kubernetes-int-or-string"):
        for type_, words in _TYPE_OF_DEMAND:
            if any(word in part for word in words):
                checked = compile_check({**part, "type": type_})
                return _only_for(type_, checked)
    return compile_check(part)


_TYPE_OF_DEMAND = (
    ("object", ("properties", "required", "additionalProperties", "minProperties", "maxProperties")),
    ("array", ("items", "minItems", "maxItems", "uniqueItems")),
    ("string", ("pattern", "minLength", "maxLength")),
    ("number", ("minimum", "maximum", "multipleOf")),
)


def _only_for(type_: str, inner: Check | None) -> Check | None:
    """A demand on one JSON type says nothing about values of another."""
    names = ("number", "integer") if type_ == "number" else (type_,)

    def check(value: Json, path: Path, errors: list[FieldError]) -> None:
        if inner and faults.type_name(value) in names:
            inner(value, path, errors)

    return check


def _count_check(parts: list[Check | None], holds: Callable[[int], bool], demand: str) -> Check:
    def check(value: Json, path: Path, errors: list[FieldError]) -> None:
        valid = sum(1 for part in parts if not _faults_of(part, value))
        if not holds(valid):
            field = show_path(path)
            errors.append(faults.invalid(field, value, f"{field} in body {demand}"))

    return check


def _faults_of(check: Check | None, value: Json) -> list[FieldError]:
    errors: list[FieldError] = []
    if check:
        check(value, (), errors)
    return errors
