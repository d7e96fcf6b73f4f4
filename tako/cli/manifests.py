"""The documents of files, ready for the server: kind looked up, namespace set, paths absolute, digests filled in.

Used by `apply`, `diff` and `delete -f`. Faults of all documents are told together, and nothing was changed by then.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from tako.cli.client import Document, RequestFailed, Resource
from tako.cli.documents import Source, read_documents
from tako.cli.failure import CommandFailed
from tako.cli.kinds import OWN_GROUP, Kinds
from tako.cli.refusals import conflicts, explain_refusal
from tako.cli.schemas import Schemas, explain_unknown, unknown_fields
from tako.cli.session import DEFAULT_NAMESPACE, Session

# `tako scale` is an order of the moment; the file says what is wanted, so apply takes its field back without asking.
SCALE_MANAGER = "tako-scale"

Given = TypeVar("Given")
Made = TypeVar("Made")


class Manifest(NamedTuple):
    """One document to be applied, and where it came from."""

    source: Source
    resource: Resource
    namespace: str | None
    document: Document

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def shown(self) -> str:
        return f"{self.resource.qualified}/{self.name}"


class Checked(NamedTuple):
    """What the server holds, and what it would hold after apply."""

    manifest: Manifest
    live: Document | None
    wanted: Document
    force: bool


def read_manifests(session: Session, files: Sequence[str], namespace: str | None) -> list[Manifest]:
    """Read the documents of files and look up their kinds."""
    kinds = Kinds(session.client)
    made = all_or_nothing(lambda source: _manifest(kinds, source, namespace), read_documents(files))
    _refuse_twice(made)
    return made


def check_files(session: Session, files: Sequence[str], namespace: str | None, *, force: bool) -> list[Checked]:
    """Read the documents of files and have the server judge each by a dry run; nothing is changed."""
    kinds = Kinds(session.client)

    def check(source: Source) -> Checked:
        manifest = _with_source(session, _manifest(kinds, source, namespace))
        return _check(session, manifest, force)

    checked = all_or_nothing(check, read_documents(files))
    _refuse_twice([each.manifest for each in checked])
    return checked


def all_or_nothing(step: Callable[[Given], Made], each: Iterable[Given]) -> list[Made]:
    """Do `step` for each; when some fail, fail with everything that they said."""
    made: list[Made] = []
    faults: list[CommandFailed] = []
    for given in each:
        try:
            made.append(step(given))
        except CommandFailed as fault:
            faults.append(fault)
    if faults:
        hints = dict.fromkeys(fault.hint for fault in faults if fault.hint)
        raise CommandFailed("\n".join(str(fault) for fault in faults), hint="\n".join(hints))
    return made


def read_live(session: Session, manifest: Manifest) -> Document | None:
    try:
        return session.client.get(manifest.resource, manifest.namespace, manifest.name)
    except RequestFailed as failed:
        if failed.code == 404:
            return None
        raise


def written_content(document: Document) -> Document:
    """Keep what people write, without what the server and the reconcilers keep in the same document."""
    kept = ("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences")
    metadata = {key: document["metadata"][key] for key in kept if key in document["metadata"]}
    return {key: value for key, value in document.items() if key not in ("metadata", "status")} | {"metadata": metadata}


def _manifest(kinds: Kinds, source: Source, namespace: str | None) -> Manifest:
    try:
        resource = kinds.of_document(source.document)
    except CommandFailed as unknown:
        raise CommandFailed(f"{source.where}: {unknown}") from unknown
    document = dict(source.document)
    if not resource.namespaced:
        return Manifest(source, resource, None, document)
    written = document["metadata"].get("namespace")
    if namespace and written and written != namespace:
        raise CommandFailed(f'{source.where}: metadata.namespace: given "{written}": must be "{namespace}", as -n says')
    where = written or namespace or DEFAULT_NAMESPACE
    document["metadata"] = {**document["metadata"], "namespace": where}
    return Manifest(source, resource, where, document)


def _refuse_twice(manifests: Sequence[Manifest]) -> None:
    first: dict[tuple[Resource, str | None, str], Manifest] = {}
    for manifest in manifests:
        earlier = first.setdefault((manifest.resource, manifest.namespace, manifest.name), manifest)
        if earlier is not manifest:
            raise CommandFailed(f"{manifest.source.where}: is the same document as in {earlier.source.where}")


def _with_source(session: Session, manifest: Manifest) -> Manifest:
    spec = manifest.document.get("spec")
    source = spec.get("source") if isinstance(spec, dict) else None
    if manifest.resource.group != OWN_GROUP[0] or not isinstance(source, dict):
        return manifest
    resolved = dict(source)
    for field in ("path", "archive"):
        if not isinstance(source.get(field), str) or not source[field]:
            continue
        path = Path(manifest.source.directory, source[field])
        # Not resolve(): a link that is switched to a new build must be read again under its own name.
        resolved[field] = str(_without_dots(path))
        if "digest" not in source:
            resolved |= _digest(session, manifest, field, path)
    return manifest._replace(document={**manifest.document, "spec": {**manifest.document["spec"], "source": resolved}})


def _without_dots(path: Path) -> Path:
    """Take `.` and `..` out of the text where no link makes them mean something else."""
    return path.resolve() if ".." in path.parts else path


def _digest(session: Session, manifest: Manifest, field: str, path: Path) -> dict[str, str]:
    from tako.host_agent.digest import source_digest
    from tako.model.errors import Refused

    place = f"{manifest.source.where}: spec.source.{field}"
    if not path.exists():
        # The server refuses nothing here either: the app says in its Ready condition what it waits for.
        session.warn(f'{place}: given "{path}": does not exist on this host; the app waits for it')
        return {}
    if (field == "path") != path.is_dir():
        what = "a directory; a file is named by spec.source.archive" if field == "path" else "a file, not a directory"
        raise CommandFailed(f'{place}: given "{path}": must be {what}')
    try:
        return {"digest": source_digest(path)}
    except Refused as refused:
        raise CommandFailed(f"{place}: {refused}") from refused


def _check(session: Session, manifest: Manifest, force: bool) -> Checked:
    live = read_live(session, manifest)
    for forced in (force, True):
        try:
            wanted = session.client.apply(
                manifest.resource, manifest.namespace, manifest.document, dry_run=True, force=forced
            )
        except RequestFailed as failed:
            if not forced and _only_scaled(failed):
                continue
            raise CommandFailed(_faults(session, manifest, failed)) from failed
        return Checked(manifest, live, wanted, forced)
    raise AssertionError("a forced apply has no conflicts to go round again for")


def _faults(session: Session, manifest: Manifest, failed: RequestFailed) -> str:
    where, client = manifest.source.where, session.client
    unknown = unknown_fields(failed)
    if not unknown:
        return explain_refusal(failed, where, manifest.document)
    schemas = Schemas(client, manifest.resource)
    lines = [f"{where}: {explain_unknown(schemas, path)}" for path in unknown]
    try:
        # Unknown fields are refused before anything else is looked at; people want to hear all at once.
        client.apply(manifest.resource, manifest.namespace, manifest.document, dry_run=True, force=True, strict=False)
    except RequestFailed as more:
        lines.append(explain_refusal(more, where, manifest.document))
    return "\n".join(lines)


def _only_scaled(failed: RequestFailed) -> bool:
    found = conflicts(failed)
    return bool(found) and all(manager == SCALE_MANAGER for manager, _ in found)
