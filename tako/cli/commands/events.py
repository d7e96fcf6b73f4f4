"""`tako events`: what happened, oldest first."""

from typing import Annotated

from tako.cli.arguments import AllNamespaces, Namespace, Option, Watch
from tako.cli.client import Document
from tako.cli.failure import CommandFailed
from tako.cli.happenings import EVENTS, HEADERS, by_time, event_cells, render_events
from tako.cli.kinds import Kinds
from tako.cli.references import single
from tako.cli.session import DEFAULT_NAMESPACE, Session
from tako.cli.tables import column_widths, render_row

For = Annotated[str | None, Option(("--for",), "Only of this document.", "KIND/NAME")]
Types = Annotated[str | None, Option(("--types",), "Normal, Warning, or both with a comma.", "TYPE")]


def events(
    session: Session,
    *,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    for_: For = None,
    types: Types = None,
    watch: Watch = False,
) -> int:
    """List events of a namespace or of one document; -w goes on with new ones."""
    where = None if all_namespaces else namespace or DEFAULT_NAMESPACE
    fields = _about(session, for_) if for_ else None
    wanted = {each.lower() for each in types.split(",")} if types else None
    listed = session.client.list(EVENTS, where, fields=fields)
    found = [event for event in by_time(listed["items"]) if _is(event, wanted)]
    if watch:
        return _follow(session, where, fields, wanted, listed["metadata"]["resourceVersion"], found)
    if session.settings.json:
        session.result_json({**listed, "items": found})
    elif found:
        session.result(render_events(found, where is None))
    else:
        session.progress("No events found." if where is None else f"No events found in namespace {where}.")
    return 0


def _about(session: Session, text: str) -> str:
    resource, name = single(Kinds(session.client), [text], "--for app/hello")
    return f"involvedObject.kind={resource.kind},involvedObject.name={name}"


def _is(event: Document, wanted: set[str] | None) -> bool:
    return wanted is None or str(event.get("type", "")).lower() in wanted


def _follow(
    session: Session,
    namespace: str | None,
    fields: str | None,
    wanted: set[str] | None,
    since: str,
    found: list[Document],
) -> int:
    headers = [header.upper() for header in (["Namespace", *HEADERS] if namespace is None else HEADERS)]
    widths = column_widths([headers, *(event_cells(event, namespace is None) for event in found)])

    def show(event: Document) -> None:
        if session.settings.json:
            session.result_json(event, streaming=True)
            return
        cells = event_cells(event, namespace is None)
        widths[:] = [max(width, len(cell)) for width, cell in zip(widths, cells, strict=True)]
        session.result(render_row(cells, widths))

    if not session.settings.json:
        session.result(render_row(headers, widths))
    for event in found:
        show(event)
    for change in session.client.watch(EVENTS, namespace, since=since, fields=fields):
        # Events are deleted when they have grown old, which is nothing that happened.
        if change["type"] != "DELETED" and _is(change["object"], wanted):
            show(change["object"])
    raise CommandFailed("the server ended the watch")
