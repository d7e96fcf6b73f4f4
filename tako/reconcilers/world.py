"""What every reconciler works with: the resources, the host below, and a few verbs over both.

All of it runs on the server's own event loop; :mod:`tako.reconcilers.operator` brings kopf's calls there.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tako.api.errors import ApiError
from tako.api.resources import Resources
from tako.certs.self_signed import Held, hold
from tako.host_agent.agent import HostAgent
from tako.host_agent.layout import Layout
from tako.host_agent.releases import Prepared, prepare, source_digest
from tako.host_agent.removal import remove_release
from tako.model.kinds import Kind
from tako.model.kinds.release import ReleaseSpec
from tako.model.names import DeploymentId, ReleaseId
from tako.reconcilers.mirror import Mirror

Doc = dict[str, Any]


@dataclass
class World:
    """The resources and the host, as reconcilers see them."""

    resources: Resources
    agent: HostAgent
    layout: Layout
    mirror: Mirror
    https_port: int
    until_served: Callable[[], Awaitable[None]]  # returns once the proxy decides by what is seen now
    # What was told last about an object; after a restart the latest is told once more.
    _told: dict[str, str] = field(default_factory=dict)
    # Many copies at once only slow each other down; an install that waits for the network must not hold up all others.
    _preparing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    _locks: dict[tuple[str, str, str], asyncio.Lock] = field(default_factory=dict)

    def now(self) -> str:
        """Return the time as Kubernetes writes it."""
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def alone(self, kind: Kind, namespace: str, name: str) -> asyncio.Lock:
        """Return the lock that keeps two passes over one object from crossing."""
        return self._locks.setdefault((kind.plural, namespace, name), asyncio.Lock())

    async def find(self, kind: Kind, namespace: str | None, name: str) -> Doc | None:
        """Return the document as it is now, or None."""
        try:
            return await self.resources.get(kind.group_resource, namespace, name)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def write_status(self, kind: Kind, doc: Doc, status: Doc) -> bool:
        """Make `status` the whole status of `doc`; say whether that was a change. Gone objects are no error."""
        old = doc.get("status") or {}
        patch = {key: value for key, value in status.items() if old.get(key) != value}
        patch |= {key: None for key in old if key not in status}
        if not patch:
            return False
        meta = doc["metadata"]
        try:
            await self.resources.merge_patch(
                kind.group_resource, meta.get("namespace"), meta["name"], {"status": patch}, subresource="status"
            )
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True

    async def remove(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Delete an object; one that is gone already is no error."""
        try:
            await self.resources.delete(kind.group_resource, namespace, name)
        except ApiError as error:
            if error.code != 404:
                raise

    async def tell(self, doc: Doc, type_: str, reason: str, message: str) -> None:
        """Record an event about `doc`; `type_` is Normal or Warning."""
        await self.resources.event(doc, type_, reason, message)

    def is_news(self, uid: str, what: str) -> bool:
        """Say whether `what` is not what was told last about the object, and remember it."""
        if self._told.get(uid) == what:
            return False
        self._told[uid] = what
        return True

    async def digest(self, path: Path) -> str:
        """Return the digest of a source; Refused when it cannot be read."""
        return await asyncio.to_thread(source_digest, path)

    async def prepare(self, app: DeploymentId, spec: ReleaseSpec) -> Prepared:
        """Bring a release's files here, a few releases at a time."""
        async with self._preparing:
            return await prepare(app, spec, self.layout, self.agent.owner_of(app))

    async def remove_release(self, app: DeploymentId, version: ReleaseId) -> None:
        """Delete a release's files."""
        await asyncio.to_thread(remove_release, self.layout, app, version)

    async def certificate(self, hosts: tuple[str, ...]) -> tuple[Held, bool]:
        """Return the certificate for these names and whether it was issued just now."""
        return await asyncio.to_thread(hold, self.layout.certs, hosts)
