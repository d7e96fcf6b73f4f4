"""Documents named on the command line: ``KIND NAME...``, ``KIND/NAME...``, ``KIND,KIND``."""

from collections.abc import Sequence
from typing import NamedTuple

from tako.cli.client import Resource
from tako.cli.failure import CommandFailed
from tako.cli.kinds import Kinds


class Reference(NamedTuple):
    """A kind, and the document of it that is meant; without a name all of them."""

    resource: Resource
    name: str | None


def parse_references(kinds: Kinds, words: Sequence[str], *, everywhere: bool = False) -> list[Reference]:
    """Read what kubectl reads: ``apps hello``, ``app/hello route/x``, ``apps,routes``, a category.

    `everywhere` is ``-A``, with which a name says nothing.
    """
    references = _parse(kinds, words)
    if everywhere and any(reference.name and reference.resource.namespaced for reference in references):
        raise CommandFailed("a document is named in one namespace: leave out -A, or the name", 2)
    return references


def _parse(kinds: Kinds, words: Sequence[str]) -> list[Reference]:
    if not words:
        raise CommandFailed("say which kind, for example `apps` or `app/hello`", 2)
    if any("/" in word for word in words):
        return [_pair(kinds, word) for word in words]
    resources = [resource for word in words[0].split(",") for resource in _kind_or_category(kinds, word)]
    names = words[1:]
    if not names:
        return [Reference(resource, None) for resource in resources]
    return [Reference(resource, name) for resource in resources for name in names]


def single(kinds: Kinds, words: Sequence[str], example: str) -> tuple[Resource, str]:
    """Read exactly one named document."""
    references = parse_references(kinds, words)
    if len(references) != 1 or references[0].name is None:
        raise CommandFailed(f"name one document, for example `{example}`", 2)
    return references[0].resource, references[0].name


def app_name(words: Sequence[str], example: str) -> str:
    """Read the name of one app: ``hello``, ``app/hello`` or ``apps hello``."""
    kind, _, name = "/".join(words).rpartition("/")
    if not name or kind.lower() not in ("", "app", "apps", "ap", "app.tako.sh", "apps.tako.sh"):
        raise CommandFailed(f"name one app, for example `{example}`", 2)
    return name


def _pair(kinds: Kinds, word: str) -> Reference:
    kind, slash, name = word.partition("/")
    if not slash or not kind or not name or "/" in name:
        raise CommandFailed(f'"{word}": when one argument is KIND/NAME all of them must be', 2)
    return Reference(kinds.named(kind), name)


def _kind_or_category(kinds: Kinds, word: str) -> list[Resource]:
    try:
        return [kinds.named(word)]
    except CommandFailed:
        if found := kinds.category(word):
            return found
        raise
