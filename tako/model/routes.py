"""Route patterns: what a person writes, what it means, and which of several wins.

A pattern is a host, exact or ``*.suffix``, with an optional path: ``/x`` is that path alone (with or without a slash at
its end), ``/x/*`` is everything at and below it. The proxy decides by the same rules in Rust; the cases in
``tests/golden/routes.json`` are run by both.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

MAX_HOST_LENGTH = 253  # RFC 1035, without the final dot
MAX_PATH_LENGTH = 1024

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# RFC 3986 pchar and "/", without "*", which only the end of a prefix may have.
_PATH = re.compile(r"/(?:[A-Za-z0-9\-._~!$&'()+,;=:@/]|%[0-9A-Fa-f]{2})*")
_EXAMPLES = "for example api.example.com, *.example.com or example.com/api/*"


class Specificity(NamedTuple):
    """Orders patterns that match the same request: the greatest decides. The order of the fields is the rule."""

    exact_host: bool
    host_length: int
    path_length: int
    exact_path: bool


@dataclass(frozen=True, slots=True, order=True)
class RoutePattern:
    """A normalised pattern; ``str()`` gives the text that parses to it. Made by :func:`parse_pattern`."""

    host: str
    path: str | None = None  # None: every path

    def __str__(self) -> str:
        return self.host + (self.path or "")

    @property
    def is_wildcard(self) -> bool:
        return self.host.startswith("*.")

    @property
    def specificity(self) -> Specificity:
        path = self.path or ""
        return Specificity(
            exact_host=not self.is_wildcard,
            host_length=len(self.host),
            path_length=len(path.removesuffix("/*")),
            exact_path=self.path is not None and not path.endswith("/*"),
        )

    def matches(self, host: str, path: str) -> bool:
        """Tell whether a request goes here. `host` comes without a port, `path` without a query."""
        return self._matches_host(normalise_host(host)) and self._matches_path(path)

    def _matches_host(self, host: str) -> bool:
        if self.is_wildcard:
            suffix = self.host[1:]
            return host.endswith(suffix) and len(host) > len(suffix)
        return host == self.host

    def _matches_path(self, path: str) -> bool:
        if self.path is None:
            return True
        if self.path.endswith("/*"):
            return (path + "/").startswith(self.path[:-1])
        return path == self.path or path == self.path + "/"


@lru_cache(maxsize=8192)  # every table compiles every route
def parse_pattern(text: str) -> RoutePattern:
    """Read a pattern; `ValueError` says to a person what is wrong with it and what to write instead."""
    if not text:
        raise ValueError(f"is empty; give a host name with an optional path, {_EXAMPLES}")
    _refuse_url_parts(text)
    host, slash, rest = text.partition("/")
    return RoutePattern(_parse_host(host), _parse_path(slash + rest))


def normalise_host(host: str) -> str:
    """Host names compare without case and without the root's dot."""
    return host.lower().removesuffix(".")


def same_claim(one: RoutePattern, other: RoutePattern) -> bool:
    """Tell whether two apps cannot both have these: neither is more specific than the other."""
    return (one.host, one.path) == (other.host, other.path)


def most_specific(patterns: Iterable[RoutePattern], host: str, path: str) -> RoutePattern | None:
    """Return the pattern that decides a request, or None."""
    candidates = [pattern for pattern in patterns if pattern.matches(host, path)]
    return max(candidates, key=lambda pattern: pattern.specificity, default=None)


def _refuse_url_parts(text: str) -> None:
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("contains a space or a control character")
    if "://" in text:
        raise ValueError(f"is a URL; leave out {text.partition('://')[0]!r}:// and give host and path, {_EXAMPLES}")
    if "?" in text or "#" in text:
        raise ValueError("has a query or fragment; a route is a host and a path only")


def _parse_host(text: str) -> str:
    if not text:
        raise ValueError(f"has no host name; a path alone is not a route, {_EXAMPLES}")
    host = normalise_host(text)
    if ":" in host:
        raise ValueError(f"has a port or an address in {text!r}; leave it out, the ports are the server's")
    name = host.removeprefix("*.")
    if "*" in name:
        raise ValueError(f"may have '*' only as the whole first label of the host, as in *.example.com, not {text!r}")
    if not name.isascii():
        raise ValueError(f"has characters in {text!r} that are not ASCII; write its punycode form, xn--…")
    if len(host) > MAX_HOST_LENGTH:
        raise ValueError(f"has a host name of {len(host)} characters; DNS allows {MAX_HOST_LENGTH}")
    for label in name.split("."):
        if not _LABEL.fullmatch(label):
            raise ValueError(_label_fault(label, text))
    return host


def _label_fault(label: str, host: str) -> str:
    if not label:
        return f"has an empty part in the host name {host!r}"
    if len(label) > 63:
        return f"has a part of {len(label)} characters in the host name {host!r}; DNS allows 63"
    return f"has {label!r} in the host name {host!r}; allowed are a-z, 0-9 and '-', and '-' not at either end"


def _parse_path(text: str) -> str | None:
    is_prefix = text.endswith("/*")
    path = text.removesuffix("/*") if is_prefix else text.removesuffix("/")
    if "*" in path:
        raise ValueError(f"may have '*' in the path only after the last slash, as in /api/*, not {text!r}")
    if not path:
        return None
    if not _PATH.fullmatch(path):
        raise ValueError(f"has a character in the path {text!r} that must be percent-encoded")
    if len(path) > MAX_PATH_LENGTH:
        raise ValueError(f"has a path of {len(path)} characters; at most {MAX_PATH_LENGTH} are allowed")
    if not {"", ".", ".."}.isdisjoint(path.split("/")[1:]):
        raise ValueError(f"has an empty, '.' or '..' part in the path {text!r}, which no request can have")
    return path + "/*" if is_prefix else path
