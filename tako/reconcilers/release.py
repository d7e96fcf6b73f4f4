"""Release: files of one version on this host. Prepared once, prepared again when somebody deleted them."""

from pathlib import Path
from typing import Any

from tako.host_agent.releases import public_dir
from tako.model.conditions import Told, is_true, merge_conditions
from tako.model.errors import Refused, RetryLater
from tako.model.kinds import RELEASE
from tako.model.kinds.release import ReleasePhase, ReleaseSpec
from tako.model.names import DeploymentId, ReleaseId
from tako.reconcilers.world import Doc, World


async def reconcile_release(world: World, namespace: str, name: str) -> None:
    """Bring the files of the release to this host and say how far that is."""
    doc = await world.find(RELEASE, namespace, name)
    if doc is None or "deletionTimestamp" in doc["metadata"]:
        return
    spec = ReleaseSpec.model_validate(doc["spec"])
    app = DeploymentId(spec.app, namespace)
    home = world.layout.app(app).release(ReleaseId(spec.version))
    if is_true(doc, "Ready") and home.is_dir():
        # Its files do not change; but what is told of them may have been told by an earlier version of this server.
        kept = {key: value for key, value in doc["status"].items() if key != "publicDir"}
        await world.write_status(RELEASE, doc, {**kept, **_public(home, spec)})
        return
    try:
        prepared = await world.prepare(app, spec)
    except (Refused, RetryLater) as error:
        is_final = isinstance(error, Refused)
        told = Told("Ready", "False", "PrepareFailed" if is_final else "PrepareDelayed", str(error))
        if await _write(world, doc, told, {"phase": ReleasePhase.FAILED.value} if is_final else {}):
            await world.tell(doc, "Warning", told.reason, told.message)
        raise
    told = Told("Ready", "True", "Prepared", f"{prepared.size_bytes} bytes in {prepared.path}")
    seen = {
        "phase": ReleasePhase.PREPARED.value,
        "path": str(prepared.path),
        "digest": prepared.digest,
        "sizeBytes": prepared.size_bytes,
        **_public(prepared.path, spec),
    }
    await _write(world, doc, told, seen)
    await world.tell(doc, "Normal", told.reason, f"Release {spec.version} is ready to start.")


async def remove_release(world: World, namespace: str, name: str) -> None:
    """Delete the files, once nothing runs from them."""
    doc = await world.find(RELEASE, namespace, name)
    if doc is None:
        return
    spec = ReleaseSpec.model_validate(doc["spec"])
    await world.remove_release(DeploymentId(spec.app, namespace), ReleaseId(spec.version))


def _public(home: Path, spec: ReleaseSpec) -> dict[str, str]:
    found = public_dir(home, spec.app_dir)
    return {} if found is None else {"publicDir": str(found)}


async def _write(world: World, doc: Doc, told: Told, seen: dict[str, Any]) -> bool:
    generation = doc["metadata"]["generation"]
    conditions = merge_conditions(doc.get("status", {}).get("conditions"), [told], generation, world.now())
    return await world.write_status(RELEASE, doc, {"observedGeneration": generation, "conditions": conditions, **seen})
