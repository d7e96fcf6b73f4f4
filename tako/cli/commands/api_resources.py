"""`tako api-resources`: the kinds the server knows."""

from tako.cli.kinds import Kinds
from tako.cli.session import Session
from tako.cli.tables import render_columns

HEADERS = ("Name", "Shortnames", "APIVersion", "Namespaced", "Kind", "Verbs")


def api_resources(session: Session) -> int:
    """List the kinds the server knows, with their short names."""
    found = sorted(Kinds(session.client).every(), key=lambda each: (each.group, each.plural))
    if session.settings.json:
        session.result_json({"items": [{**each._asdict(), "apiVersion": each.api_version} for each in found]})
        return 0
    rows = [
        [
            each.plural,
            ",".join(each.short_names),
            each.api_version,
            str(each.namespaced).lower(),
            each.kind,
            ",".join(each.verbs),
        ]
        for each in found
    ]
    session.result(render_columns(HEADERS, rows))
    return 0
