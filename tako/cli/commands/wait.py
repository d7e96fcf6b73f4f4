"""`tako wait`: return when a condition, a field or a deletion is seen."""

import time
from typing import Annotated, Any

from tako.cli.arguments import AllNamespaces, Names, Namespace, Option, Selector, Timeout
from tako.cli.client import Document, Resource
from tako.cli.conditions import Verdict, condition, until
from tako.cli.durations import parse_duration
from tako.cli.failure import CommandFailed
from tako.cli.kinds import Kinds
from tako.cli.references import parse_references
from tako.cli.session import DEFAULT_NAMESPACE, Session

For = Annotated[str, Option(("--for",), "condition=TYPE[=STATUS], jsonpath=PATH[=VALUE], create, or delete.", "WHAT")]
Target = tuple[Resource, str | None, str]


def wait(
    session: Session,
    names: Names,
    *,
    for_: For,
    timeout: Timeout = "30s",
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    selector: Selector = None,
) -> int:
    """Wait until something is true of documents.

    tako wait app/hello --for=condition=Ready --timeout 30s; tako wait app/hello --for=delete;
    tako wait app/hello --for=jsonpath='{.status.readyInstances}'=3
    """
    holds = parse_verdict(for_)
    deadline = time.monotonic() + parse_duration(timeout)
    where = None if all_namespaces else namespace or DEFAULT_NAMESPACE
    targets = _targets(session, names, where, selector)
    if not targets and for_ != "delete":
        raise CommandFailed("there is nothing to wait for: no document matches")
    for resource, namespace_, name in targets:
        _wait(session, (resource, namespace_, name), for_, holds, deadline)
    return 0


def parse_verdict(text: str) -> Verdict:
    """Read what `--for` says."""
    what, _, rest = text.partition("=")
    if text == "delete":
        return lambda document: document is None
    if text == "create":
        return lambda document: document is not None
    if what == "condition" and rest:
        kind, _, status = rest.partition("=")
        return _condition_verdict(kind, status or "True")
    if what == "jsonpath" and rest:
        return _path_verdict(rest)
    raise CommandFailed(
        f'--for: given "{text}": must be condition=TYPE[=STATUS], jsonpath=PATH[=VALUE], create or delete', 2
    )


def _condition_verdict(kind: str, status: str) -> Verdict:
    def holds(document: Document | None) -> bool:
        seen = condition(document, kind)
        if document is None or seen is None or str(seen.get("status", "")).lower() != status.lower():
            return False
        # A condition that speaks of an earlier generation says nothing about what was applied since.
        spoken_of = seen.get("observedGeneration") or (document["status"].get("observedGeneration"))
        return spoken_of is None or spoken_of >= document["metadata"].get("generation", 0)

    return holds


def _path_verdict(text: str) -> Verdict:
    from tako.api.jsonpath import PathInvalid, compile_path

    path, wanted = _split_path(text)
    try:
        look = compile_path(path)
    except PathInvalid as invalid:
        raise CommandFailed(str(invalid), 2) from invalid

    def holds(document: Document | None) -> bool:
        found = look(document) if document is not None else []
        return bool(found) and (not wanted or all(_as_text(value) == wanted for value in found))

    return holds


def _split_path(text: str) -> tuple[str, str]:
    """Split ``{.a.b[?(@.c=="d")]}=value`` at the `=` that no bracket encloses."""
    depth = 0
    for index, character in enumerate(text):
        depth += (character in "{[(") - (character in "}])")
        if character == "=" and depth == 0:
            return text[:index], text[index + 1 :]
    return text, ""


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _targets(session: Session, names: list[str], namespace: str | None, labels: str | None) -> list[Target]:
    targets: list[Target] = []
    for resource, name in parse_references(Kinds(session.client), names, everywhere=namespace is None):
        where = namespace if resource.namespaced else None
        if name is not None:
            targets.append((resource, where, name))
            continue
        for item in session.client.list(resource, where, labels=labels)["items"]:
            targets.append((resource, item["metadata"].get("namespace"), item["metadata"]["name"]))
    return targets


def _wait(session: Session, target: Target, text: str, holds: Verdict, deadline: float) -> None:
    resource, namespace, name = target
    last: list[Document | None] = [None]

    def noting(document: Document | None) -> bool:
        last[0] = document
        if document is None and text not in ("delete", "create"):
            where = f" in namespace {namespace}" if namespace else ""
            raise CommandFailed(f'{resource.plural} "{name}" is not there{where}')
        return holds(document)

    try:
        until(session, resource, namespace, name, noting, deadline)
    except TimeoutError as late:
        raise CommandFailed(f"{resource.qualified}/{name}: timed out waiting for {text}{_why(last[0])}") from late
    if not session.settings.json:
        session.result(f"{resource.qualified}/{name} {_outcome(text)}")


def _outcome(text: str) -> str:
    return {"delete": "deleted", "create": "created"}.get(text, "condition met")


def _why(document: Document | None) -> str:
    ready = condition(document, "Ready") or condition(document, "Accepted")
    if ready is None or ready.get("status") == "True":
        return ""
    first, *more = str(ready.get("message", "")).splitlines() or [""]
    told = [f"{ready.get('type')} is {ready.get('status')}, {ready.get('reason')}: {first}", *more]
    return "".join(f"\n  {line}" for line in told)
