"""`tako delete`: documents by file or by name; what they made goes with them."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from tako.cli.arguments import Argument, DryRun, Files, Namespace, Option, Selector, Timeout
from tako.cli.client import Document, RequestFailed, Resource
from tako.cli.conditions import until
from tako.cli.durations import deadline_in
from tako.cli.failure import CommandFailed
from tako.cli.kinds import Kinds
from tako.cli.manifests import read_manifests
from tako.cli.references import parse_references
from tako.cli.refusals import explain_refusal
from tako.cli.session import DEFAULT_NAMESPACE, Session

What = Annotated[list[str], Argument("[KIND NAME...]", "A kind and names, or KIND/NAME; or use -f.")]
Everything = Annotated[bool, Option(("--all",), "Every document of the kind in the namespace.")]
Lenient = Annotated[bool, Option(("--ignore-not-found",), "It is no error when it is not there.")]
Wait = Annotated[bool, Option(("--wait",), "Return when they are gone.")]


class _Target(NamedTuple):
    resource: Resource
    namespace: str | None
    name: str

    @property
    def shown(self) -> str:
        return f"{self.resource.qualified}/{self.name}"


def delete(
    session: Session,
    names: What = [],  # noqa: B006 - never changed; the readers copy it
    *,
    filename: Files = [],  # noqa: B006
    namespace: Namespace = None,
    selector: Selector = None,
    all: Everything = False,
    ignore_not_found: Lenient = False,
    wait: Wait = False,
    timeout: Timeout = "120s",
    dry_run: DryRun = False,
) -> int:
    """Delete documents named by file or by kind and name, with everything they made.

    tako delete -f app.yaml; tako delete app/hello; tako delete apps --all -n staging --wait
    """
    deadline = deadline_in(timeout)
    if bool(names) == bool(filename):
        raise CommandFailed("say what to delete: either -f FILE, or a kind and names", 2)
    if filename and (selector or all):
        raise CommandFailed("-l and --all choose among the documents of a kind; -f names each", 2)
    if filename:
        targets = [
            _Target(each.resource, each.namespace, each.name) for each in read_manifests(session, filename, namespace)
        ]
        targets.reverse()  # what was declared last may need what was declared first
    else:
        targets = _named(session, names, namespace or DEFAULT_NAMESPACE, selector, everything=all)
    gone, missing = _delete_all(session, targets, dry_run)
    if wait and not dry_run:
        _wait(session, gone, deadline)
    if session.settings.json:
        results = [{"kind": each.resource.kind, "namespace": each.namespace, "name": each.name} for each in gone]
        session.result_json({"ok": not missing or ignore_not_found, "command": "delete", "deleted": results})
    if missing and not ignore_not_found:
        session.reported = True
        raise CommandFailed("\n".join(missing))
    return 0


def _named(
    session: Session, names: Sequence[str], namespace: str, labels: str | None, *, everything: bool
) -> list[_Target]:
    targets = []
    for resource, name in parse_references(Kinds(session.client), names):
        where = namespace if resource.namespaced else None
        if name is not None:
            targets.append(_Target(resource, where, name))
        elif everything or labels:
            listed = session.client.list(resource, where, labels=labels)
            targets += [_Target(resource, where, item["metadata"]["name"]) for item in listed["items"]]
        else:
            raise CommandFailed(f"name the {resource.plural} to delete, or say --all or -l SELECTOR", 2)
    return targets


def _delete_all(session: Session, targets: Sequence[_Target], dry_run: bool) -> tuple[list[_Target], list[str]]:
    """Delete each; return those that were there, and what was said of those that were not."""
    gone, missing = [], []
    for target in targets:
        try:
            session.client.delete(target.resource, target.namespace, target.name, cascade="Background", dry_run=dry_run)
        except RequestFailed as failed:
            if failed.code != 404:
                raise CommandFailed(explain_refusal(failed, target.shown)) from failed
            missing.append(explain_refusal(failed))
            continue
        gone.append(target)
        if not session.settings.json:
            session.result(f"{target.shown} deleted{' (dry run)' if dry_run else ''}")
    return gone, missing


def _wait(session: Session, targets: Sequence[_Target], deadline: float) -> None:
    def absent(document: Document | None) -> bool:
        return document is None

    for target in targets:
        try:
            until(session, target.resource, target.namespace, target.name, absent, deadline)
        except TimeoutError as late:
            raise CommandFailed(
                f"{target.shown} is still there; `tako get {target.resource.singular} {target.name} -o yaml` "
                "shows the finalizers it waits for"
            ) from late
