"""Routes that two apps of one `tako apply` both claim; the server sees each only against what is stored."""

from collections.abc import Sequence

from tako.cli.failure import CommandFailed
from tako.cli.manifests import Checked
from tako.model.routes import RoutePattern, parse_pattern


def refuse_shared_routes(checked: Sequence[Checked]) -> None:
    """Raise when two of the documents, each of them valid by itself, claim the same route."""
    holders: dict[RoutePattern, str] = {}
    for each in checked:
        if each.manifest.resource.plural != "apps":
            continue
        where = each.manifest.source.where
        for index, route in enumerate(each.wanted["spec"].get("routes") or []):
            try:
                pattern = parse_pattern(route)
            except ValueError as fault:
                raise CommandFailed(f'{where}: spec.routes[{index}]: given "{route}": {fault}') from fault
            holder = holders.setdefault(pattern, where)
            if holder != where:
                raise CommandFailed(
                    f'{where}: spec.routes[{index}]: given "{route}": is claimed by {holder}; a route has one app'
                )
