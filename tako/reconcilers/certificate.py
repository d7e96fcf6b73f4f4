"""Certificate: key and chain on disk for a set of names, renewed before they expire."""

from datetime import UTC, datetime
from typing import Any

from tako.model.conditions import Told, merge_conditions
from tako.model.kinds import CERTIFICATE
from tako.model.kinds.certificate import CertificateSpec
from tako.reconcilers.world import World


async def reconcile_certificate(world: World, namespace: str, name: str) -> None:
    """Issue what is missing or due, and state what is there."""
    doc = await world.find(CERTIFICATE, namespace, name)
    if doc is None or "deletionTimestamp" in doc["metadata"]:
        return
    spec = CertificateSpec.model_validate(doc["spec"])
    held, issued = await world.certificate(tuple(spec.hosts))
    told = Told("Ready", "True", "Issued", f"Self-signed for {', '.join(spec.hosts)}.")
    generation = doc["metadata"]["generation"]
    status: dict[str, Any] = {
        "observedGeneration": generation,
        "conditions": merge_conditions(doc.get("status", {}).get("conditions"), [told], generation, world.now()),
        "notBefore": stamp(held.not_before),
        "notAfter": stamp(held.not_after),
        "renewalTime": stamp(held.renewal_time),
        "fingerprint": held.fingerprint,
        "path": str(held.directory),
    }
    await world.write_status(CERTIFICATE, doc, status)
    if issued:
        await world.tell(doc, "Normal", "Issued", f"{told.message} Valid until {status['notAfter']}.")


def stamp(when: datetime) -> str:
    """Return RFC 3339 in UTC with whole seconds, as Kubernetes writes times."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
