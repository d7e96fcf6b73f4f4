"""Who claims which route: an App by `spec.routes`, or a Route in an app's name. One claim has one app.

Two claims conflict when neither pattern is more specific than the other; otherwise the more specific one decides.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tako.model import faults
from tako.model.errors import FieldError
from tako.model.names import DeploymentId
from tako.model.routes import RoutePattern, parse_pattern

Document = dict[str, Any]

_parse = lru_cache(maxsize=4096)(parse_pattern)


@dataclass(frozen=True, slots=True)
class Claim:
    """A pattern as written, the field it is written in, and the app it is for."""

    pattern: str
    field: str
    app: DeploymentId


def app_claims(app: Document) -> list[Claim]:
    """Return what an App claims by `spec.routes`."""
    owner = DeploymentId(app["metadata"]["name"], app["metadata"]["namespace"])
    patterns = app["spec"].get("routes") or ()
    return [Claim(pattern, f"spec.routes[{index}]", owner) for index, pattern in enumerate(patterns)]


def route_claims(route: Document) -> list[Claim]:
    """Return what a Route claims."""
    spec = route["spec"]
    return [Claim(spec["pattern"], "spec.pattern", DeploymentId(spec["app"], route["metadata"]["namespace"]))]


def claim_faults(claims: Sequence[Claim], others: Iterable[Document]) -> list[FieldError]:
    """Return the faults of `claims` themselves, and their conflicts with what other Apps and Routes claim."""
    found, own = [], dict[RoutePattern, Claim]()
    for claim in claims:
        try:
            pattern = _parse(claim.pattern)
        except ValueError as error:
            found.append(faults.invalid(claim.field, claim.pattern, str(error)))
            continue
        if pattern in own:
            detail = f"means the same as {own[pattern].pattern} at {own[pattern].field}"
            found.append(faults.duplicate(claim.field, claim.pattern, detail))
        else:
            own[pattern] = claim
    return [*found, *_conflicts(own, others)] if own else found


def _conflicts(own: dict[RoutePattern, Claim], others: Iterable[Document]) -> list[FieldError]:
    found = {}
    documents = list(others)
    apps = {document["metadata"].get("uid") for document in documents if document.get("kind") == "App"}
    for document in documents:
        is_app = document.get("kind") == "App"
        if not is_app and _maker(document) in apps:
            continue  # its App says what it claims; a Route that the App gave up may be there a moment longer
        for theirs in app_claims(document) if is_app else route_claims(document):
            ours = own.get(_parsed(theirs))
            if ours and theirs.app != ours.app and ours.field not in found:
                found[ours.field] = faults.duplicate(ours.field, ours.pattern, _explain(theirs, document))
    return list(found.values())


def _maker(route: Document) -> str:
    """Return the uid of the App that made the Route; empty for one that a person wrote."""
    return next((str(o["uid"]) for o in route["metadata"].get("ownerReferences") or () if o.get("controller")), "")


def _parsed(claim: Claim) -> RoutePattern:
    """Parse what is stored already; what cannot be parsed claims nothing."""
    try:
        return _parse(claim.pattern)
    except ValueError:
        return RoutePattern("")


def _explain(theirs: Claim, document: Document) -> str:
    by = f'by app "{theirs.app.app}" in namespace "{theirs.app.environment}"'
    if document.get("kind") != "App":
        by += f' (route "{document["metadata"]["name"]}")'
    return f"is already claimed {by}; take it from there first, or use another host or a longer path"
