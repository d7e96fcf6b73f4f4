"""How a document is made, changed and deleted: every rule between a request and the store.

All of it up to the queueing of the commit is free of awaits, so each change is computed from the one before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tako.api import builtin_rules, lifecycle, ownership
from tako.api.builtin import NAMESPACES
from tako.api.entries import Change, ChangeType, Entry, Key, encode, entry_of
from tako.api.errors import ApiError, already_exists, bad_request, changed_meanwhile, forbidden, invalid, not_found
from tako.api.objectmeta import metadata_faults
from tako.api.options import ANY, DEFAULT, Options, Preconditions
from tako.api.patch import same
from tako.api.registry import CRDS, Registry, Resource
from tako.api.store import Store
from tako.model.errors import FieldError

Document = dict[str, Any]
ListDocuments = Callable[[str], list[Document]]
Admission = Callable[[Document | None, Document, ListDocuments], list[FieldError]]
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The document as stored (or as it would be), and what to tell the client beside it."""

    document: Document
    raw: bytes
    created: bool = False
    deleted: bool = False
    warnings: tuple[str, ...] = ()


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Changes:
    """The write side. `protected` are definitions that may be neither changed nor deleted by clients."""

    store: Store
    registry: Registry
    admission: Mapping[str, Admission]
    now: Clock = utc_now
    protected: set[str] = field(default_factory=set)
    _parsed: dict[str, dict[str, tuple[int, Document]]] = field(default_factory=dict)

    async def create(self, resource: Resource, namespace: str, doc: Any, options: Options = DEFAULT) -> Outcome:
        """Make a new document; its namespace is made with it when there is none."""
        proposed = lifecycle.normalized(doc, resource, namespace, None)
        key = Key(resource.group_resource, namespace, proposed["metadata"]["name"])
        if proposed["metadata"].get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if self.store.latest(key) is not None:
            raise already_exists(resource.group_resource, key.name)
        return await self._create(resource, key, ownership.created_by_client(proposed), options)

    async def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Callable[[Document], Any],
        options: Options = DEFAULT,
    ) -> Outcome:
        """Change a document by what `change` returns for the newest state of it."""
        key = Key(resource.group_resource, namespace, name)
        live = self.store.latest(key)
        if live is None:
            raise not_found(resource.group_resource, name)
        old = live.read()
        proposed = lifecycle.normalized(change(live.read()), resource, namespace, name)
        return await self._update(resource, live, old, proposed, options)

    async def apply(
        self, resource: Resource, namespace: str, name: str, config: Any, options: Options = DEFAULT
    ) -> Outcome:
        """Make a document hold what `config` says, as `options.manager`; made when it does not exist."""
        key = Key(resource.group_resource, namespace, name)
        config = lifecycle.normalized(config, resource, namespace, name)
        live = self.store.latest(key)
        if live is None:
            if options.subresource:
                raise not_found(resource.group_resource, name)
            proposed = ownership.applied(None, config, resource, options, self.now())
            return await self._create(resource, key, proposed, options)
        old = live.read()
        proposed = ownership.applied(live.read(), config, resource, options, self.now())
        return await self._update(resource, live, old, proposed, options, is_apply=True)

    async def delete(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        propagation: str | None = None,
        preconditions: Preconditions = ANY,
        dry_run: bool = False,
    ) -> Outcome:
        """Delete a document, or mark it until its finalizers are done."""
        live = self.store.latest(Key(resource.group_resource, namespace, name))
        if live is None:
            raise not_found(resource.group_resource, name)
        old = live.read()
        _check_preconditions(resource, old, preconditions)
        self._refuse_protected(resource, name, "it is part of this server")
        finalizer = {"Foreground": lifecycle.FOREGROUND, "Orphan": lifecycle.ORPHAN}.get(propagation or "")
        marked = lifecycle.marked_for_deletion(old, self.now(), finalizer)
        marked = builtin_rules.complete(resource.group_resource, marked, old, lifecycle.rfc3339(self.now()))
        if same(old, marked):
            await self.store.settled(live.key)
            return Outcome(old, live.raw)
        return await self._store(live, marked, dry_run)

    async def release_namespace(self, name: str) -> None:
        """Let a namespace go whose content is gone."""
        live = self.store.latest(Key(NAMESPACES, "", name))
        if live is not None and live.deleting:
            await self._store(live, {**live.read(), "spec": {"finalizers": []}}, dry_run=False)

    async def _create(self, resource: Resource, key: Key, proposed: Document, options: Options) -> Outcome:
        self._refuse_while_undefining(resource)
        now = self.now()
        proposed, warnings = _pruned(resource, proposed, options)
        doc = lifecycle.created(resource.schema.default(proposed), resource, now)
        doc = builtin_rules.complete(resource.group_resource, doc, None, lifecycle.rfc3339(now))
        self._check(resource, None, doc)
        home = self._home(key)
        if home is not None and not options.dry_run:
            # Queued first, so that nobody ever sees an object without its namespace.
            namespace_change, doc_change = self._addition(*home), self._addition(key, doc)
            await self.store.commit(namespace_change, doc_change)
            return Outcome(doc, doc_change.entry.raw, created=True, warnings=warnings)
        if options.dry_run:
            doc["metadata"].pop("resourceVersion", None)
            return Outcome(doc, encode(doc), created=True, warnings=warnings)
        change = self._addition(key, doc)
        await self.store.commit(change)
        return Outcome(doc, change.entry.raw, created=True, warnings=warnings)

    async def _update(
        self,
        resource: Resource,
        live: Entry,
        old: Document,
        proposed: Document,
        options: Options,
        is_apply: bool = False,
    ) -> Outcome:
        now = self.now()
        proposed, warnings = _pruned(resource, proposed, options)
        doc = lifecycle.updated(old, resource.schema.default(proposed), resource, options.subresource)
        doc = builtin_rules.complete(resource.group_resource, doc, old, lifecycle.rfc3339(now))
        if not is_apply:
            doc = ownership.tracked(old, doc, resource, options, now)
        doc["apiVersion"] = self.registry.stored(resource.group_resource).api_version
        doc["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if lifecycle.same_content(old, doc):
            await self.store.settled(live.key)
            return Outcome(old, live.raw, warnings=warnings)
        self._check(resource, old, doc)
        outcome = await self._store(live, doc, options.dry_run)
        return Outcome(outcome.document, outcome.raw, deleted=outcome.deleted, warnings=warnings)

    async def _store(self, live: Entry, doc: Document, dry_run: bool) -> Outcome:
        metadata = doc["metadata"]
        gone = (
            "deletionTimestamp" in metadata
            and not metadata.get("finalizers")
            and not (live.key.group_resource == NAMESPACES and doc["spec"]["finalizers"])
        )
        if dry_run:
            return Outcome(doc, encode(doc), deleted=gone)
        metadata["resourceVersion"] = str(self.store.next_revision())
        entry = entry_of(live.key, doc)
        await self.store.commit(Change(ChangeType.DELETED if gone else ChangeType.MODIFIED, entry, live))
        return Outcome(doc, entry.raw, deleted=gone)

    def _addition(self, key: Key, doc: Document) -> Change:
        doc["apiVersion"] = self.registry.stored(key.group_resource).api_version
        doc["metadata"]["resourceVersion"] = str(self.store.next_revision())
        return Change(ChangeType.ADDED, entry_of(key, doc), None)

    def _home(self, key: Key) -> tuple[Key, Document] | None:
        """Return the namespace to be made for `key`, or None; a namespace that is going takes nothing new."""
        if not key.namespace:
            return None
        home = Key(NAMESPACES, "", key.namespace)
        existing = self.store.latest(home)
        if existing is None:
            resource = self.registry.stored(NAMESPACES)
            doc = lifecycle.created(builtin_rules.new_namespace(key.namespace), resource, self.now())
            doc = builtin_rules.complete(NAMESPACES, doc, None, "")
            self._check(resource, None, doc)
            return home, doc
        if existing.deleting:
            raise forbidden(
                key.group_resource,
                key.name,
                f"unable to create new content in namespace {key.namespace} because it is being terminated",
            )
        return None

    def _check(self, resource: Resource, old: Document | None, new: Document) -> None:
        """Raise 422 with everything that is wrong with `new`; what was already stored is not held against it."""
        errors = resource.schema.validate(new)
        content_changed = old is None or not same(_content(old), _content(new))
        if not content_changed:
            errors = [error for error in errors if error.field.startswith("metadata")]
        if not errors:
            errors = metadata_faults(new)
        if not errors and content_changed and "deletionTimestamp" not in new["metadata"]:
            if old is not None:
                self._refuse_redefinition(resource, old, new)
            errors = builtin_rules.faults(resource.group_resource, new)
            rule = self.admission.get(resource.group_resource)
            if rule is not None and not errors and (old is None or not same(old.get("spec"), new.get("spec"))):
                errors = rule(old, new, self._documents)
        if errors:
            raise invalid(resource.kind, resource.group, new["metadata"]["name"], errors)

    def _refuse_while_undefining(self, resource: Resource) -> None:
        """Keep the collector from a race: what is made after it looked would stay without a kind."""
        definition = self.store.latest(Key(CRDS, "", resource.group_resource))
        if definition is not None and definition.deleting:
            raise ApiError(
                405,
                "MethodNotAllowed",
                f"create not allowed while custom resource definition {resource.group_resource} is terminating",
            )

    def _documents(self, group_resource: str) -> list[Document]:
        """Return every document of a resource, for rules to look at and not to change; each is parsed once."""
        known = self._parsed.get(group_resource, {})
        seen: dict[str, tuple[int, Document]] = {}
        for entry in self.store.latest_entries(group_resource):
            held = known.get(entry.uid)
            seen[entry.uid] = held if held and held[0] == entry.revision else (entry.revision, entry.read())
        self._parsed[group_resource] = seen
        return [document for _, document in seen.values()]

    def _refuse_redefinition(self, resource: Resource, old: Document, new: Document) -> None:
        if not same(old.get("spec"), new.get("spec")):
            self._refuse_protected(
                resource,
                new["metadata"]["name"],
                "its spec is part of this server; it changes with the server's version",
            )

    def _refuse_protected(self, resource: Resource, name: str, reason: str) -> None:
        if f"{resource.group_resource}/{name}" in self.protected:
            raise forbidden(resource.group_resource, name, reason)


def _content(doc: Document) -> Document:
    return {key: value for key, value in doc.items() if key != "metadata"}


def _pruned(resource: Resource, doc: Document, options: Options) -> tuple[Document, tuple[str, ...]]:
    pruned, unknown = resource.schema.prune(doc)
    if not unknown or options.validation == "Ignore":
        return pruned, ()
    faults = tuple(f'unknown field "{path}"' for path in unknown)
    if options.validation == "Strict":
        raise ApiError(
            400,
            "BadRequest",
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"strict decoding error: {', '.join(faults)}",
        )
    return pruned, faults


def _check_preconditions(resource: Resource, old: Document, wanted: Preconditions) -> None:
    metadata = old["metadata"]
    if wanted.uid not in (None, metadata["uid"]) or wanted.revision not in (None, metadata["resourceVersion"]):
        raise changed_meanwhile(resource.group_resource, metadata["name"])
