"""Values that can be used one by one but not printed, serialised or pickled by accident."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

REDACTED = "[REDACTED]"

Value = TypeVar("Value")


class Bag(str, Generic[Value]):
    """Named values; ``bag["NAME"]`` and ``bag.NAME`` give one, everything else gives ``[REDACTED]``.

    It is a string because that is the one way to make ``json.dumps`` redact instead of fail.
    A value whose name is also a method of ``str`` is reached by ``bag["name"]``.
    """

    __slots__ = ("_values",)
    _values: Mapping[str, Value]

    def __new__(cls, values: Mapping[str, Value]) -> "Bag[Value]":
        """Hold `values` under a redacted text."""
        bag = super().__new__(cls, REDACTED)
        bag._values = dict(values)
        return bag

    def __getitem__(self, name: str) -> Value:  # type: ignore[override]
        return self._values[name]

    def __getattr__(self, name: str) -> Value:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} here") from None

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def get(self, name: str) -> Value | None:
        """Return a value, or None."""
        return self._values.get(name)

    def __repr__(self) -> str:
        return REDACTED

    def __reduce__(self) -> tuple[Any, ...]:
        return (str, (REDACTED,))
