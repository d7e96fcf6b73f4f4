"""App: its children, what the host agent is to run, and the status that says how that goes."""

from pathlib import Path
from typing import Any

from tako.api.errors import ApiError
from tako.host_agent.rollout import Timing
from tako.host_agent.template import Template
from tako.model.conditions import condition_of, is_true
from tako.model.errors import Refused, RetryLater
from tako.model.kinds import APP, CERTIFICATE, RELEASE, ROUTE
from tako.model.kinds.app import AppSpec
from tako.model.names import DeploymentId, ReleaseId
from tako.reconcilers.app_children import (
    APP_LABEL,
    Create,
    Remove,
    Update,
    Write,
    certificate_name,
    hosts_of,
    plan_children,
    release_version,
    stale_releases,
)
from tako.reconcilers.app_status import AppWorld, status_of
from tako.reconcilers.explain import headline
from tako.reconcilers.instance import record_instances
from tako.reconcilers.world import World

Doc = dict[str, Any]


async def reconcile_app(world: World, namespace: str, name: str) -> None:
    """Compare the App with its children and its processes, act, and write its status."""
    async with world.alone(APP, namespace, name):
        app = await world.find(APP, namespace, name)
        if app is None or "deletionTimestamp" in app["metadata"]:
            return
        spec = AppSpec.model_validate(app["spec"])
        world.agent.logs.watch(DeploymentId(name, namespace))  # the proxy tells of requests before anything runs
        fault: str | None = None
        version: ReleaseId | None = None
        try:
            digest = await _digest(world, app, spec)
            version = release_version(spec, digest)
            await _write_children(world, app, version, digest)
        except Refused as error:
            fault = str(error)
        release = await world.find(RELEASE, namespace, f"{name}-{version}") if version else None
        _declare(world, app, spec, release)
        await _observe(world, app, version, release, fault)
        if fault is not None:
            raise Refused(fault)


async def observe_app(world: World, app: DeploymentId) -> None:
    """Write what is seen of the app's processes now; what is wanted has not changed."""
    async with world.alone(APP, app.environment, app.app):
        doc = await world.find(APP, app.environment, app.app)
        version = doc.get("status", {}).get("wantedRelease") if doc else None
        release = await world.find(RELEASE, app.environment, f"{app.app}-{version}") if version else None
        declared = world.agent.view(app).wanted_template is not None
        if doc is None or release is None or not declared or not _is_current(doc):
            # The pass over the new generation, or of a new server, writes the status: nothing may claim to have
            # seen that before.
            await record_instances(world, app, doc)
        else:
            await _observe(world, doc, ReleaseId(release["spec"]["version"]), release, None)


def _is_current(app: Doc) -> bool:
    """Tell whether the spec as it is now has been reconciled at least once."""
    return bool(app.get("status", {}).get("observedGeneration") == app["metadata"]["generation"])


async def retire_app(world: World, namespace: str, name: str) -> None:
    """Drain and stop everything of a deleted App, then remove its files; returns when nothing of it is left."""
    app = DeploymentId(name, namespace)
    world.agent.want(app, None, 0, Timing())
    await world.agent.until_empty(app)
    await world.agent.forget_app(app)


async def _digest(world: World, app: Doc, spec: AppSpec) -> str:
    """Return the digest of the app's files: the declared one, the one of this generation, or a fresh one."""
    if spec.source.digest is not None:
        return spec.source.digest
    version = app.get("status", {}).get("wantedRelease")
    if version and app["status"].get("observedGeneration") == app["metadata"]["generation"]:
        known = await world.find(RELEASE, app["metadata"]["namespace"], f"{app['metadata']['name']}-{version}")
        if known is not None and known["spec"]["source"].get("digest"):
            return str(known["spec"]["source"]["digest"])
    path = spec.source.path or spec.source.archive
    if path is None:
        raise Refused("spec.source names neither a path nor an archive.")
    return await world.digest(Path(path))


