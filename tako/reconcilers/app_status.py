"""The status of an App, from what is seen. Pure: an equal world gives an equal status; a second pass writes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tako.host_agent.views import AppView
from tako.model.conditions import Told, condition_of, is_true, merge_conditions
from tako.model.kinds.app import AppSpec
from tako.model.names import ReleaseId
from tako.model.routes import parse_pattern
from tako.reconcilers.app_children import APP_LABEL
from tako.reconcilers.explain import explain

Doc = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AppWorld:
    """All that an App's status is made of."""

    view: AppView
    release: Doc | None  # the wanted Release
    routes: Sequence[Doc]
    https_port: int
    missing_isolation: tuple[str, ...] = ()
    source_fault: str | None = None  # why there is not even a release


def status_of(app: Doc, version: ReleaseId | None, world: AppWorld, now: str) -> Doc:
    """Return the whole status subdocument of `app`."""
    spec = AppSpec.model_validate(app["spec"])
    meta = app["metadata"]
    view = world.view
    ready = len(view.healthy)
    routes = _routes(spec, world.routes)
    told = (
        _with_routes(_ready(spec, version, world), routes),
        _available(spec, view),
        routes,
        _isolated(world.missing_isolation),
    )
    urls = [url_of(text, world.https_port) for text in spec.routes]
    failure = view.last_failure
    status: Doc = {
        "observedGeneration": meta["generation"],
        "conditions": merge_conditions(app.get("status", {}).get("conditions"), told, meta["generation"], now),
        "instances": len(view.instances),
        "readyInstances": ready,
        "readyOf": f"{ready}/{spec.instances}",
        "selector": f"{APP_LABEL}={meta['name']}",
        "release": view.settled_release,
        "wantedRelease": version,
        "url": urls[0] if urls else None,
        "urls": urls or None,
        "lastError": explain(failure) if failure else world.source_fault,
    }
    return {key: value for key, value in status.items() if value is not None}


def url_of(pattern: str, https_port: int) -> str:
    """Return the address a person opens for a route; a wildcard stays visible as one."""
    route = parse_pattern(pattern)
    port = "" if https_port == 443 else f":{https_port}"
    return f"https://{route.host}{port}{(route.path or '/').removesuffix('*')}"


def _ready(spec: AppSpec, version: ReleaseId | None, world: AppWorld) -> Told:
    view = world.view
    if world.source_fault is not None:
        return Told("Ready", "False", "SourceUnusable", _sentence(world.source_fault) + _still_serving(view))
    release = world.release
    if release is None or version is None:
        return Told("Ready", "Unknown", "Reading", "The source is being read.")
    prepared = condition_of(release, "Ready")
    if prepared is not None and prepared["status"] == "False":
        return Told("Ready", "False", prepared["reason"], _sentence(prepared["message"]) + _still_serving(view))
    # Until the release can be run, the host agent still wants, and is content with, the one before it.
    if view.wanted_release != version or prepared is None or prepared["status"] != "True":
        return Told("Ready", "Unknown", "Preparing", f"Release {version} is being prepared." + _still_serving(view))
    if view.given_up:
        back = f"Release {version} was rolled back.{_still_serving(view)}"
        why = f" {explain(view.last_failure)}" if view.last_failure else ""
        return Told("Ready", "False", "RolloutFailed", back + why)
    if view.failing and view.failures > 1 and len(view.healthy) < spec.instances and view.last_failure:
        again = f"It backs off: the next start is at {view.retry_at}." if view.retry_at else ""
        return Told("Ready", "False", _loop_reason(view), explain(view.last_failure, again, _still_serving(view)))
    return _progress(spec, version, view)


def _loop_reason(view: AppView) -> str:
    return "CrashLoop" if view.last_failure and view.last_failure.was_ready else "StartFailed"


def _progress(spec: AppSpec, version: ReleaseId, view: AppView) -> Told:
    ready = [i for i in view.healthy if i.template == view.wanted_template]
    if view.settled != view.wanted_template:
        if view.failures and view.last_failure:
            return Told("Ready", "False", _loop_reason(view), explain(view.last_failure, _still_serving(view)))
        if view.settled is None:
            probed = next((f" {one.detail}." for one in view.instances if one.detail), "")
            return Told("Ready", "False", "Starting", f"Release {version} is starting its first instance.{probed}")
        return Told(
            "Ready",
            "Unknown",
            "RollingOut",
            f"Release {version} replaces {view.settled_release}, one instance at a time.",
        )
    if len(ready) < spec.instances:
        count = f"{len(ready)} of {spec.instances} instances take requests"
        if view.failing and view.last_failure:
            return Told("Ready", "False", "InstancesMissing", f"{count}. {explain(view.last_failure)}")
        return Told("Ready", "False", "Scaling", f"{count}; the others are starting.")
    if spec.instances == 0 and not ready:
        return Told("Ready", "True", "Asleep", "No instance runs; the next request starts one.")
    count = f"{len(ready)} of {spec.instances} instances" if spec.instances else f"{len(ready)} on demand"
    return Told("Ready", "True", "Serving", f"Release {version} serves on {count}.")


def _sentence(text: str) -> str:
    # What a program printed keeps its own last line.
    return text if text.endswith((".", "\n")) or "\n" in text else f"{text}."


def _still_serving(view: AppView) -> str:
    if view.healthy and view.settled_release is not None:
        return f" Release {view.settled_release} goes on serving."
    return ""


def _available(spec: AppSpec, view: AppView) -> Told:
    if view.healthy:
        return Told("Available", "True", "InstancesReady", "Requests are answered.")
    if spec.instances == 0 and view.settled is not None:
        return Told("Available", "True", "OnDemand", "The next request starts an instance.")
    return Told("Available", "False", "NoInstances", "No instance takes requests; requests wait for one.")


def _with_routes(ready: Told, routes: Told) -> Told:
    """An app that nothing reaches is not ready, however well it runs."""
    if ready.status == "True" and routes.status != "True":
        return Told("Ready", routes.status, "Routes" + routes.reason, routes.message)
    return ready


def _routes(spec: AppSpec, routes: Sequence[Doc]) -> Told:
    faulty = [r for r in routes if not is_true(r, "Accepted")]
    if spec.routes and not routes:
        return Told("RoutesAccepted", "Unknown", "Pending", "The routes are declared once the source can be read.")
    if not routes:
        return Told("RoutesAccepted", "True", "NoRoutes", "The app declares no routes, so nothing reaches it.")
    if not faulty:
        return Told("RoutesAccepted", "True", "Accepted", f"{len(routes)} of {len(routes)} routes are served.")
    entry: Mapping[str, Any] | None = condition_of(faulty[0], "Accepted")
    if entry is None:
        pattern = faulty[0]["spec"]["pattern"]
        return Told("RoutesAccepted", "Unknown", "Pending", f"{pattern} has not been looked at yet.")
    return Told("RoutesAccepted", "False", entry["reason"], entry["message"])


def _isolated(missing: tuple[str, ...]) -> Told:
    if not missing:
        return Told("Isolated", "True", "Enforced", "User, limits and privileges are enforced for every instance.")
    return Told("Isolated", "False", "HostLacks", "Not enforced on this host: " + "; ".join(missing) + ".")
