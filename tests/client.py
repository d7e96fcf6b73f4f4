"""The tests' own client of the resource API, over the Unix socket or TLS: by `http.client`, and nothing of the CLI's.

What holds the server to HTTP must not share a misunderstanding with what is tested. One connection is kept open
between calls; a watch has its own.
"""

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Document = dict[str, Any]
_RETRIED = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)


class RequestFailed(Exception):
    """The server refused; `status` is its Status document."""

    def __init__(self, status: Document) -> None:
        super().__init__(status.get("message") or f"the server answered {status.get('code')}")
        self.status = status

    @property
    def code(self) -> int:
        return int(self.status.get("code", 500))

    @property
    def reason(self) -> str:
        return str(self.status.get("reason", ""))


class Unreachable(Exception):
    """No server answers there; the message says where and what to do."""


class Client:
    """Paths are built from the group resource (``apps.tako.sh``), version v1, a namespace and a name."""

    def __init__(self, connection: "_Address", headers: dict[str, str], agent: str) -> None:
        self._address = connection
        self._headers = {**headers, "User-Agent": agent, "Accept": "application/json"}
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def connect(
        cls,
        socket: str | os.PathLike[str] | None = None,
        *,
        url: str | None = None,
        token: str = "",
        ca_pem: str | None = None,
        agent: str = "tako",
    ) -> "Client":
        """Name a Unix socket, or an https URL with token and CA. Nothing is sent before the first call."""
        if socket is not None:
            return cls(_Address(socket_path=os.fspath(socket)), {"Host": "localhost"}, agent)
        if url is None:
            raise ValueError("either a socket or a url is needed")
        context = ssl.create_default_context(cadata=ca_pem)
        return cls(_Address(url=url, context=context), {"Authorization": f"Bearer {token}"}, agent)

    def get(self, group_resource: str, namespace: str | None, name: str, subresource: str | None = None) -> Document:
        return self._json("GET", resource_path(group_resource, namespace, name, subresource))

    def list(
        self, group_resource: str, namespace: str | None = None, labels: str | None = None, fields: str | None = None
    ) -> Document:
        """Return the List document: `items`, and in its metadata the revision to watch from."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        return self._json("GET", resource_path(group_resource, namespace), query)

    def table(
        self, group_resource: str, namespace: str | None = None, name: str | None = None, **query: str | None
    ) -> Document:
        """Return the Table that the server makes for people; `includeObject` as in Kubernetes."""
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
        return self._json("GET", resource_path(group_resource, namespace, name), query, headers={"Accept": accept})

    def create(self, group_resource: str, namespace: str | None, doc: Document, **query: str | None) -> Document:
        return self._json("POST", resource_path(group_resource, namespace), query, doc)

    def replace(
        self, group_resource: str, namespace: str | None, name: str, doc: Document, **query: str | None
    ) -> Document:
        return self._json("PUT", resource_path(group_resource, namespace, name), query, doc)

    def patch(
        self,
        group_resource: str,
        namespace: str | None,
        name: str,
        patch: Any,
        subresource: str | None = None,
        **query: str | None,
    ) -> Document:
        """Send a merge patch (an object) or a JSON patch (a list)."""
        kind = "application/json-patch+json" if isinstance(patch, list) else "application/merge-patch+json"
        path = resource_path(group_resource, namespace, name, subresource)
        return self._json("PATCH", path, query, patch, {"Content-Type": kind})

    def apply(
        self,
        group_resource: str,
        namespace: str | None,
        doc: Document,
        *,
        manager: str = "tako",
        force: bool = False,
        **query: str | None,
    ) -> Document:
        """Apply server-side: the document is made, or its fields set, and those left out since the last time go."""
        path = resource_path(group_resource, namespace, doc["metadata"]["name"])
        query = {"fieldManager": manager, "force": "true" if force else None, **query}
        return self._json("PATCH", path, query, doc, {"Content-Type": "application/apply-patch+yaml"})

    def delete(
        self, group_resource: str, namespace: str | None, name: str, propagation: str | None = None, **query: str | None
    ) -> Document:
        body = {"propagationPolicy": propagation} if propagation else None
        return self._json("DELETE", resource_path(group_resource, namespace, name), query, body)

    def watch(
        self,
        group_resource: str,
        namespace: str | None = None,
        revision: str | None = None,
        timeout_seconds: float | None = None,
        **query: str | None,
    ) -> Iterator[tuple[str, Document]]:
        """Yield (type, object) until the server or `timeout_seconds` ends it; an ERROR raises RequestFailed."""
        query = {"watch": "true", "resourceVersion": revision, **query}
        if timeout_seconds is not None:
            query["timeoutSeconds"] = str(max(1, round(timeout_seconds)))
        for line in self.stream(resource_path(group_resource, namespace), query):
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise RequestFailed(event["object"])
            yield event["type"], event["object"]

    def stream(self, path: str, query: dict[str, str | None] | None = None) -> Iterator[bytes]:
        """Yield the lines of an answer that may not end, over a connection of its own."""
        with closing(self._address.open(timeout=None)) as connection:
            try:
                connection.request("GET", _with_query(path, query), headers=self._headers)
                response = connection.getresponse()
            except OSError as error:
                raise self._unreachable(error) from error
            if response.status >= 400:
                raise RequestFailed(_status(response.status, response.read()))
            try:
                while line := response.readline():
                    yield line
            except http.client.IncompleteRead:
                return

    def raw(
        self,
        method: str,
        path: str,
        query: dict[str, str | None] | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body, whatever they are. A kept connection that was closed is opened again."""
        target, all_headers = _with_query(path, query), {**self._headers, **(headers or {})}
        if self._connection is not None:
            try:
                return self._exchange(self._connection, method, target, body, all_headers)
            except _RETRIED:
                self.close()
                # Only what may be done twice is sent twice: the server may have acted before it went.
                if method not in ("GET", "PUT"):
                    raise self._unreachable(ConnectionResetError("it closed the connection")) from None
            except OSError as error:
                self.close()
                raise self._unreachable(error) from error
        self._connection = self._address.open(timeout=60.0)
        try:
            return self._exchange(self._connection, method, target, body, all_headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from error

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        body: bytes | None,
        headers: dict[str, str],
    ) -> tuple[int, dict[str, str], bytes]:
        connection.request(method, target, body=body, headers=headers)
        response = connection.getresponse()
        answer = response.read()
        joined: dict[str, str] = {}
        for name, value in response.getheaders():
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
        return response.status, joined, answer

    def _json(
        self,
        method: str,
        path: str,
        query: dict[str, str | None] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Document:
        encoded = None if body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})} if encoded else headers
        code, _, answer = self.raw(method, path, query, encoded, sent)
        if code >= 400:
            raise RequestFailed(_status(code, answer))
        document: Document = json.loads(answer)
        return document

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"no tako-server answers at {self._address}: {error}. {self._address.advice(error)}")


