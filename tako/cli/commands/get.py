"""`tako get`: documents as a table, or in full; `-w` goes on with every change."""

from collections.abc import Sequence
from typing import Annotated

from tako.cli.arguments import AllNamespaces, FieldSelector, Names, Namespace, Option, Selector, Watch
from tako.cli.client import Document, Resource
from tako.cli.failure import CommandFailed
from tako.cli.formats import TABLES, check_format, render, without_managers
from tako.cli.kinds import Kinds
from tako.cli.references import Reference, parse_references
from tako.cli.session import DEFAULT_NAMESPACE, Session
from tako.cli.tables import (
    column_widths,
    render_columns,
    render_row,
    shown_columns,
    table_cells,
    table_headers,
)

Output = Annotated[str | None, Option(("--output", "-o"), "wide, json, yaml, name, or jsonpath=TEMPLATE.", "FORMAT")]


def get(
    session: Session,
    names: Names,
    *,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    output: Output = None,
    selector: Selector = None,
    field_selector: FieldSelector = None,
    watch: Watch = False,
) -> int:
    """List documents of any kind, or show some by name.

    tako get apps -A; tako get app hello -o yaml; tako get apps,routes; tako get instances -l tako.sh/app=hello -w
    """
    chosen = check_format(output or ("json" if session.settings.json else None))
    references = parse_references(Kinds(session.client), names, everywhere=all_namespaces)
    where = None if all_namespaces else namespace or DEFAULT_NAMESPACE
    getter = _Getter(session, chosen, where, selector, field_selector, several=_kinds(references) > 1)
    if watch:
        getter.watch(references)
    elif chosen in TABLES:
        getter.show_tables(references)
    else:
        getter.show_documents(references)
    return 0


class _Getter:
    """Reads by reference and prints in the chosen format."""

    def __init__(
        self,
        session: Session,
        output: str,
        namespace: str | None,
        labels: str | None,
        fields: str | None,
        *,
        several: bool,
    ) -> None:
        self.session = session
        self.output = output
        self.namespace = namespace
        self.labels = labels
        self.fields = fields
        self.several = several

    def read(self, reference: Reference, *, table: bool) -> Document:
        resource, name = reference
        where = self.namespace if resource.namespaced else None
        if name is not None:
            return self.session.client.get(resource, where, name, table=table)
        return self.session.client.list(resource, where, labels=self.labels, fields=self.fields, table=table)

    def show_tables(self, references: Sequence[Reference]) -> None:
        shown = []
        for resource, group in _by_resource(references):
            tables = [self.read(reference, table=True) for reference in group]
            rows = [row for table in tables for row in table.get("rows") or []]
            if rows:
                shown.append(self._columns(resource, tables[0], rows))
        self.session.result("\n\n".join(shown))
        if not shown:
            self.session.progress(self._nothing(references))

    def _columns(self, resource: Resource, table: Document, rows: Sequence[Document]) -> str:
        columns = shown_columns(table, self.output == "wide")
        namespaced = self._with_namespace(resource)
        prefix = f"{resource.qualified}/" if self.several else ""
        cells = [table_cells(row, columns, namespaced, prefix) for row in rows]
        return render_columns(table_headers(table, columns, namespaced), cells)

    def _with_namespace(self, resource: Resource) -> bool:
        return self.namespace is None and resource.namespaced

    def _nothing(self, references: Sequence[Reference]) -> str:
        kinds = ", ".join(dict.fromkeys(reference.resource.plural for reference in references))
        if self.namespace is None or not references[0].resource.namespaced:
            return f"No {kinds} found."
        return f"No {kinds} found in namespace {self.namespace}; -A looks in every namespace."

    def show_documents(self, references: Sequence[Reference]) -> None:
        documents = [self.read(reference, table=False) for reference in references]
        if self.output == "name":
            lines = [
                render("name", document, ref.resource) for document, ref in zip(documents, references, strict=True)
            ]
            self.session.result("\n".join(line for line in lines if line))
            return
        document = documents[0] if len(documents) == 1 else _joined(documents)
        self.session.reported = True
        self.session.result(render(self.output, document, references[0].resource))

    def watch(self, references: Sequence[Reference]) -> None:
        if len(references) != 1:
            raise CommandFailed("-w follows one kind, or one document", 2)
        resource, name = references[0]
        where = self.namespace if resource.namespaced else None
        fields = f"metadata.name={name}" if name else self.fields
        client = self.session.client
        table = self.output in TABLES
        listed = client.list(resource, where, labels=self.labels, fields=fields, table=table)
        if name and not listed.get("rows" if table else "items"):
            client.get(resource, where, name)  # says in the server's words that there is no such document
        printer = _Rows(self, resource) if table else _Documents(self, resource)
        printer.first(listed)
        since = listed["metadata"]["resourceVersion"]
        for event in client.watch(resource, where, since=since, labels=self.labels, fields=fields, table=table):
            printer.change(event)
        raise CommandFailed("the server ended the watch")


class _Rows:
    """A table that grows; columns keep the width they began with until a cell needs more."""

    def __init__(self, getter: _Getter, resource: Resource) -> None:
        self._getter = getter
        self._namespaced = getter._with_namespace(resource)
        self._table: Document = {}
        self._widths: list[int] = []

    def first(self, table: Document) -> None:
        self._table = table
        columns = shown_columns(table, self._getter.output == "wide")
        headers = [header.upper() for header in table_headers(table, columns, self._namespaced)]
        lines = [headers, *(table_cells(row, columns, self._namespaced) for row in table.get("rows") or [])]
        self._widths = column_widths(lines)
        self._getter.session.result("\n".join(render_row(line, self._widths) for line in lines))

    def change(self, event: Document) -> None:
        # Only the first event of a watch has to describe the columns.
        table = event["object"] if event["object"].get("columnDefinitions") else {**self._table, **event["object"]}
        columns = shown_columns({**table, "columnDefinitions": self._table["columnDefinitions"]}, self._wide)
        for row in event["object"].get("rows") or []:
            cells = table_cells(row, columns, self._namespaced)
            if event["type"] == "DELETED":
                cells[-1] += " (deleted)"
            self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
            self._getter.session.result(render_row(cells, self._widths))

    @property
    def _wide(self) -> bool:
        return self._getter.output == "wide"


class _Documents:
    """Documents in full, one after the other."""

    def __init__(self, getter: _Getter, resource: Resource) -> None:
        self._getter = getter
        self._resource = resource

    def first(self, listed: Document) -> None:
        for item in listed["items"]:
            self._print("ADDED", item)

    def change(self, event: Document) -> None:
        self._print(event["type"], event["object"])

    def _print(self, change: str, document: Document) -> None:
        session = self._getter.session
        if session.settings.json:
            session.result_json({"type": change, "object": without_managers(document)}, streaming=True)
            return
        text = render(self._getter.output, document, self._resource)
        session.result(f"---\n{text}" if self._getter.output == "yaml" else text)


def _kinds(references: Sequence[Reference]) -> int:
    return len({reference.resource for reference in references})


def _by_resource(references: Sequence[Reference]) -> list[tuple[Resource, list[Reference]]]:
    groups: dict[Resource, list[Reference]] = {}
    for reference in references:
        groups.setdefault(reference.resource, []).append(reference)
    return list(groups.items())


def _joined(documents: Sequence[Document]) -> Document:
    items = [item for document in documents for item in document.get("items", [document])]
    return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}
