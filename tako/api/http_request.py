"""What a request asks for: its path, its query, its body, and the form of answer it wants."""

import json
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from tako.api.errors import ApiError, bad_request, unknown_path
from tako.api.options import Options
from tako.api.protobuf import CONTENT_TYPE, ProtobufInvalid, decode
from tako.api.registry import Registry, Resource

NESTED_TOO_DEEPLY = "the body is nested too deeply"
# No revision and no count is longer; Python reads no number of 4,300 digits.
_LONGEST_NUMBER = 100
_NAMESPACE_PARTS = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names: a resource, and within it a namespace, an object, a subresource."""

    resource: Resource
    namespace: str
    name: str | None
    subresource: str | None


def target_of(registry: Registry, path: str) -> Target:
    """Read a resource path, or raise 404."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) >= 3:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) >= 4:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        raise unknown_path()
    namespace = ""
    if rest[0] == "namespaces" and len(rest) >= 3 and not (group == "" and rest[2] in _NAMESPACE_PARTS):
        namespace, rest = rest[1], rest[2:]
    resource = registry.at(group, version, rest[0])
    name = rest[1] if len(rest) > 1 else None
    subresource = rest[2] if len(rest) > 2 else None
    if len(rest) > 3 or (namespace and not resource.namespaced) or not _has(resource, subresource):
        raise unknown_path()
    if resource.namespaced and not namespace and name is not None:
        raise unknown_path()
    return Target(resource, namespace, name, subresource)


def options_of(request: web.BaseRequest, subresource: str | None) -> Options:
    query = request.query
    dry_run = query.getall("dryRun", [])
    if dry_run and dry_run != ["All"]:
        raise bad_request(f"dryRun must be All, is {dry_run}")
    validation = query.get("fieldValidation") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        raise bad_request(f'fieldValidation: Unsupported value: "{validation}": supported: "Ignore", "Strict", "Warn"')
    agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
    return Options(
        dry_run=bool(dry_run),
        validation=validation,
        subresource=subresource,
        manager=query.get("fieldManager") or agent,
        force=flag(request, "force"),
    )


def flag(request: web.BaseRequest, name: str) -> bool:
    return request.query.get(name, "").lower() in ("true", "1")


def number(request: web.BaseRequest, name: str) -> int | None:
    text = request.query.get(name, "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > _LONGEST_NUMBER:
        raise bad_request(f"{name} must be a number, is {text!r}")
    return int(text)


async def body_of(request: web.BaseRequest, strict: bool = False) -> Any:
    """Read the body: JSON, or YAML as `application/yaml` and apply patches may be."""
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise ApiError(413, "RequestEntityTooLarge", "the body is larger than 3 MiB") from error
    if request.content_type == CONTENT_TYPE:
        try:
            return decode(raw)
        except ProtobufInvalid as error:
            raise ApiError(415, "UnsupportedMediaType", f"{error}; send application/json") from error
    if not raw.strip():
        return None
    try:
        return json.loads(raw, object_pairs_hook=_without_duplicates if strict else None)
    except RecursionError as error:
        raise bad_request(NESTED_TOO_DEEPLY) from error
    except ValueError as error:
        if "yaml" not in request.content_type:
            raise bad_request(f"the body is not valid JSON: {error}") from error
    try:
        return json.loads(json.dumps(yaml.safe_load(raw), default=str))
    except (yaml.YAMLError, RecursionError) as error:
        raise bad_request(f"the body is not valid YAML: {error}") from error


def accepted_form(request: web.BaseRequest) -> str | None:
    """Return ``Table`` or ``PartialObjectMetadata`` when the client asks for that first, else None."""
    for wanted in request.headers.get("Accept", "").split(","):
        parameters = dict(part.strip().partition("=")[::2] for part in wanted.split(";")[1:])
        if "application/json" in wanted:
            form = parameters.get("as")
            if form is None:
                return None
            if parameters.get("v") == "v1":
                return form.removesuffix("List")
    return None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise bad_request(f'strict decoding error: duplicate field "{twice}"')
    return members


def _has(resource: Resource, subresource: str | None) -> bool:
    if subresource is None:
        return True
    return (subresource == "status" and resource.has_status) or (subresource == "scale" and resource.scale is not None)
