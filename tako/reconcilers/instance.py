"""Instance: written beside the processes, never before them; deleting one replaces its process."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tako.host_agent.views import AppView, FailureView, InstanceView
from tako.model.conditions import Told, merge_conditions
from tako.model.kinds import INSTANCE, InstanceState
from tako.model.names import DeploymentId, InstanceId
from tako.reconcilers.app_children import APP_LABEL, owner_reference
from tako.reconcilers.world import World

Doc = dict[str, Any]

FINALIZER = "tako.sh/finalizer"
# Enough to see a pattern in a crash loop; more would only hide the living.
FAILED_KEPT = 3
_USE = ("requests", "lastRequestTime")
# What stays true of a process that is gone.
_KEPT = ("pid", "startTicks", "startedAt", "restarts", *_USE)


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """What to write so that an app's Instance resources are what the host agent sees."""

    create: tuple[InstanceView, ...]
    update: tuple[tuple[Doc, InstanceView], ...]
    fail: tuple[tuple[Doc, FailureView], ...]
    remove: tuple[str, ...]


def plan_records(view: AppView, docs: Iterable[Doc]) -> RecordPlan:
    """Compare processes with documents. Pure."""
    known = {_id(doc): doc for doc in docs}
    seen = {one.id: one for one in view.instances}
    failure = view.last_failure
    gone = {name: doc for name, doc in known.items() if name not in seen}
    fail = [(doc, failure) for name, doc in gone.items() if failure is not None and name == failure.id]
    failed = [doc for name, doc in gone.items() if _state(doc) == InstanceState.FAILED]
    failed.sort(key=lambda d: (d["metadata"]["creationTimestamp"], d["metadata"]["name"]), reverse=True)
    newest_first = [doc for doc, _ in fail] + [doc for doc in failed if not any(doc is known for known, _ in fail)]
    kept = {d["metadata"]["name"] for d in newest_first[:FAILED_KEPT]}
    return RecordPlan(
        create=tuple(one for name, one in seen.items() if name not in known),
        update=tuple((known[name], one) for name, one in seen.items() if name in known),
        fail=tuple(pair for pair in fail if _state(pair[0]) != InstanceState.FAILED),
        remove=tuple(
            d["metadata"]["name"]
            for d in gone.values()
            if d["metadata"]["name"] not in kept and "deletionTimestamp" not in d["metadata"]
        ),
    )


async def record_instances(world: World, app: DeploymentId, owner: Doc | None) -> None:
    """Make the Instance resources of one app what the host agent sees."""
    docs, _ = await world.resources.list(INSTANCE.group_resource, app.environment, labels=f"{APP_LABEL}={app.app}")
    plan = plan_records(world.agent.view(app), docs)
    if owner is not None:
        for one in plan.create:
            doc = await world.resources.create(INSTANCE.group_resource, app.environment, new_doc(owner, one))
            await world.write_status(INSTANCE, doc, living_status(doc, one, world.now()))
    for doc, one in plan.update:
        await world.write_status(INSTANCE, doc, living_status(doc, one, world.now()))
    await _tell_failure(world, owner, world.agent.view(app).last_failure)
    for doc, failure in plan.fail:
        await world.write_status(INSTANCE, doc, failed_status(doc, failure, world.now()))
    for name in plan.remove:
        await world.remove(INSTANCE, app.environment, name)


async def remove_instance(world: World, namespace: str, name: str) -> None:
    """Somebody deleted an Instance: its process goes, after its replacement serves; returns when it is gone."""
    doc = await world.find(INSTANCE, namespace, name)
    if doc is None:
        return
    app, instance = DeploymentId(doc["spec"]["app"], namespace), InstanceId(_id(doc))
    if world.agent.retire(app, instance):
        await world.agent.until_gone(app, instance)


async def _tell_failure(world: World, owner: Doc | None, failure: FailureView | None) -> None:
    """Record one event for each end of a process against our will; a process may end before it has a document."""
    if owner is None or failure is None or not world.is_news(owner["metadata"]["uid"], failure.id + failure.at):
        return
    await world.tell(owner, "Warning", "InstanceFailed", failure.reason)


def new_doc(owner: Doc, one: InstanceView) -> Doc:
    """Return the document of a process that exists."""
    meta = owner["metadata"]
    return {
        "apiVersion": INSTANCE.api_version,
        "kind": INSTANCE.name,
        "metadata": {
            "name": f"{meta['name']}-{one.id}",
            "namespace": meta["namespace"],
            "labels": {APP_LABEL: meta["name"]},
            "finalizers": [FINALIZER],
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": {
            "app": meta["name"],
            "release": one.release,
            "template": one.template,
            "role": "http",
            "argv": list(one.argv),
        },
    }


def living_status(doc: Doc, one: InstanceView, now: str) -> Doc:
    """Return the status of a process that exists."""
    healthy = one.state is InstanceState.HEALTHY
    message = one.detail or ("Takes requests." if healthy else f"The process is {one.state.value.lower()}.")
    told = Told("Ready", "True" if healthy else "False", one.state.value, message)
    status: Doc = {
        **_base(doc, told, now),
        "state": one.state.value,
        "pid": one.pid,
        "startTicks": one.start_ticks,
        "startedAt": one.started_at,
        "port": one.port,
        "restarts": one.restarts,
        **_use(doc, one),
    }
    return {key: value for key, value in status.items() if value is not None}


def _use(doc: Doc, one: InstanceView) -> Doc:
    """What is told of its requests: an instance that was adopted keeps what was told before, until more is known."""
    if one.requests is None:
        return {key: value for key, value in (doc.get("status") or {}).items() if key in _USE}
    return {"requests": one.requests, "lastRequestTime": one.last_request}


def failed_status(doc: Doc, failure: FailureView, now: str) -> Doc:
    """Return the status of a process that ended against our will."""
    ended: Mapping[str, Any] = {
        "code": failure.code,
        "signal": failure.signal,
        "at": failure.at,
        "reason": failure.reason,
        "lastOutput": list(failure.last_output) or None,
    }
    kept = {k: v for k, v in (doc.get("status") or {}).items() if k in _KEPT}
    return {
        **kept,
        **_base(doc, Told("Ready", "False", "Failed", failure.reason), now),
        "state": InstanceState.FAILED.value,
        "exit": {key: value for key, value in ended.items() if value is not None},
    }


def _base(doc: Doc, told: Told, now: str) -> Doc:
    generation = doc["metadata"]["generation"]
    old = (doc.get("status") or {}).get("conditions")
    return {"observedGeneration": generation, "conditions": merge_conditions(old, [told], generation, now)}


def _id(doc: Doc) -> str:
    return str(doc["metadata"]["name"]).rpartition("-")[2]


def _state(doc: Doc) -> str | None:
    return (doc.get("status") or {}).get("state")
