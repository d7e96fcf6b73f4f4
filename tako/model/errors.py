"""The errors every layer speaks.

Two of them decide what a reconciler does next; a field error says what a person must correct.
No message ever contains a secret.
"""

from dataclasses import dataclass
from typing import Any


class TakoError(Exception):
    """Anything of ours that is expected to go wrong: the message says what, where, and what to do."""


class RetryLater(TakoError):
    """The outside world is not ready; the same call may succeed in `delay_seconds`."""

    def __init__(self, message: str, delay_seconds: float = 5.0) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds


class Refused(TakoError):
    """Trying again changes nothing until somebody changes what is wanted."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of a document, named by the field it is in.

    `field` is a path as kubectl prints it: ``spec.routes[0]``. `reason` is one of Kubernetes' cause
    types: ``FieldValueInvalid``, ``FieldValueRequired``, ``FieldValueNotSupported``,
    ``FieldValueDuplicate``, ``FieldValueForbidden``, ``FieldValueTypeInvalid``.
    """

    field: str
    message: str
    given: Any = None
    reason: str = "FieldValueInvalid"
