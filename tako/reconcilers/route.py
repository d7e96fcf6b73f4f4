"""Route: accepted, or the conflict it has. The oldest claim of a pattern wins."""

from collections.abc import Iterable
from typing import Any

from tako.model.conditions import Told, merge_conditions
from tako.model.kinds import ROUTE
from tako.model.names import DeploymentId
from tako.proxy.table import Claim, contested
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
    """Compare a route with every other; the older claim of the same host and path wins. Pure."""
    declared = route["spec"]["pattern"]
    try:
        claim = claim_of(route)
    except ValueError as error:
        return Told("Accepted", "False", "InvalidPattern", f"{declared!r} {error}")
    holder = contested([*claims(all_routes), claim]).get(claim)
    if holder is not None:
        owner = f"App {holder.app.app} in {holder.app.environment}"
        message = f"{declared} is already served by {owner}; remove it from one of the two apps."
        return Told("Accepted", "False", "Conflict", message)
    return Told("Accepted", "True", "Accepted", f"{declared} reaches App {claim.app.app}.")


def claim_of(route: Doc) -> Claim:
    """Return what a Route claims; ValueError when its pattern cannot be read."""
    meta, spec = route["metadata"], route["spec"]
    return Claim.declare(DeploymentId(spec["app"], meta["namespace"]), spec["pattern"], meta["creationTimestamp"])


def claims(routes: Iterable[Doc]) -> list[Claim]:
    """Return the claims of all routes that can be read."""
    found: list[Claim] = []
    for route in routes:
        try:
            found.append(claim_of(route))
        except ValueError:
            continue  # its own condition says so
    return found