async def _write_children(world: World, app: Doc, version: ReleaseId, digest: str) -> None:
    namespace, name = app["metadata"]["namespace"], app["metadata"]["name"]
    seen: dict[str, list[Doc]] = {}
    for kind in (RELEASE, ROUTE, CERTIFICATE):
        # By label, which is looked up without reading the documents of every other app.
        found, _ = await world.resources.list(kind.group_resource, namespace, labels=f"{APP_LABEL}={name}")
        seen[kind.plural] = found
    for host in hosts_of(AppSpec.model_validate(app["spec"])):
        shared = await world.find(CERTIFICATE, namespace, certificate_name(host))
        if shared is not None and shared["metadata"]["uid"] not in {d["metadata"]["uid"] for d in seen["certificates"]}:
            seen["certificates"].append(shared)
    for write in plan_children(app, version, digest, seen):
        await _apply(world, namespace, write)
    view = world.agent.view(DeploymentId(name, namespace))
    in_use = {version, *(i.release for i in view.instances)} | ({view.settled_release} - {None})
    for stale in stale_releases(seen["releases"], (str(v) for v in in_use), world.now()):
        await world.remove(RELEASE, namespace, stale)


async def _apply(world: World, namespace: str, write: Write) -> None:
    match write:
        case Create(kind, doc):
            try:
                await world.resources.create(kind.group_resource, namespace, doc)
            except ApiError as error:
                if error.code != 409:
                    raise
                name = doc["metadata"]["name"]
                raise RetryLater(f"{kind.name} {name} of an earlier app is still being removed.", 1.0) from error
        case Update(kind, name, spec):
            await world.resources.merge_patch(kind.group_resource, namespace, name, {"spec": spec})
        case Remove(kind, name):
            await world.remove(kind, namespace, name)


def _declare(world: World, app: Doc, spec: AppSpec, release: Doc | None) -> None:
    """Tell the host agent what to run; until the wanted release can be run, the last good one is what runs."""
    deployment = DeploymentId(app["metadata"]["name"], app["metadata"]["namespace"])
    rollout = spec.rollout
    timing = Timing(
        startup=rollout.startup_timeout_seconds,
        settle=rollout.settle_seconds,
        drain=rollout.drain_timeout_seconds,
        stop=rollout.stop_timeout_seconds,
        idle=spec.idle_timeout_seconds,
    )
    if release is None or not is_true(release, "Ready"):
        world.agent.rescale(deployment, spec.instances, timing)
        return
    version = ReleaseId(release["spec"]["version"])
    template = Template.of(deployment, spec, version, Path(release["status"]["path"]))
    world.agent.want(deployment, template, spec.instances, timing)


async def _observe(world: World, app: Doc, version: ReleaseId | None, release: Doc | None, fault: str | None) -> None:
    # The instances first: who reads that an app is ready finds them.
    await record_instances(world, DeploymentId(app["metadata"]["name"], app["metadata"]["namespace"]), app)
    await _write_status(world, app, version, release, fault)


async def _write_status(
    world: World, app: Doc, version: ReleaseId | None, release: Doc | None, fault: str | None
) -> None:
    deployment = DeploymentId(app["metadata"]["name"], app["metadata"]["namespace"])
    routes = [
        route
        for route in world.mirror.in_namespace(ROUTE, deployment.environment)
        if route["metadata"].get("labels", {}).get(APP_LABEL) == deployment.app
    ]
    seen = AppWorld(
        view=world.agent.view(deployment),
        release=release,
        routes=routes,
        https_port=world.https_port,
        missing_isolation=world.agent.missing_isolation,
        source_fault=fault,
    )
    status = status_of(app, version, seen, world.now())
    before = condition_of(app, "Ready")
    after = next(c for c in status["conditions"] if c["type"] == "Ready")
    if after["status"] == "True" and (before is None or before["status"] != "True"):
        # Who reads that an app is ready may ask it at once, even if the server dies in that moment.
        await world.until_served()
    if not await world.write_status(APP, app, status):
        return
    if before is None or (before["status"], before["reason"]) != (after["status"], after["reason"]):
        expected = after["reason"] in ("Starting", "Scaling")
        level = "Warning" if after["status"] == "False" and not expected else "Normal"
        await world.tell(app, level, after["reason"], headline(after["message"]))
