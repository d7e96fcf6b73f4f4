"""`tako describe`: all about a document, for a person."""

import os
from datetime import UTC, datetime

from tako.cli.app_page import Family, app_page
from tako.cli.arguments import AllNamespaces, Names, Namespace, Selector
from tako.cli.client import Client, Document, Resource
from tako.cli.happenings import events_about
from tako.cli.kinds import OWN_GROUP, Kinds
from tako.cli.pages import generic_page
from tako.cli.references import parse_references
from tako.cli.session import DEFAULT_NAMESPACE, Session


def describe(
    session: Session,
    names: Names,
    *,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    selector: Selector = None,
) -> int:
    """Tell all about documents: state, conditions, instances with their last output, events, and what to do."""
    where = None if all_namespaces else namespace or DEFAULT_NAMESPACE
    kinds = Kinds(session.client)
    found = [
        (resource, document)
        for resource, name in parse_references(kinds, names, everywhere=all_namespaces)
        for document in _documents(session.client, resource, where, name, selector)
    ]
    if session.settings.json:
        session.result_json([document for _, document in found] if len(found) != 1 else found[0][1])
        return 0
    pages = ["\n".join(_page(session.client, kinds, resource, document)) for resource, document in found]
    session.result("\n\n\n".join(pages))
    if not pages:
        session.progress("Nothing found.")
    return 0


def _documents(
    client: Client, resource: Resource, namespace: str | None, name: str | None, labels: str | None
) -> list[Document]:
    where = namespace if resource.namespaced else None
    if name is not None:
        return [client.get(resource, where, name)]
    return list(client.list(resource, where, labels=labels)["items"])


def _page(client: Client, kinds: Kinds, resource: Resource, document: Document) -> list[str]:
    happened, now = events_about(client, document), datetime.now(UTC)
    if (resource.group, resource.kind) != (OWN_GROUP[0], "App"):
        return generic_page(document, happened, now)
    family = _family(client, kinds, document, happened)
    source = document["spec"].get("source") or {}
    path = str(source.get("path") or source.get("archive") or "")
    return app_page(family, now, source_exists=os.path.exists(path))  # noqa: PTH110


def _family(client: Client, kinds: Kinds, app: Document, happened: list[Document]) -> Family:
    name, namespace = app["metadata"]["name"], app["metadata"]["namespace"]

    def children(plural: str) -> list[Document]:
        listed = client.list(kinds.named(plural), namespace, fields=f"spec.app={name}")
        return sorted(listed["items"], key=lambda item: str(item["metadata"].get("creationTimestamp", "")))

    return Family(app, children("instances"), children("routes"), children("releases"), happened)
