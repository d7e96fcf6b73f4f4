"""What is served, told in Kubernetes' discovery documents and in OpenAPI v3."""

import platform
import sys
from typing import Any

from tako.api.errors import unknown_path
from tako.api.openapi import PublishedKind, openapi_documents, openapi_index
from tako.api.registry import Registry, Resource

Document = dict[str, Any]
# The Kubernetes release whose API conventions are followed.
_CONVENTIONS = ("1", "32")
_SUBRESOURCE_VERBS = ["get", "patch", "update"]
# Kinds that are asked and answered at once, never stored: (plural, kind).
REVIEWS: dict[str, tuple[tuple[str, str], ...]] = {
    "authorization.k8s.io": (
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ),
    "authentication.k8s.io": (("selfsubjectreviews", "SelfSubjectReview"),),
}


def version_document(version: str) -> Document:
    major, minor = _CONVENTIONS
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.0+tako-{version}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": sys.implementation.name,
        "platform": f"{sys.platform}/{platform.machine()}",
    }


def api_versions() -> Document:
    """Answer GET /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(registry: Registry) -> Document:
    """Answer GET /apis."""
    groups = [_group(name, versions) for name, versions in _named_groups(registry).items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> Document:
    """Answer GET /apis/GROUP."""
    versions = _named_groups(registry).get(name)
    if versions is None:
        raise unknown_path()
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def resource_list(registry: Registry, group_name: str, version: str) -> Document:
    """Answer GET /api/v1 and /apis/GROUP/VERSION."""
    entries: list[Document] = []
    for resource in registry.in_version(group_name, version):
        entries += _entries(resource)
    if version == "v1":
        entries += [
            {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}
            for plural, kind in REVIEWS.get(group_name, ())
        ]
    if not entries:
        raise unknown_path()
    group_version = f"{group_name}/{version}" if group_name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


class OpenApi:
    """The OpenAPI documents, made when first asked for after the registry changed."""

    def __init__(self, registry: Registry, version: str) -> None:
        self._registry = registry
        self._version = version
        self._documents: dict[str, bytes] | None = None

    def forget(self) -> None:
        self._documents = None

    def index(self) -> Document:
        return openapi_index(self._made())

    def document(self, path: str) -> bytes:
        try:
            return self._made()[path]
        except KeyError:
            raise unknown_path() from None

    def _made(self) -> dict[str, bytes]:
        if self._documents is None:
            kinds = [
                _published(resource)
                for name, versions in self._registry.groups().items()
                for version in versions
                for resource in self._registry.in_version(name, version)
            ]
            self._documents = openapi_documents(kinds, self._version)
        return self._documents


def subresources(resource: Resource) -> tuple[str, ...]:
    return (*(("status",) if resource.has_status else ()), *(("scale",) if resource.scale else ()))


def _named_groups(registry: Registry) -> dict[str, list[str]]:
    named = {name: list(versions) for name, versions in registry.groups().items() if name}
    return {**named, **{name: ["v1"] for name in REVIEWS}}


def _group(name: str, versions: list[str]) -> Document:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _entries(resource: Resource) -> list[Document]:
    entry: Document = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    parts = [entry]
    for subresource in subresources(resource):
        scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"} if subresource == "scale" else {}
        part = {"name": f"{resource.plural}/{subresource}", "singularName": "", "namespaced": resource.namespaced}
        parts.append({**part, "kind": resource.kind, **scale, "verbs": _SUBRESOURCE_VERBS})
    return parts


def _published(resource: Resource) -> PublishedKind:
    return PublishedKind(
        group=resource.group,
        version=resource.version,
        kind=resource.kind,
        plural=resource.plural,
        namespaced=resource.namespaced,
        schema=resource.schema.document,
        subresources=subresources(resource),
    )
