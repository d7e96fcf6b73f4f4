"""Route: accepted, or the conflict it has. The oldest claim of a pattern wins."""

from collections.abc import Iterable
from typing import Any

from tako.model.conditions import Told, merge_conditions
from tako.model.kinds import ROUTE
from tako.model.routes import RoutePattern, parse_pattern
from tako.reconcilers.world import World

Doc = dict[str, Any]


async def reconcile_route(world: World, namespace: str, name: str) -> None:
    """State whether the proxy serves the route."""
    doc = await world.find(ROUTE, namespace, name)
    if doc is None or "deletionTimestamp" in doc["metadata"]:
        return
    told = judge(doc, world.mirror.routes())
    generation = doc["metadata"]["generation"]
    conditions = merge_conditions(doc.get("status", {}).get("conditions"), [told], generation, world.now())
    wrote = await world.write_status(ROUTE, doc, {"observedGeneration": generation, "conditions": conditions})
    if wrote and told.status == "False":
        await world.tell(doc, "Warning", told.reason, told.message)


def judge(route: Doc, all_routes: Iterable[Doc]) -> Told:
    """Compare a route with every other; the older claim of the same host and path wins."""
    try:
        claim = parse_pattern(route["spec"]["pattern"])
    except ValueError as error:
        return Told("Accepted", "False", "InvalidPattern", f"{route['spec']['pattern']!r} {error}")
    for other in all_routes:
        if other["metadata"]["uid"] != route["metadata"]["uid"] and _claims(other, claim) and _older(other, route):
            owner = f"App {other['spec']['app']} in {other['metadata']['namespace']}"
            message = f"{route['spec']['pattern']} is already served by {owner}; remove it from one of the two apps."
            return Told("Accepted", "False", "Conflict", message)
    return Told("Accepted", "True", "Accepted", f"{route['spec']['pattern']} reaches App {route['spec']['app']}.")


def accepted(routes: Iterable[Doc]) -> list[Doc]:
    """Return the routes that win; what :func:`judge` says of each, for all at once."""
    winners: dict[RoutePattern, Doc] = {}
    for route in sorted(routes, key=_age):
        try:
            claim = parse_pattern(route["spec"]["pattern"])
        except ValueError:
            continue
        winners.setdefault(claim, route)
    return list(winners.values())


def _claims(route: Doc, claim: RoutePattern) -> bool:
    try:
        return parse_pattern(route["spec"]["pattern"]) == claim
    except ValueError:
        return False


def _older(one: Doc, other: Doc) -> bool:
    return _age(one) < _age(other)


def _age(route: Doc) -> tuple[str, str]:
    # The uid decides between two of the same second, so that every pass decides alike.
    return (route["metadata"]["creationTimestamp"], route["metadata"]["uid"])