class _Address:
    """Where the server is."""

    def __init__(
        self, socket_path: str | None = None, url: str | None = None, context: ssl.SSLContext | None = None
    ) -> None:
        self.socket_path = socket_path
        self.url = url
        self._context = context

    def __str__(self) -> str:
        return self.socket_path or self.url or ""

    def open(self, timeout: float | None) -> http.client.HTTPConnection:
        if self.socket_path is not None:
            return _UnixConnection(self.socket_path, timeout)
        parts = urlsplit(self.url or "")
        return http.client.HTTPSConnection(
            parts.hostname or "localhost", parts.port, timeout=timeout, context=self._context
        )

    def advice(self, error: Exception) -> str:
        if isinstance(error, PermissionError):
            return "Your user may not use this socket."
        if self.socket_path and not Path(self.socket_path).exists():
            return "There is no such socket: is the server started, with this data directory?"
        return "Is it running?"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def resource_path(
    group_resource: str, namespace: str | None = None, name: str | None = None, subresource: str | None = None
) -> str:
    """Return ``/apis/tako.sh/v1/namespaces/NS/apps/NAME/status``; every part from the namespace on may be left out."""
    plural, _, group = group_resource.partition(".")
    parts = ["apis", group, "v1"] if group else ["api", "v1"]
    parts += ["namespaces", namespace] if namespace else []
    parts += [part for part in (plural, name, subresource) if part]
    return "/" + "/".join(parts)


def _with_query(path: str, query: dict[str, str | None] | None) -> str:
    given = {key: value for key, value in (query or {}).items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _status(code: int, body: bytes) -> Document:
    try:
        status = json.loads(body)
    except ValueError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return status
    return {"kind": "Status", "status": "Failure", "code": code, "message": body.decode(errors="replace")[:500]}
