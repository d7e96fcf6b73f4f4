"""Declared against seen: every difference on this host, since when, and what is being done about it. Pure."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from tako.host_agent.views import AppView
from tako.model.conditions import condition_of, is_true
from tako.model.kinds.app import AppSpec
from tako.model.names import DeploymentId

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as declared; `since` is RFC 3339 or empty when it was found just now."""

    kind: str
    namespace: str
    name: str
    field: str
    wanted: str
    seen: str
    since: str
    action: str

    def to_doc(self) -> Doc:
        return asdict(self)


def differences(
    apps: Iterable[Doc],
    views: dict[DeploymentId, AppView],
    routes: Iterable[Doc],
    certificates: Iterable[Doc],
    digests: dict[DeploymentId, str],
) -> tuple[Difference, ...]:
    """Return every difference; `digests` are those of the source directories as they are now."""
    found: list[Difference] = []
    declared: set[DeploymentId] = set()
    for doc in apps:
        app = DeploymentId(doc["metadata"]["name"], doc["metadata"]["namespace"])
        declared.add(app)
        view = views.get(app, AppView(app))
        found += _of_app(doc, app, view)
        found += _of_source(doc, app, digests.get(app))
    for app, view in views.items():
        if app not in declared and view.instances:
            pids = ", ".join(str(i.pid) for i in view.instances)
            found.append(_for(app, "processes", "none: the app is not declared", f"pids {pids}", view, "stopping them"))
    found += [
        _of_condition("Route", doc, "Accepted", doc["spec"]["pattern"]) for doc in routes if _bad(doc, "Accepted")
    ]
    found += [_of_condition("Certificate", doc, "Ready", "issued") for doc in certificates if _bad(doc, "Ready")]
    return tuple(sorted(found, key=lambda d: (d.kind, d.namespace, d.name, d.field)))


def _of_app(doc: Doc, app: DeploymentId, view: AppView) -> list[Difference]:
    spec = AppSpec.model_validate(doc["spec"])
    found: list[Difference] = []
    current = [i for i in view.healthy if i.template == view.wanted_template]
    if view.wanted_template is None:
        ready = condition_of(doc, "Ready") or {}
        action = str(ready.get("message") or "reading its source")
        since = str(ready.get("lastTransitionTime") or "")
        return [Difference("App", app.environment, app.app, "release", "prepared", "not prepared", since, action)]
    if view.given_up:
        found.append(
            _for(app, "release", _wanted_release(doc), f"{view.settled_release}", view, "none: it was rolled back")
        )
    elif view.settled != view.wanted_template:
        found.append(
            _for(app, "release", _wanted_release(doc), f"{view.settled_release or 'none'}", view, _doing(view))
        )
    if len(current) < spec.instances and not view.given_up:
        found.append(_for(app, "instances", f"{spec.instances} healthy", f"{len(current)} healthy", view, _doing(view)))
    ready = condition_of(doc, "Ready") or {}
    if ready.get("status") == "False" and ready.get("reason") in ("SourceUnusable", "PrepareFailed"):
        seen, since = str(ready.get("message")), str(ready.get("lastTransitionTime") or "")
        action = "looking at it again every few seconds"
        found.append(Difference("App", app.environment, app.app, "spec.source", "usable", seen, since, action))
    extra = len(view.instances) - len(current)
    if extra and not found:
        states = ", ".join(f"{i.id} {i.state.value}" for i in view.instances if i not in current)
        found.append(_for(app, "instances", f"{spec.instances} healthy", states, view, _doing(view)))
    return found


def _wanted_release(doc: Doc) -> str:
    return str(doc.get("status", {}).get("wantedRelease", "the declared one"))


def _doing(view: AppView) -> str:
    if view.retry_at:
        return f"starting again at {view.retry_at} after {view.failures} failures"
    starting = [i.id for i in view.instances if i.state.value in ("Starting", "Ready")]
    if starting:
        return f"starting {', '.join(starting)}"
    leaving = [i.id for i in view.instances if i.state.value in ("Draining", "Stopping")]
    if leaving:
        return f"draining {', '.join(leaving)}"
    return "waiting for new instances to settle"


def _of_source(doc: Doc, app: DeploymentId, digest: str | None) -> list[Difference]:
    declared = doc["spec"]["source"].get("digest")
    if digest is None or declared is None or digest == declared:
        return []
    since = ""
    action = "none: run `tako apply` to release the files as they are"
    return [Difference("App", app.environment, app.app, "spec.source", declared[:19], digest[:19], since, action)]


def _bad(doc: Doc, condition: str) -> bool:
    return "deletionTimestamp" not in doc["metadata"] and not is_true(doc, condition)


def _of_condition(kind: str, doc: Doc, type_: str, wanted: str) -> Difference:
    entry = condition_of(doc, type_) or {}
    meta = doc["metadata"]
    return Difference(
        kind,
        meta["namespace"],
        meta["name"],
        type_.lower(),
        wanted,
        str(entry.get("message") or "not looked at yet"),
        str(entry.get("lastTransitionTime") or ""),
        "trying again" if kind == "Certificate" else "none: two apps claim it",
    )


def _for(app: DeploymentId, field: str, wanted: str, seen: str, view: AppView, action: str) -> Difference:
    return Difference("App", app.environment, app.app, field, wanted, seen, view.differs_since or "", action)
