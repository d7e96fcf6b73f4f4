"""REST over :mod:`tako.api.changes`: reads a request, calls one verb, writes the answer. Decides nothing.

Documents leave as the bytes they are stored in.
"""

import base64
import binascii
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from tako.api import discovery
from tako.api.changes import Document, Outcome
from tako.api.entries import Entry, Key, encode
from tako.api.errors import ApiError, bad_request, not_found, unknown_path
from tako.api.http_request import NESTED_TOO_DEEPLY, Target, accepted_form, body_of, flag, number, options_of, target_of
from tako.api.http_watch import stream_watch
from tako.api.options import Options, Preconditions
from tako.api.patch import PatchInvalid, json_patch, merge_patch
from tako.api.registry import Resource
from tako.api.resources import Resources
from tako.api.reviews import answer_review
from tako.api.scale import scale_of, with_scale
from tako.api.selectors import SelectorInvalid
from tako.api.strategic import strategic_merge
from tako.api.table import render_table
from tako.api.watch import Selection, select
from tako.model.errors import TakoError

_log = logging.getLogger(__name__)
_PATCHES: dict[str, Callable[[Document, Any], Any]] = {
    "application/merge-patch+json": merge_patch,
    "application/json-patch+json": json_patch,
}
_APPLY = ("application/apply-patch+yaml", "application/apply-patch+cbor")
_STRATEGIC = "application/strategic-merge-patch+json"


