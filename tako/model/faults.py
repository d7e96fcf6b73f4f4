"""What is wrong with one field, in the words Kubernetes uses, so that kubectl prints what its readers know.

The message is whole: the field's name is put before it by whoever prints it.
"""

import json
from collections.abc import Iterable
from typing import Any

from tako.model.errors import FieldError


def invalid(field: str, given: Any, detail: str) -> FieldError:
    """The value has the right type and may not stand there."""
    return FieldError(field, f"Invalid value: {quote(given)}: {detail}", given)


def wrong_type(field: str, given: Any, wanted: str) -> FieldError:
    """The value is of another JSON type than `wanted`."""
    found = type_name(given)
    message = f'Invalid value: "{found}": {field} in body must be of type {wanted}: "{found}"'
    return FieldError(field, message, given, "FieldValueTypeInvalid")


def required(field: str, detail: str = "") -> FieldError:
    """The field is missing."""
    return FieldError(field, f"Required value: {detail}" if detail else "Required value", None, "FieldValueRequired")


def not_supported(field: str, given: Any, supported: Iterable[Any]) -> FieldError:
    """The value is none of those that are allowed."""
    allowed = ", ".join(quote(value) for value in supported)
    message = f"Unsupported value: {quote(given)}: supported values: {allowed}"
    return FieldError(field, message, given, "FieldValueNotSupported")


def duplicate(field: str, given: Any, detail: str = "") -> FieldError:
    """The value stands somewhere else already."""
    message = f"Duplicate value: {quote(given)}" + (f": {detail}" if detail else "")
    return FieldError(field, message, given, "FieldValueDuplicate")


def forbidden(field: str, detail: str) -> FieldError:
    """The field may not be there at all, or may not change."""
    return FieldError(field, f"Forbidden: {detail}", None, "FieldValueForbidden")


def quote(value: Any) -> str:
    """Show a value as it was given, cut where it would drown the message."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= 300 else text[:300] + "…"


def type_name(value: Any) -> str:
    """Name the JSON type of a value."""
    for types, name in _TYPE_NAMES:
        if isinstance(value, types):
            return name
    return "null"


_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),  # before int, which it is to Python
    (str, "string"),
    (int, "integer"),
    (float, "number"),
    (dict, "object"),
    (list, "array"),
)
