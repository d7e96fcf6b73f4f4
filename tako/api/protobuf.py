"""Reads the protobuf bodies that typed clients send: `kubectl create configmap`, `auth can-i` and their like.

Answers go out as JSON, which those clients accept; a 415 for the request does not make them fall back to it.
Field numbers are those of Kubernetes' generated.proto files. Fields that are not listed are skipped.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tako.model.errors import Refused

CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"

Document = dict[str, Any]


class ProtobufInvalid(Refused):
    """The body is no protobuf that can be read, or of a kind that is not known here."""


@dataclass(frozen=True, slots=True)
class Repeated:
    """A list of values of one type."""

    of: "Type"


@dataclass(frozen=True, slots=True)
class Map:
    """A map from text to values of one type."""

    of: "Type"


# "string" and "count" are left out when empty or zero, as `omitempty` does; "int" and "bool" were given when present.
Type = str | Repeated | Map | Mapping[int, tuple[str, Any]]
Message = Mapping[int, tuple[str, Type]]

_STRINGS = Map("string")
_OWNER: Message = {
    1: ("kind", "string"),
    3: ("name", "string"),
    4: ("uid", "string"),
    5: ("apiVersion", "string"),
    6: ("controller", "bool"),
    7: ("blockOwnerDeletion", "bool"),
}
_MANAGED: Message = {
    1: ("manager", "string"),
    2: ("operation", "string"),
    3: ("apiVersion", "string"),
    4: ("time", "time"),
    6: ("fieldsType", "string"),
    7: ("fieldsV1", "json"),
    8: ("subresource", "string"),
}
_METADATA: Message = {
    1: ("name", "string"),
    2: ("generateName", "string"),
    3: ("namespace", "string"),
    5: ("uid", "string"),
    6: ("resourceVersion", "string"),
    7: ("generation", "count"),
    8: ("creationTimestamp", "time"),
    9: ("deletionTimestamp", "time"),
    10: ("deletionGracePeriodSeconds", "int"),
    11: ("labels", _STRINGS),
    12: ("annotations", _STRINGS),
    13: ("ownerReferences", Repeated(_OWNER)),
    14: ("finalizers", Repeated("string")),
    17: ("managedFields", Repeated(_MANAGED)),
}
_REFERENCE: Message = {
    1: ("kind", "string"),
    2: ("namespace", "string"),
    3: ("name", "string"),
    4: ("uid", "string"),
    5: ("apiVersion", "string"),
    6: ("resourceVersion", "string"),
    7: ("fieldPath", "string"),
}
_RESOURCE_ATTRIBUTES: Message = {
    1: ("namespace", "string"),
    2: ("verb", "string"),
    3: ("group", "string"),
    4: ("version", "string"),
    5: ("resource", "string"),
    6: ("subresource", "string"),
    7: ("name", "string"),
}
_EVENT: Message = {
    1: ("metadata", _METADATA),
    2: ("involvedObject", _REFERENCE),
    3: ("reason", "string"),
    4: ("message", "string"),
    5: ("source", {1: ("component", "string"), 2: ("host", "string")}),
    6: ("firstTimestamp", "time"),
    7: ("lastTimestamp", "time"),
    8: ("count", "count"),
    9: ("type", "string"),
    10: ("eventTime", "microtime"),
    11: ("series", {1: ("count", "int"), 2: ("lastObservedTime", "microtime")}),
    12: ("action", "string"),
    13: ("related", _REFERENCE),
    14: ("reportingComponent", "string"),
    15: ("reportingInstance", "string"),
}
_LEASE_SPEC: Message = {
    1: ("holderIdentity", "string"),
    2: ("leaseDurationSeconds", "int"),
    3: ("acquireTime", "microtime"),
    4: ("renewTime", "microtime"),
    5: ("leaseTransitions", "int"),
}

_KINDS: dict[str, Message] = {
    "Namespace": {
        1: ("metadata", _METADATA),
        2: ("spec", {1: ("finalizers", Repeated("string"))}),
        3: ("status", {1: ("phase", "string")}),
    },
    "ConfigMap": {
        1: ("metadata", _METADATA),
        2: ("data", _STRINGS),
        3: ("binaryData", Map("bytes")),
        4: ("immutable", "bool"),
    },
    "Secret": {
        1: ("metadata", _METADATA),
        2: ("data", Map("bytes")),
        3: ("type", "string"),
        4: ("stringData", _STRINGS),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {
        1: ("metadata", _METADATA),
        2: ("secrets", Repeated(_REFERENCE)),
        3: ("imagePullSecrets", Repeated({1: ("name", "string")})),
        4: ("automountServiceAccountToken", "bool"),
    },
    "Event": _EVENT,
    "Lease": {1: ("metadata", _METADATA), 2: ("spec", _LEASE_SPEC)},
    "SelfSubjectAccessReview": {
        1: ("metadata", _METADATA),
        2: (
            "spec",
            {
                1: ("resourceAttributes", _RESOURCE_ATTRIBUTES),
                2: ("nonResourceAttributes", {1: ("path", "string"), 2: ("verb", "string")}),
            },
        ),
    },
    "SelfSubjectRulesReview": {1: ("metadata", _METADATA), 2: ("spec", {1: ("namespace", "string")})},
    "SelfSubjectReview": {1: ("metadata", _METADATA)},
    "Scale": {1: ("metadata", _METADATA), 2: ("spec", {1: ("replicas", "int")})},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", {1: ("uid", "string"), 2: ("resourceVersion", "string")}),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "string"),
        5: ("dryRun", Repeated("string")),
    },
}
_ENVELOPE: Message = {1: ("type", {1: ("apiVersion", "string"), 2: ("kind", "string")}), 2: ("raw", "raw")}


def decode(body: bytes) -> Document:
    """Return the document in a body of type `application/vnd.kubernetes.protobuf`."""
    if not body.startswith(_MAGIC):
        raise ProtobufInvalid("the body is no Kubernetes protobuf; send JSON")
    envelope = _message(memoryview(body)[len(_MAGIC) :], _ENVELOPE)
    named = envelope.get("type", {})
    kind = named.get("kind", "")
    if kind not in _KINDS:
        raise ProtobufInvalid(f"{kind or 'an object without a kind'} cannot be read as protobuf here; send JSON")
    return {"apiVersion": named.get("apiVersion", ""), "kind": kind, **_message(envelope.get("raw", b""), _KINDS[kind])}


def _message(data: memoryview | bytes, fields: Message) -> Document:
    found: Document = {}
    for number, value in _wire_fields(memoryview(data)):
        if number in fields:
            name, type_ = fields[number]
            _store(found, name, type_, value)
    return found


def _store(found: Document, name: str, type_: Type, value: int | memoryview) -> None:
    if isinstance(type_, Repeated):
        found.setdefault(name, []).append(_value(type_.of, value))
    elif isinstance(type_, Map):
        # An entry is a message of key and value; either is left out when it is empty.
        entry = _message(_bytes(value), {1: ("key", "raw"), 2: ("value", "raw")})
        key = _value("string", entry.get("key", b""))
        found.setdefault(name, {})[key] = _value(type_.of, entry.get("value", memoryview(b"")))
    else:
        read = _value(type_, value)
        if read is not None and read != {} and not (type_ in ("string", "count") and not read):
            found[name] = read


def _value(type_: Type, value: int | memoryview | bytes) -> Any:
    if isinstance(type_, Mapping):
        return _message(_bytes(value), type_)
    if type_ in ("int", "count", "bool"):
        return _number(type_, value)
    data = bytes(_bytes(value))
    if type_ == "string":
        return _text(data)
    if type_ == "bytes":
        return base64.b64encode(data).decode()
    if type_ in ("time", "microtime"):
        return _time(data, "microseconds" if type_ == "microtime" else "seconds")
    if type_ == "json":
        return _json(_message(data, {1: ("raw", "raw")}).get("raw", b"{}"))
    return data


def _bytes(value: int | memoryview | bytes) -> memoryview | bytes:
    if isinstance(value, int):
        raise ProtobufInvalid("malformed protobuf: a number where bytes belong")
    return value


def _number(type_: Type, value: int | memoryview | bytes) -> int | bool:
    if not isinstance(value, int):
        raise ProtobufInvalid("malformed protobuf: bytes where a number belongs")
    if type_ == "bool":
        return bool(value)
    return value - 2**64 if value >= 2**63 else value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ProtobufInvalid("malformed protobuf: a text is not UTF-8") from error


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise ProtobufInvalid("malformed protobuf: fieldsV1 is no JSON") from error


def _time(data: bytes, precision: str) -> str | None:
    """A time that is not set is an empty message."""
    parts = _message(data, {1: ("seconds", "int"), 2: ("nanos", "int")})
    if not parts.get("seconds"):
        return None
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            seconds=parts["seconds"], microseconds=parts.get("nanos", 0) // 1000
        )
    except OverflowError as error:
        raise ProtobufInvalid("malformed protobuf: a time out of range") from error
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def _wire_fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Split a message into field numbers with their varints or bytes; fixed-width fields are skipped."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire_type == 2:
            length, at = _varint(data, at)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ProtobufInvalid(f"malformed protobuf: wire type {wire_type}")
        end = at + length
        if end > len(data):
            raise ProtobufInvalid("malformed protobuf: it ends in the middle of a field")
        if wire_type == 2:
            yield number, data[at:end]
        at = end


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (2**64 - 1), at
    raise ProtobufInvalid("malformed protobuf: a number does not end")
