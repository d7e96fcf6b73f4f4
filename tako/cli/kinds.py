"""Which resource a word on the command line or a document's kind means, from the server's discovery."""

from collections.abc import Iterator, Sequence
from typing import Any

from tako.cli.client import Client, RequestFailed, Resource
from tako.cli.failure import CommandFailed

OWN_GROUP = ("tako.sh", "v1")
CORE_GROUP = ("", "v1")


class Kinds:
    """Looks kinds up, asking for our own group first: most commands need no other."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._groups: dict[tuple[str, str], list[Resource]] = {}
        self._all_read = False

    def named(self, word: str) -> Resource:
        """Return the resource that is called `word`: plural, singular, short name or kind, also with its group."""
        for resource in self._in_order():
            if word.lower() in _names(resource):
                return resource
        raise CommandFailed(_unknown(f'the server has no kind "{word}"', word, self.every()))

    def category(self, word: str) -> list[Resource]:
        """Return the resources of a category such as `tako` or `all`."""
        return [resource for resource in self.every() if word in resource.categories]

    def of_document(self, document: dict[str, Any]) -> Resource:
        """Return the resource that documents of this apiVersion and kind belong to."""
        api_version, kind = str(document.get("apiVersion")), str(document.get("kind"))
        group, _, version = api_version.rpartition("/")
        for resource in self._group(group, version):
            if resource.kind == kind:
                return resource
        problem = f"the server has no kind {kind} in apiVersion {api_version}"
        for resource in self.every():
            if resource.kind == kind:
                raise CommandFailed(f"{problem}; kind {kind} is in {resource.api_version}")
        raise CommandFailed(_unknown(problem, kind, self.every()))

    def every(self) -> list[Resource]:
        """Return all resources of the server."""
        if not self._all_read:
            for group in self._client.json("/apis")["groups"]:
                preferred = group["preferredVersion"]["groupVersion"]
                self._group(*preferred.rsplit("/", 1))
            self._all_read = True
        self._group(*CORE_GROUP)
        return [resource for resources in self._groups.values() for resource in resources]

    def _in_order(self) -> Iterator[Resource]:
        yield from self._group(*OWN_GROUP)
        yield from self._group(*CORE_GROUP)
        yield from self.every()

    def _group(self, group: str, version: str) -> list[Resource]:
        key = (group, version)
        if key not in self._groups:
            target = f"/apis/{group}/{version}" if group else f"/api/{version}"
            try:
                found = self._client.json(target)
            except RequestFailed as failed:
                if failed.code != 404:
                    raise
                found = {"resources": []}
            self._groups[key] = _resources(group, version, found["resources"])
        return self._groups[key]


def _resources(group: str, version: str, entries: Sequence[dict[str, Any]]) -> list[Resource]:
    """Read an APIResourceList; subresources such as `apps/scale` become part of their resource."""
    subresources: dict[str, list[str]] = {}
    for entry in entries:
        plural, slash, subresource = entry["name"].partition("/")
        if slash:
            subresources.setdefault(plural, []).append(subresource)
    return [
        Resource(
            group=group,
            version=version,
            plural=entry["name"],
            kind=entry["kind"],
            namespaced=bool(entry.get("namespaced")),
            singular=entry.get("singularName", ""),
            short_names=tuple(entry.get("shortNames") or ()),
            categories=tuple(entry.get("categories") or ()),
            verbs=tuple(entry.get("verbs") or ()),
            subresources=tuple(subresources.get(entry["name"], ())),
        )
        for entry in entries
        if "/" not in entry["name"]
    ]


def _names(resource: Resource) -> set[str]:
    plain = {resource.plural, resource.singular, resource.kind.lower(), *resource.short_names} - {""}
    with_group = {f"{name}.{resource.group}" for name in plain} if resource.group else set()
    return plain | with_group


def _unknown(problem: str, word: str, resources: Sequence[Resource]) -> str:
    """Say what is unknown, the nearest known name, and how to see all."""
    from difflib import get_close_matches

    shown = {name: resource for resource in resources for name in (*_names(resource), resource.kind)}
    near = get_close_matches(word, shown, n=1, cutoff=0.5) or get_close_matches(word.lower(), shown, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{problem}{hint} `tako api-resources` lists all." if hint else f"{problem}; `tako api-resources` lists all"
