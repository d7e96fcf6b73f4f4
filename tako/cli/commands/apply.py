"""`tako apply`: make the documents of files the wanted state; all of them are checked before any is changed."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from tako.cli.arguments import DryRun, Files, Namespace, Option, Timeout
from tako.cli.claims import refuse_shared_routes
from tako.cli.client import Document
from tako.cli.durations import deadline_in
from tako.cli.manifests import Checked, Manifest, all_or_nothing, check_files, written_content
from tako.cli.readiness import wait_until_ready
from tako.cli.session import Session

Wait = Annotated[bool, Option(("--wait",), "Return when what was applied is ready.")]
Force = Annotated[bool, Option(("--force-conflicts",), "Take over fields that others have set.")]


class _Applied(NamedTuple):
    manifest: Manifest
    outcome: str
    generation: int


def apply(
    session: Session,
    *,
    filename: Files,
    namespace: Namespace = None,
    dry_run: DryRun = False,
    force_conflicts: Force = False,
    wait: Wait = False,
    timeout: Timeout = "120s",
) -> int:
    """Make the documents of files, directories or standard input the wanted state.

    Every document is checked first; when one is refused nothing is changed. Relative paths in spec.source mean
    the directory of the file. Prints created, configured or unchanged for each.
    """
    deadline = deadline_in(timeout)
    checked = check_files(session, filename, namespace, force=force_conflicts)
    refuse_shared_routes(checked)
    applied = [_apply(session, each, dry_run) for each in checked]
    if wait and not dry_run:
        _wait(session, applied, deadline)
    if session.settings.json:
        session.result_json({"ok": True, "command": "apply", "results": [_as_json(each) for each in applied]})
    return 0


def _apply(session: Session, checked: Checked, dry_run: bool) -> _Applied:
    manifest, live, stored, force = checked
    if not dry_run:
        stored = session.client.apply(manifest.resource, manifest.namespace, manifest.document, force=force)
    applied = _Applied(manifest, _outcome(live, stored), stored["metadata"].get("generation", 0))
    if not session.settings.json:
        suffix = " (dry run)" if dry_run else ""
        session.result(f"{manifest.shown} {applied.outcome}{suffix}")
    return applied


def _outcome(live: Document | None, stored: Document) -> str:
    if live is None:
        return "created"
    return "unchanged" if written_content(live) == written_content(stored) else "configured"


def _wait(session: Session, applied: Sequence[_Applied], deadline: float) -> None:
    all_or_nothing(lambda each: wait_until_ready(session, each.manifest, each.generation, deadline), applied)


def _as_json(applied: _Applied) -> dict[str, str | None]:
    manifest = applied.manifest
    return {
        "kind": manifest.resource.kind,
        "namespace": manifest.namespace,
        "name": manifest.name,
        "result": applied.outcome,
    }
