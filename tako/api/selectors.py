"""Label and field selectors: their text becomes a predicate.

Grammar and messages are Kubernetes' own. `!=` and `notin` also select what lacks the label.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tako.model.errors import Refused

Labels = Mapping[str, str]
LabelPredicate = Callable[[Labels], bool]
FieldPredicate = Callable[[Mapping[str, Any]], bool]


class SelectorInvalid(Refused):
    """The selector cannot be parsed, or names a field that cannot be selected by."""


_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_TOKEN = re.compile(r"\s*(!=|==|=|<|>|,|\(|\)|!|[^\s,()=!<>]+)")


def parse_labels(text: str) -> LabelPredicate:
    """Parse ``a=b,c!=d,e in (x,y),f notin (z),g,!h,n>1``; empty text selects everything."""
    tokens = _tokens(text)
    if not tokens:
        return lambda labels: True
    tests = [_requirement(tokens)]
    while tokens:
        if tokens[0] != ",":
            raise SelectorInvalid(f"unable to parse requirement: found '{tokens[0]}', expected: ',' or 'end of string'")
        tokens.pop(0)
        tests.append(_requirement(tokens))
    if len(tests) == 1:
        return tests[0]
    return lambda labels: all(test(labels) for test in tests)


def parse_fields(text: str, allowed: Iterable[str]) -> FieldPredicate:
    """Parse ``metadata.name=x,spec.app!=y``; `allowed` are the paths that may be selected by."""
    known = {path.lstrip(".") for path in allowed}
    tests = [_field_test(term, known) for term in re.findall(r"(?:\\.|[^,\\])+", text) if term.strip()]
    return lambda doc: all(test(doc) for test in tests)


def label_key_fault(key: str) -> str | None:
    """Say what is wrong with the key of a label, or None."""
    prefix, slash, name = key.rpartition("/")
    if slash and not (len(prefix) <= 253 and _PREFIX.fullmatch(prefix)):
        return "prefix part must be a DNS subdomain of at most 253 characters (e.g. 'example.com')"
    if not _NAME.fullmatch(name):
        return (
            "name part must consist of alphanumeric characters, '-', '_' or '.', must start and end with an "
            "alphanumeric character and be no more than 63 characters (e.g. 'MyName', 'my.name' or '123-abc')"
        )
    return None


def label_value_fault(value: str) -> str | None:
    """Say what is wrong with the value of a label, or None."""
    if value == "" or _NAME.fullmatch(value):
        return None
    return (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', must start "
        "and end with an alphanumeric character and be no more than 63 characters (e.g. 'MyValue' or '12345')"
    )


def _tokens(text: str) -> list[str]:
    """Split into operators and words, in order, to be consumed from the front."""
    return _TOKEN.findall(text)


def _requirement(tokens: list[str]) -> LabelPredicate:
    if not tokens:
        raise SelectorInvalid("unable to parse requirement: found '', expected: identifier after ','")
    if tokens[0] == "!":
        tokens.pop(0)
        key = _key(tokens)
        return lambda labels: key not in labels
    key = _key(tokens)
    operator = tokens.pop(0) if tokens and tokens[0] != "," else "exists"
    if operator == "exists":
        return lambda labels: key in labels
    if operator in ("=", "=="):
        wanted = _value(tokens, key)
        return lambda labels: labels.get(key) == wanted
    if operator == "!=":
        unwanted = _value(tokens, key)
        return lambda labels: labels.get(key) != unwanted
    if operator in ("in", "notin"):
        return _set_test(key, operator, _value_list(tokens, key))
    if operator in ("<", ">"):
        return _number_test(key, operator, _value(tokens, key))
    raise SelectorInvalid(f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _key(tokens: list[str]) -> str:
    key = tokens.pop(0) if tokens else ""
    fault = label_key_fault(key)
    if fault:
        raise SelectorInvalid(f"unable to parse requirement: <nil>: Invalid value: {_quote(key)}: {fault}")
    return key


def _value(tokens: list[str], key: str) -> str:
    value = tokens.pop(0) if tokens and tokens[0] != "," else ""
    fault = label_value_fault(value)
    if fault:
        raise SelectorInvalid(f"unable to parse requirement: values[0][{key}]: Invalid value: {_quote(value)}: {fault}")
    return value


def _value_list(tokens: list[str], key: str) -> frozenset[str]:
    """Read ``(a, b)``; an empty place between commas is the empty value, as in Kubernetes."""
    if not tokens or tokens.pop(0) != "(":
        raise SelectorInvalid(f"unable to parse requirement: expected '(' after the set operator of {_quote(key)}")
    values = set()
    while tokens and tokens[0] != ")":
        values.add(_value(tokens, key) if tokens[0] != "," else "")
        if tokens and tokens[0] == ",":
            tokens.pop(0)
            if tokens and tokens[0] == ")":
                values.add("")
        elif tokens and tokens[0] != ")":
            raise SelectorInvalid(f"unable to parse requirement: found '{tokens[0]}', expected: ',' or ')'")
    if not tokens:
        raise SelectorInvalid("unable to parse requirement: found '', expected: ',' or ')'")
    tokens.pop(0)
    return frozenset(values or {""})


def _set_test(key: str, operator: str, values: frozenset[str]) -> LabelPredicate:
    if operator == "in":
        return lambda labels: labels.get(key) in values
    return lambda labels: labels.get(key) not in values


def _number_test(key: str, operator: str, bound_text: str) -> LabelPredicate:
    bound = _integer(bound_text)
    if bound is None:
        raise SelectorInvalid(
            f"unable to parse requirement: values[0][{key}]: Invalid value: {_quote(bound_text)}: "
            "for 'Gt', 'Lt' operators, the value must be an integer"
        )

    def test(labels: Labels) -> bool:
        number = _integer(labels.get(key, ""))
        return number is not None and (number > bound if operator == ">" else number < bound)

    return test


def _integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,19}", text) else None


def _field_test(term: str, known: set[str]) -> FieldPredicate:
    split = re.match(r"((?:\\.|[^=!\\])*)(!=|==|=)(.*)", term, re.DOTALL)
    if split is None:
        raise SelectorInvalid(f"invalid selector: '{term}'; can't understand '{term}'")
    field, operator, value = split[1].strip(), split[2], re.sub(r"\\(.)", r"\1", split[3])
    if field not in known:
        raise SelectorInvalid(f"field label not supported: {field}; supported: {', '.join(sorted(known))}")
    path = field.split(".")
    wanted = operator != "!="
    return lambda doc: (_field_text(doc, path) == value) is wanted


def _field_text(doc: Any, path: list[str]) -> str:
    """Return what stands at `path` as a field selector compares it; what is absent is the empty string."""
    for part in path:
        doc = doc.get(part) if isinstance(doc, Mapping) else None
    if doc is None:
        return ""
    return str(doc).lower() if isinstance(doc, bool) else str(doc)


def _quote(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
