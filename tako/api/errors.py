"""What the resource API answers when it refuses: a Kubernetes Status, raised as an exception.

Clients decide by `code` and `reason`; the message is for a person.
"""

import json
from collections.abc import Sequence
from typing import Any

from tako.model.errors import FieldError, TakoError

Document = dict[str, Any]


class ApiError(TakoError):
    """A refusal with the HTTP code and the Status that tell a client what to do."""

    def __init__(self, code: int, reason: str, message: str, details: Document | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def status(self) -> Document:
        """Return the Status document."""
        status: Document = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        return {**status, "details": self.details} if self.details else status


class DiskFull(ApiError):
    """There is no room to store a change; reads go on, and writes work again once there is."""

    def __init__(self, path: str) -> None:
        super().__init__(
            507,
            "InsufficientStorage",
            f"the change was not stored: no space is left on the device that holds {path}. Free some space there "
            "(old releases, logs); reads go on meanwhile, and changes are accepted again as soon as there is room.",
        )


def _details(group_resource: str, name: str) -> Document:
    resource, _, group = group_resource.partition(".")
    return {"name": name, "kind": resource, **({"group": group} if group else {})}


def not_found(group_resource: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{group_resource} "{name}" not found', _details(group_resource, name))


def unknown_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(group_resource: str, name: str) -> ApiError:
    details = _details(group_resource, name)
    return ApiError(409, "AlreadyExists", f'{group_resource} "{name}" already exists', details)


def conflict(group_resource: str, name: str, message: str) -> ApiError:
    text = f'Operation cannot be fulfilled on {group_resource} "{name}": {message}'
    return ApiError(409, "Conflict", text, _details(group_resource, name))


def changed_meanwhile(group_resource: str, name: str) -> ApiError:
    return conflict(
        group_resource,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(group_resource: str, name: str, message: str) -> ApiError:
    return ApiError(
        403, "Forbidden", f'{group_resource} "{name}" is forbidden: {message}', _details(group_resource, name)
    )


def expired(message: str) -> ApiError:
    """Return the 410 that makes a watcher list again."""
    return ApiError(410, "Expired", message)


def invalid(kind: str, group: str, name: str, errors: Sequence[FieldError]) -> ApiError:
    """Return the 422 that lists every fault of a document."""
    listed = [f"{error.field}: {_sentence(error)}" for error in errors]
    text = listed[0] if len(listed) == 1 else f"[{', '.join(listed)}]"
    full = f"{kind}.{group}" if group else kind
    causes = [{"reason": error.reason, "message": _sentence(error), "field": error.field} for error in errors]
    return ApiError(
        422,
        "Invalid",
        f'{full} "{name}" is invalid: {text}',
        {"name": name, "group": group, "kind": kind, "causes": causes},
    )


_KUBERNETES_OPENINGS = ("Invalid value", "Unsupported value", "Required value", "Duplicate value", "Forbidden", "Too ")


def _sentence(error: FieldError) -> str:
    """Begin as Kubernetes does, so that kubectl and people read one format."""
    if error.message.startswith(_KUBERNETES_OPENINGS):
        return error.message
    if error.reason == "FieldValueRequired":
        return f"Required value: {error.message}"
    if error.reason == "FieldValueForbidden":
        return f"Forbidden: {error.message}"
    shown = json.dumps(error.given, ensure_ascii=False, default=str)
    opening = {"FieldValueNotSupported": "Unsupported value", "FieldValueDuplicate": "Duplicate value"}
    return f"{opening.get(error.reason, 'Invalid value')}: {shown[:200]}: {error.message}"
