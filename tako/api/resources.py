"""The resource API as Python calls: what the server's own parts use, and what HTTP is a thin layer over.

Documents are plain JSON dictionaries; those returned are copies. All runs on the loop of the store.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from tako.api.changes import Changes, Document, Outcome
from tako.api.entries import Key
from tako.api.errors import not_found
from tako.api.events import record_event
from tako.api.options import Options
from tako.api.patch import json_patch, merge_patch
from tako.api.registry import Registry
from tako.api.selectors import parse_fields, parse_labels
from tako.api.store import Store
from tako.api.watch import Selection, select, watch

_ALWAYS_SELECTABLE = ("metadata.name", "metadata.namespace")


class Resources:
    """Every verb takes the resource as ``apps.tako.sh`` and the namespace, empty or None for cluster-wide kinds."""

    def __init__(self, changes: Changes) -> None:
        self.changes = changes
        self.store: Store = changes.store
        self.registry: Registry = changes.registry

    async def get(self, group_resource: str, namespace: str | None, name: str) -> Document:
        """Return the document; raises ApiError 404."""
        entry = self.store.get(Key(group_resource, namespace or "", name))
        if entry is None:
            raise not_found(group_resource, name)
        return entry.read()

    async def list(
        self,
        group_resource: str,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
    ) -> tuple[list[Document], int]:
        """Return the selected documents, and the revision from which a watch continues."""
        selection = self.selection(group_resource, namespace, labels, fields)
        return [entry.read() for entry in select(self.store, selection)], self.store.revision

    async def create(
        self, group_resource: str, namespace: str | None, doc: Document, *, dry_run: bool = False
    ) -> Document:
        resource = self.registry.stored(group_resource)
        outcome = await self.changes.create(resource, namespace or "", doc, self._options(dry_run))
        return outcome.document

    async def replace(
        self,
        group_resource: str,
        namespace: str | None,
        name: str,
        doc: Document,
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Document:
        """Store `doc`; its resourceVersion, when it has one, must be the current one (409 otherwise)."""
        return await self._update(group_resource, namespace, name, lambda old: doc, subresource, dry_run)

    async def merge_patch(
        self,
        group_resource: str,
        namespace: str | None,
        name: str,
        patch: Document,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Document:
        return await self._update(
            group_resource, namespace, name, lambda old: merge_patch(old, patch), subresource, dry_run
        )

    async def json_patch(
        self,
        group_resource: str,
        namespace: str | None,
        name: str,
        operations: Sequence[Document],
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Document:
        return await self._update(
            group_resource, namespace, name, lambda old: json_patch(old, operations), subresource, dry_run
        )

    async def apply(
        self,
        group_resource: str,
        namespace: str | None,
        config: Document,
        *,
        manager: str = "tako",
        force: bool = True,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Document:
        """Make the document hold `config`, without what `manager` applied before and now leaves out."""
        options = Options(dry_run=dry_run, manager=manager, force=force, subresource=subresource, validation="Strict")
        resource = self.registry.stored(group_resource)
        name = config["metadata"]["name"]
        return (await self.changes.apply(resource, namespace or "", name, config, options)).document

    async def delete(
        self, group_resource: str, namespace: str | None, name: str, propagation: str | None = None
    ) -> Outcome:
        """Delete; with finalizers left the document stays, marked. Propagation: Background, Foreground, Orphan."""
        resource = self.registry.stored(group_resource)
        return await self.changes.delete(resource, namespace or "", name, propagation)

    async def event(self, regarding: Document, type_: str, reason: str, message: str) -> None:
        """Tell what happened to an object; `type_` is Normal or Warning."""
        await record_event(self.changes, regarding, type_, reason, message)

    async def watch(
        self, group_resource: str, namespace: str | None = None, after: int | None = None
    ) -> AsyncIterator[tuple[str, Document]]:
        """Yield (ADDED, MODIFIED or DELETED, document); without a revision, first what there is."""
        async for batch in watch(self.store, self.selection(group_resource, namespace), after):
            for seen in batch:
                if seen.entry is not None:
                    yield seen.type, seen.entry.read()

    def selection(
        self,
        group_resource: str,
        namespace: str | None = None,
        labels: str | None = None,
        fields: str | None = None,
        name: str | None = None,
    ) -> Selection:
        """Parse selectors; raises SelectorInvalid."""
        resource = self.registry.stored(group_resource)
        allowed = (*_ALWAYS_SELECTABLE, *resource.selectable_fields)
        return Selection(
            group_resource,
            namespace or None,
            name,
            parse_labels(labels) if labels else None,
            parse_fields(fields, allowed) if fields else None,
        )

    async def _update(
        self,
        group_resource: str,
        namespace: str | None,
        name: str,
        change: Callable[[Document], Any],
        subresource: str | None,
        dry_run: bool,
    ) -> Document:
        resource = self.registry.stored(group_resource)
        options = self._options(dry_run, subresource)
        return (await self.changes.update(resource, namespace or "", name, change, options)).document

    def _options(self, dry_run: bool, subresource: str | None = None) -> Options:
        # The server's own parts are wrong when they write what no schema knows.
        return Options(dry_run=dry_run, subresource=subresource, validation="Strict")