class Http:
    """The handlers of all paths."""

    def __init__(self, resources: Resources, openapi: discovery.OpenApi, version: str) -> None:
        self._resources = resources
        self._changes = resources.changes
        self._store = resources.store
        self._registry = resources.registry
        self._openapi = openapi
        self._version = version
        self._verbs: dict[str, Callable[[web.BaseRequest, Target], Awaitable[web.StreamResponse]]] = {
            "GET": self._get,
            "POST": self._post,
            "PUT": self._put,
            "PATCH": self._patch,
            "DELETE": self._delete,
        }

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request; refusals become Status documents."""
        try:
            return await self._answer(request)
        except ApiError as error:
            return failure(error)
        except PatchInvalid as error:
            reason = "Invalid" if error.code == 422 else "BadRequest"
            return failure(ApiError(error.code, reason, str(error)))
        except SelectorInvalid as error:
            return failure(bad_request(str(error)))
        except RecursionError:
            return failure(bad_request(NESTED_TOO_DEEPLY))
        except TakoError as error:
            return failure(ApiError(500, "InternalError", str(error)))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        if parts[0] in ("api", "apis") and len(parts) <= (2 if parts[0] == "api" else 3):
            return _json(self._discovered(parts))
        if parts[0] == "openapi":
            return self._openapi_document(request, parts)
        if parts == ["version"]:
            return _json(discovery.version_document(self._version))
        if parts[0] in ("healthz", "livez", "readyz"):
            return web.Response(text="ok")
        if request.method == "POST" and len(parts) == 4 and parts[1] in discovery.REVIEWS:
            return _json(answer_review(parts[1], parts[3], await body_of(request)), 201)
        verb = self._verbs.get(request.method)
        if verb is None:
            raise ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        return await verb(request, target_of(self._registry, request.path))

    def _discovered(self, parts: list[str]) -> Document:
        if parts == ["api"]:
            return discovery.api_versions()
        if parts == ["apis"]:
            return discovery.group_list(self._registry)
        if parts[0] == "api":
            return discovery.resource_list(self._registry, "", parts[1])
        if len(parts) == 2:
            return discovery.group(self._registry, parts[1])
        return discovery.resource_list(self._registry, parts[1], parts[2])

    def _openapi_document(self, request: web.BaseRequest, parts: list[str]) -> web.Response:
        if parts[1:] == ["v3"]:
            return _json(self._openapi.index())
        if parts[1:2] != ["v3"]:
            raise unknown_path()
        return _raw(self._openapi.document("/".join(parts[2:])))

    async def _get(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        if target.name is None or flag(request, "watch"):
            selection = self._selection(request, target)
            if flag(request, "watch"):
                form = accepted_form(request)
                return await stream_watch(
                    request, self._store, target.resource, selection, lambda e: self._shown(request, target, e, form)
                )
            return self._list(request, target, selection)
        entry = self._store.get(_key(target, target.name))
        if entry is None:
            raise not_found(target.resource.group_resource, target.name)
        if target.subresource == "scale" and target.resource.scale:
            return _json(scale_of(entry.read(), target.resource.scale))
        return _raw(self._shown(request, target, entry, accepted_form(request)))

    def _selection(self, request: web.BaseRequest, target: Target) -> Selection:
        query = request.query
        return self._resources.selection(
            target.resource.group_resource,
            target.namespace,
            query.get("labelSelector"),
            query.get("fieldSelector"),
            target.name,
        )

    def _list(self, request: web.BaseRequest, target: Target, selection: Selection) -> web.Response:
        entries = select(self._store, selection)
        metadata: Document = {"resourceVersion": str(self._store.revision)}
        start = _continued(request.query.get("continue"))
        if start is not None:
            entries = [entry for entry in entries if tuple(entry.key[1:]) > start]
        limit = number(request, "limit") or 0
        if limit and len(entries) > limit:
            metadata |= {"continue": _token(entries[limit - 1].key), "remainingItemCount": len(entries) - limit}
            entries = entries[:limit]
        form = accepted_form(request)
        if form == "Table":
            table = self._table(request, target.resource, entries)
            table["metadata"] = metadata
            return _json(table)
        shown = b",".join(self._shown(request, target, entry, form) for entry in entries)
        kind, api_version = target.resource.list_kind, target.resource.api_version
        if form == "PartialObjectMetadata":
            kind, api_version = "PartialObjectMetadataList", "meta.k8s.io/v1"
        head = json.dumps({"kind": kind, "apiVersion": api_version, "metadata": metadata})
        return _raw(head[:-1].encode() + b',"items":[' + shown + b"]}")

    def _shown(self, request: web.BaseRequest, target: Target, entry: Entry, form: str | None) -> bytes:
        resource = target.resource
        if form == "Table":
            return encode(self._table(request, resource, [entry]))
        if form == "PartialObjectMetadata":
            metadata = entry.read()["metadata"]
            return encode({"kind": form, "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
        if not resource.is_stored_version:
            return encode({**entry.read(), "apiVersion": resource.api_version})
        return entry.raw

    def _table(self, request: web.BaseRequest, resource: Resource, entries: list[Entry]) -> Document:
        include = request.query.get("includeObject", "Metadata")
        documents = [{**entry.read(), "apiVersion": resource.api_version} for entry in entries]
        revision = str(entries[-1].revision if len(entries) == 1 else self._store.revision)
        return render_table(resource.columns, documents, include, revision, now=self._changes.now())

    async def _post(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        if target.name is not None:
            raise ApiError(405, "MethodNotAllowed", "POST creates: its path names a kind, not an object")
        options = options_of(request, None)
        body = await body_of(request, options.validation == "Strict")
        namespace = _needed_namespace(target)
        return self._outcome(target, await self._changes.create(target.resource, namespace, body, options))

    async def _put(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        name = _needed_name(target)
        options = options_of(request, target.subresource)
        body = await body_of(request, options.validation == "Strict")
        if target.subresource == "scale":
            return await self._rescale(target, name, lambda scale: body, options)
        return await self._update(target, name, lambda old: body, options)

    async def _patch(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        name = _needed_name(target)
        options = options_of(request, target.subresource)
        media_type = request.content_type
        body = await body_of(request, options.validation == "Strict")
        if media_type in _APPLY:
            outcome = await self._changes.apply(target.resource, target.namespace, name, body, options)
            return self._outcome(target, outcome)
        strategic = media_type == _STRATEGIC and not target.resource.is_custom
        change = strategic_merge if strategic else _PATCHES.get(media_type)
        if change is None:
            raise _unsupported(media_type)
        if target.subresource == "scale":
            return await self._rescale(target, name, lambda scale: change(scale, body), options)
        return await self._update(target, name, lambda old: change(old, body), options)

    async def _update(
        self, target: Target, name: str, change: Callable[[Document], Any], options: Options
    ) -> web.StreamResponse:
        def in_asked_version(old: Document) -> Any:
            return change({**old, "apiVersion": target.resource.api_version})

        outcome = await self._changes.update(target.resource, target.namespace, name, in_asked_version, options)
        return self._outcome(target, outcome)

    async def _rescale(
        self, target: Target, name: str, change: Callable[[Document], Any], options: Options
    ) -> web.StreamResponse:
        resource, paths = target.resource, target.resource.scale
        assert paths is not None
        outcome = await self._changes.update(
            resource,
            target.namespace,
            name,
            lambda old: with_scale(old, change(scale_of(old, paths)), resource),
            Options(dry_run=options.dry_run, manager=options.manager, subresource="scale"),
        )
        return _json(scale_of(outcome.document, paths))

    async def _delete(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        wanted = await body_of(request) or {}
        if not isinstance(wanted, dict) or not isinstance(wanted.get("preconditions") or {}, dict):
            raise bad_request("the body of a deletion must be a DeleteOptions object")
        preconditions = wanted.get("preconditions") or {}
        conditions = Preconditions(preconditions.get("uid"), preconditions.get("resourceVersion"))
        propagation = wanted.get("propagationPolicy") or request.query.get("propagationPolicy")
        if wanted.get("orphanDependents"):
            propagation = "Orphan"
        dry_run = bool(wanted.get("dryRun") or request.query.get("dryRun"))
        if target.name is None:
            return await self._delete_collection(request, target, propagation, dry_run)
        outcome = await self._changes.delete(
            target.resource, target.namespace, target.name, propagation, conditions, dry_run
        )
        if outcome.deleted and target.resource.is_stored_version:
            return _json(_deleted(target.resource, outcome.document))
        return self._outcome(target, outcome)

    async def _delete_collection(
        self, request: web.BaseRequest, target: Target, propagation: str | None, dry_run: bool
    ) -> web.StreamResponse:
        entries = select(self._store, self._selection(request, target))
        for entry in entries:
            condition = Preconditions(uid=entry.uid)
            try:
                await self._changes.delete(
                    target.resource, entry.key.namespace, entry.key.name, propagation, condition, dry_run
                )
            except ApiError as error:
                if error.code not in (404, 409):
                    raise
        metadata = {"resourceVersion": str(self._store.revision)}
        head = {"kind": target.resource.list_kind, "apiVersion": target.resource.api_version, "metadata": metadata}
        return _json({**head, "items": [entry.read() for entry in entries]})

    def _outcome(self, target: Target, outcome: Outcome) -> web.Response:
        raw = outcome.raw
        if not target.resource.is_stored_version:
            raw = encode({**outcome.document, "apiVersion": target.resource.api_version})
        response = _raw(raw, 201 if outcome.created else 200)
        for warning in outcome.warnings:
            response.headers.add("Warning", f'299 - "{_quoted(warning)}"')
        return response


def failure(error: ApiError) -> web.Response:
    """Return a refusal as its client expects it."""
    return _json(error.status(), error.code)


def _json(document: Document, status: int = 200) -> web.Response:
    return _raw(encode(document), status)


def _raw(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")


def _key(target: Target, name: str) -> Key:
    return Key(target.resource.group_resource, target.namespace, name)


def _needed_name(target: Target) -> str:
    if target.name is None:
        raise ApiError(405, "MethodNotAllowed", "this method needs the name of an object in its path")
    return target.name


def _needed_namespace(target: Target) -> str:
    if target.resource.namespaced and not target.namespace:
        raise bad_request(f"a namespace is needed in the path to create {target.resource.plural}")
    return target.namespace


def _deleted(resource: Resource, doc: Document) -> Document:
    metadata = doc["metadata"]
    details = {"name": metadata["name"], "kind": resource.plural, "uid": metadata["uid"]}
    if resource.group:
        details["group"] = resource.group
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _unsupported(media_type: str) -> ApiError:
    allowed = ", ".join((*_PATCHES, _APPLY[0]))
    message = (
        f"the body of the request was in an unknown format ({media_type}) - accepted media types include: {allowed}"
    )
    return ApiError(415, "UnsupportedMediaType", message)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _token(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key[1:]).encode()).decode()


def _continued(token: str | None) -> tuple[str, ...] | None:
    if not token:
        return None
    try:
        namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError) as error:
        raise bad_request("the continue token is not one of this server") from error
    return str(namespace), str(name)
