"""Routes that two apps of one `tako apply` both claim; the server sees each only against what is stored."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tako.cli.failure import CommandFailed

if TYPE_CHECKING:
    from tako.cli.manifests import Checked


def refuse_shared_routes(checked: "Sequence[Checked]") -> None:
    """Raise when two of the documents claim the same route."""
    holders: dict[str, str] = {}
    for each in checked:
        if each.manifest.resource.plural != "apps":
            continue
        for index, route in enumerate(each.wanted["spec"].get("routes") or []):
            where = each.manifest.source.where
            holder = holders.setdefault(_normal(route), where)
            if holder != where:
                raise CommandFailed(
                    f'{where}: spec.routes[{index}]: given "{route}": is claimed by {holder}; one route has one app'
                )


def _normal(route: str) -> str:
    return route.lower().removesuffix("/")
