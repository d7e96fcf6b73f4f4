"""Which resources are served, and under which names: the built-in ones and those of CustomResourceDefinitions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tako.api.errors import ApiError, unknown_path
from tako.api.schema import Schema

Document = dict[str, Any]
CRDS = "customresourcedefinitions.apiextensions.k8s.io"
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the scale subresource reads and writes, as dotted paths."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] | None


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One resource in one version."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    schema: Schema
    list_kind: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    columns: tuple[Document, ...] = ()
    selectable_fields: tuple[str, ...] = ()
    has_status: bool = False
    scale: ScalePaths | None = None
    is_stored_version: bool = True
    is_custom: bool = False
    # What every server of this group says about itself to `kubectl explain`.
    verbs: tuple[str, ...] = field(default=VERBS)

    @property
    def group_resource(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def resources_of(crd: Document) -> list[Resource]:
    """Read the served versions of a CustomResourceDefinition."""
    return [_resource(crd["spec"], version) for version in crd["spec"]["versions"] if version.get("served")]


class Registry:
    """The resources served right now. `replace` and `remove` follow the stored definitions."""

    def __init__(self, built_in: Iterable[Resource]) -> None:
        self._by_path: dict[tuple[str, str, str], Resource] = {}
        self._stored: dict[str, Resource] = {}
        for resource in built_in:
            self._add(resource)

    def at(self, group: str, version: str, plural: str) -> Resource:
        """Return what a path names, or raise 404."""
        try:
            return self._by_path[group, version, plural]
        except KeyError:
            raise unknown_path() from None

    def stored(self, group_resource: str) -> Resource:
        """Return a resource in the version it is stored in."""
        try:
            return self._stored[group_resource]
        except KeyError:
            raise ApiError(404, "NotFound", f'the server has no resource type "{group_resource}"') from None

    def groups(self) -> Mapping[str, list[str]]:
        """Return the versions of each group, the preferred one first."""
        groups: dict[str, list[str]] = {}
        for resource in sorted(self._by_path.values(), key=lambda r: not r.is_stored_version):
            versions = groups.setdefault(resource.group, [])
            if resource.version not in versions:
                versions.append(resource.version)
        return groups

    def in_version(self, group: str, version: str) -> list[Resource]:
        found = [r for r in self._by_path.values() if (r.group, r.version) == (group, version)]
        return sorted(found, key=lambda resource: resource.plural)

    def replace(self, crd: Document) -> None:
        """Serve what `crd` defines instead of what it defined before."""
        self.remove(crd["metadata"]["name"])
        for resource in resources_of(crd):
            self._add(resource)

    def remove(self, group_resource: str) -> None:
        self._stored.pop(group_resource, None)
        for path in [path for path, r in self._by_path.items() if r.group_resource == group_resource]:
            del self._by_path[path]

    def _add(self, resource: Resource) -> None:
        self._by_path[resource.group, resource.version, resource.plural] = resource
        if resource.is_stored_version:
            self._stored[resource.group_resource] = resource


def _resource(spec: Document, version: Document) -> Resource:
    names = spec["names"]
    subresources = version.get("subresources") or {}
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        kind=names["kind"],
        list_kind=names.get("listKind") or f"{names['kind']}List",
        namespaced=spec["scope"] == "Namespaced",
        schema=Schema((version.get("schema") or {}).get("openAPIV3Schema") or _ANYTHING),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        columns=tuple(version.get("additionalPrinterColumns") or (_AGE,)),
        selectable_fields=tuple(field["jsonPath"] for field in version.get("selectableFields") or ()),
        has_status="status" in subresources,
        scale=_scale_paths(subresources.get("scale")),
        is_stored_version=bool(version.get("storage")),
        is_custom=True,
    )


def _scale_paths(scale: Document | None) -> ScalePaths | None:
    if not scale:
        return None
    selector = scale.get("labelSelectorPath")
    return ScalePaths(
        _path(scale["specReplicasPath"]), _path(scale["statusReplicasPath"]), _path(selector) if selector else None
    )


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.strip(".").split("."))


_ANYTHING: Document = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_AGE: Document = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
