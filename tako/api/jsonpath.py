"""JSON paths as CRDs use them: ``.status.conditions[?(@.type=='Ready')].status``.

Members, elements, slices, wildcards and one comparison in a filter. What Kubernetes' templates have beyond that
(ranges, unions, recursive descent) is refused.
"""

import operator
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from tako.model.errors import Refused

Json = Any
Step = Callable[[list[Json]], list[Json]]
Lookup = Callable[[Json], list[Json]]


class PathInvalid(Refused):
    """The text is no JSON path that can be followed here."""


_PART = re.compile(
    r"""
      \.(?P<member>(?:\\.|[^.\[\\])+)
    | \[(?P<quote>['"])(?P<quoted>.*?)(?P=quote)\]
    | \[(?P<index>-?\d+)\]
    | \[(?P<all>\*)\]
    | \[(?P<slice>-?\d*:-?\d*)\]
    | \[\?\(\s*@(?P<left>.*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>'[^']*'|"[^"]*"|[^'"\s)]+)\s*)?\)\]
    """,
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = {"true": True, "false": False, "null": None}


@cache
def compile_path(text: str) -> Lookup:
    """Compile a path; the result returns every value it leads to, which may be none."""
    path = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    path = path.removeprefix("$")
    if path and path[0] not in ".[":
        path = "." + path
    steps = _steps(path, text)

    def look(doc: Json) -> list[Json]:
        values = [doc]
        for step in steps:
            values = step(values)
        return values

    return look


def _steps(path: str, text: str) -> list[Step]:
    steps, at = [], 0
    if path == ".":
        return []
    while at < len(path):
        part = _PART.match(path, at)
        if part is None:
            raise PathInvalid(f"unsupported JSON path {text!r} at {path[at:]!r}")
        steps.append(_step(part, text))
        at = part.end()
    return steps


def _step(part: re.Match[str], text: str) -> Step:
    if part["member"] == "*" or part["all"]:
        return _everything
    if part["member"] is not None:
        return _member(re.sub(r"\\(.)", r"\1", part["member"]))
    if part["quoted"] is not None:
        return _member(part["quoted"])
    if part["index"]:
        return _element(int(part["index"]))
    if part["slice"]:
        start, _, stop = part["slice"].partition(":")
        return _slice(slice(int(start) if start else None, int(stop) if stop else None))
    return _filter(part["left"], part["op"], part["right"], text)


def _member(name: str) -> Step:
    return lambda values: [value[name] for value in values if isinstance(value, dict) and name in value]


def _element(index: int) -> Step:
    return lambda values: [
        value[index] for value in values if isinstance(value, list) and -len(value) <= index < len(value)
    ]


def _slice(part: slice) -> Step:
    return lambda values: [item for value in values if isinstance(value, list) for item in value[part]]


def _everything(values: list[Json]) -> list[Json]:
    found: list[Json] = []
    for value in values:
        if isinstance(value, list):
            found += value
        elif isinstance(value, dict):
            found += value.values()
    return found


def _filter(left: str, comparison: str | None, right: str | None, text: str) -> Step:
    look = compile_path(left or ".")
    if comparison is None or right is None:
        return lambda values: [item for item in _everything(values) if look(item)]
    wanted, compare = _literal(right, text), _COMPARE[comparison]

    def holds(item: Json) -> bool:
        found = look(item)
        if not found or (comparison not in ("==", "!=") and not _comparable(found[0], wanted)):
            return False
        return bool(compare(found[0], wanted))

    return lambda values: [item for item in _everything(values) if holds(item)]


def _comparable(left: Json, right: Json) -> bool:
    numbers = all(isinstance(side, (int, float)) for side in (left, right))
    return numbers or (isinstance(left, str) and isinstance(right, str))


def _literal(text: str, path: str) -> Json:
    if text[0] in "'\"":
        return text[1:-1]
    if text in _WORDS:
        return _WORDS[text]
    try:
        return float(text)
    except ValueError as error:
        raise PathInvalid(f"unsupported JSON path {path!r}: {text!r} is neither a quoted text nor a number") from error
