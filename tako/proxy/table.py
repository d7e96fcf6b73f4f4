"""Compile what is known about apps, routes and certificates into the table the proxy forwards by. Pure.

The same facts in any order give an equal table, so that comparing two tells whether there is anything to send.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tako.model.control import Challenge, Delta, Policies, Table, TableApp, TableCertificate, TableRoute
from tako.model.names import DeploymentId
from tako.model.routes import RoutePattern, parse_pattern


@dataclass(frozen=True, slots=True)
class Claim:
    """An app's claim to a route: what it declared, and since when (RFC 3339 in UTC, or any text that sorts by time)."""

    app: DeploymentId
    declared: str
    pattern: RoutePattern
    since: str = ""

    @classmethod
    def declare(cls, app: DeploymentId, declared: str, since: str = "") -> "Claim":
        """Read a declared route; `ValueError` tells a person what is wrong with it."""
        return cls(app, declared, parse_pattern(declared), since)


@dataclass(frozen=True, slots=True)
class TableContent:
    """A table without its generation. Equal contents need not be sent twice."""

    policies: Policies = field(default_factory=Policies)
    apps: tuple[TableApp, ...] = ()
    routes: tuple[TableRoute, ...] = ()
    certificates: tuple[TableCertificate, ...] = ()
    default_certificate: TableCertificate | None = None
    challenges: tuple[Challenge, ...] = ()

    def table(self, generation: int) -> Table:
        return Table(
            generation=generation,
            policies=self.policies,
            apps=self.apps,
            routes=self.routes,
            certificates=self.certificates,
            default_certificate=self.default_certificate,
            challenges=self.challenges,
        )


def compile_table(
    apps: Iterable[TableApp],
    routes: Iterable[Claim],
    certificates: Iterable[TableCertificate] = (),
    policies: Policies | None = None,
    default_certificate: TableCertificate | None = None,
    challenges: Iterable[Challenge] = (),
) -> TableContent:
    """Return the table. A claim that lost its route to another app, or whose app has no entry, is left out."""
    entries = {entry.app: _with_sorted_endpoints(entry) for entry in apps}
    claims = [claim for claim in routes if str(claim.app) in entries]
    lost = contested(claims)
    won = {claim.pattern: claim for claim in sorted(claims, key=_seniority, reverse=True) if claim not in lost}
    return TableContent(
        policies=policies or Policies(),
        apps=tuple(entries[name] for name in sorted(entries)),
        routes=tuple(_table_route(won[pattern]) for pattern in sorted(won, key=str)),
        certificates=tuple(sorted(set(certificates), key=lambda found: (found.names, found.chain_path))),
        default_certificate=default_certificate,
        challenges=tuple(sorted(set(challenges), key=lambda found: (found.token, found.key_authorization))),
    )


def contested(claims: Iterable[Claim]) -> Mapping[Claim, Claim]:
    """Return, for each claim that another app's claim to the same route excludes, the one that has it: the oldest."""
    holders: dict[RoutePattern, Claim] = {}
    lost: dict[Claim, Claim] = {}
    for claim in sorted(claims, key=_seniority):
        holder = holders.setdefault(claim.pattern, claim)
        if holder.app != claim.app:
            lost[claim] = holder
    return lost


def changes_between(base: TableContent, content: TableContent) -> Sequence[TableApp] | None:
    """Return the app entries that turn `base` into `content`, or None where only a whole table can.

    A delta replaces entries; it adds none and removes none, so that the app set of a table is always a snapshot.
    """
    if [entry.app for entry in base.apps] != [entry.app for entry in content.apps]:
        return None
    if (base.routes, base.policies, base.challenges) != (content.routes, content.policies, content.challenges):
        return None
    if (base.certificates, base.default_certificate) != (content.certificates, content.default_certificate):
        return None
    return [new for old, new in zip(base.apps, content.apps, strict=True) if old != new]


def render_change(base: tuple[int, TableContent] | None, generation: int, content: TableContent) -> Table | Delta:
    """Return the smallest message after which a proxy that holds `base` serves `content`."""
    if base is not None:
        held, held_content = base
        changed = changes_between(held_content, content)
        if changed is not None:
            return Delta(base=held, generation=generation, apps=tuple(changed))
    return content.table(generation)


def _seniority(claim: Claim) -> tuple[str, str, str]:
    return (claim.since, str(claim.app), claim.declared)


def _with_sorted_endpoints(entry: TableApp) -> TableApp:
    return entry.model_copy(update={"endpoints": tuple(sorted(entry.endpoints, key=lambda found: found.instance))})


def _table_route(claim: Claim) -> TableRoute:
    return TableRoute(host=claim.pattern.host, path=claim.pattern.path, app=str(claim.app), pattern=claim.declared)
