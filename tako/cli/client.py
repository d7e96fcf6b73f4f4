"""The CLI's client of the resource API: synchronous, over the Unix socket only, imported in 10 ms.

Documents are plain JSON. Every answer outside 2xx is a :class:`RequestFailed` that carries the server's Kubernetes
Status.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from tako.cli.unix_http import Answer, Connection, ServerUnreachable

__all__ = ["FIELD_MANAGER", "Client", "RequestFailed", "Resource", "ServerUnreachable", "Trace"]

FIELD_MANAGER = "tako"
AS_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

Document = dict[str, Any]


class Resource(NamedTuple):
    """One entry of the server's discovery: where the documents of a kind are."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """The name kubectl prints before the slash: ``app.tako.sh``."""
        singular = self.singular or self.kind.lower()
        return f"{singular}.{self.group}" if self.group else singular

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        parts = ["", "apis", self.group, self.version] if self.group else ["", "api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


class RequestFailed(Exception):
    """The server refused; `status` is its Kubernetes Status document, `target` what was asked for."""

    def __init__(self, status: Document, target: str = "") -> None:
        super().__init__(status.get("message") or status.get("reason") or f"HTTP {status.get('code')}")
        self.status = status
        self.target = target

    @property
    def code(self) -> int:
        return int(self.status.get("code") or 0)

    @property
    def reason(self) -> str:
        return str(self.status.get("reason") or "")

    @property
    def causes(self) -> list[Document]:
        details = self.status.get("details") or {}
        return list(details.get("causes") or [])


class Trace:
    """Is told of every request; the CLI's verbose mode prints them."""

    def asked(self, method: str, target: str, status: int) -> None:
        """Called after the head of each answer was read."""


class Client:
    """Documents by resource, namespace and name. Use :meth:`connect`; nothing is sent until the first call."""

    def __init__(self, connection: Connection, trace: Trace | None = None) -> None:
        self.connection = connection
        self.trace = trace or Trace()

    @classmethod
    def connect(cls, socket: object, timeout: float = 30.0, trace: Trace | None = None) -> "Client":
        """Return a client of the server that listens on the Unix socket at path `socket`."""
        return cls(Connection(str(socket), timeout), trace)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def raw(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        *,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Answer:
        """Send a request as it is; only answers outside 2xx are interpreted."""
        headers = {"Accept": accept, "User-Agent": "tako"}
        if body:
            headers["Content-Type"] = content_type
        answer = self.connection.request(method, target, headers, body)
        self.trace.asked(method, target, answer.status)
        if answer.status >= 300:
            raise RequestFailed(_status(answer.status, answer.body), target)
        return answer

    def json(self, target: str, *, accept: str = "application/json") -> Any:
        return json.loads(self.raw("GET", target, accept=accept).body)

    def get(self, resource: Resource, namespace: str | None, name: str, *, table: bool = False) -> Document:
        return self._read(resource.path(namespace, name), {}, table)

    def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        labels: str | None = None,
        fields: str | None = None,
        table: bool = False,
    ) -> Document:
        """Return the List document (or Table); `namespace` None means all of them."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        return self._read(resource.path(namespace), query, table)

    def create(
        self, resource: Resource, namespace: str | None, document: Document, *, dry_run: bool = False
    ) -> Document:
        query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", "dryRun": _dry(dry_run)}
        return self._write("POST", resource.path(namespace), query, document)

    def apply(
        self,
        resource: Resource,
        namespace: str | None,
        document: Document,
        *,
        dry_run: bool = False,
        force: bool = False,
        strict: bool = True,
    ) -> Document:
        """Server-side apply in the name of the field manager ``tako``; `strict` refuses unknown fields."""
        query = {
            "fieldManager": FIELD_MANAGER,
            "fieldValidation": "Strict" if strict else "Ignore",
            "force": "true" if force else None,
            "dryRun": _dry(dry_run),
        }
        target = resource.path(namespace, document["metadata"]["name"])
        return self._write("PATCH", target, query, document, "application/apply-patch+yaml")

    def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Document,
        *,
        subresource: str | None = None,
        manager: str = FIELD_MANAGER,
        dry_run: bool = False,
    ) -> Document:
        query = {"fieldManager": manager, "fieldValidation": "Strict", "dryRun": _dry(dry_run)}
        target = resource.path(namespace, name, subresource)
        return self._write("PATCH", target, query, patch, "application/merge-patch+json")

    def delete(
        self, resource: Resource, namespace: str | None, name: str, *, cascade: str | None = None, dry_run: bool = False
    ) -> Document:
        """Delete one document; `cascade` is Background, Foreground or Orphan."""
        query = {"propagationPolicy": cascade, "dryRun": _dry(dry_run)}
        answer = self.raw("DELETE", _target(resource.path(namespace, name), query))
        return _document(answer.body)

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        since: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        table: bool = False,
        seconds: float | None = None,
    ) -> Iterator[Document]:
        """Yield ``{"type", "object"}`` after revision `since` until the server ends the stream, or `seconds` passed.

        A revision that is no longer kept raises :class:`RequestFailed` with code 410: list again.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": since,
            "labelSelector": labels,
            "fieldSelector": fields,
            "timeoutSeconds": None if seconds is None else str(max(1, round(seconds))),
        }
        # Bookmarks come at least once a minute, so a silence much longer than that is a dead server.
        timeout = 150.0 if seconds is None else seconds + 5
        accept = AS_TABLE if table else "application/json"
        for line in self.stream(_target(resource.path(namespace), query), accept=accept, timeout=timeout):
            event: Document = json.loads(line)
            if event["type"] == "ERROR":
                raise RequestFailed(event["object"])
            if event["type"] != "BOOKMARK":
                yield event

    def stream(self, target: str, *, accept: str = "*/*", timeout: float | None = None) -> Iterator[bytes]:
        """Yield the lines of an answer as they arrive, on a connection of its own."""
        connection = Connection(self.connection.path, timeout)
        try:
            status, _, pieces = connection.stream(target, {"Accept": accept, "User-Agent": "tako"}, timeout)
            self.trace.asked("GET", target, status)
            if status >= 300:
                raise RequestFailed(_status(status, b"".join(pieces)), target)
            yield from _lines(pieces)
        finally:
            connection.close()

    def _read(self, path: str, query: Mapping[str, str | None], table: bool) -> Document:
        return _document(self.raw("GET", _target(path, query), accept=AS_TABLE if table else "application/json").body)

    def _write(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | None],
        document: Document,
        content_type: str = "application/json",
    ) -> Document:
        # JSON is YAML, so the same bytes serve server-side apply.
        body = json.dumps(document).encode()
        return _document(self.raw(method, _target(path, query), body, content_type=content_type).body)


def _dry(dry_run: bool) -> str | None:
    return "All" if dry_run else None


def _target(path: str, query: Mapping[str, str | None]) -> str:
    given = {key: value for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _document(body: bytes) -> Document:
    document: Document = json.loads(body)
    return document


def _status(code: int, body: bytes) -> Document:
    """Read the Status of a failure, or make one of whatever else was sent."""
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if isinstance(document, dict) and document.get("kind") == "Status":
        return {"code": code, **document}
    text = body.decode("utf-8", "replace").strip()[:2000]
    return {"kind": "Status", "status": "Failure", "code": code, "message": text or f"the server answered {code}"}


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line for line in lines if line)
    if rest:
        yield rest
