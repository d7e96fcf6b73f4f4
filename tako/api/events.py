"""Events: told once and counted when they happen again, forgotten after an hour."""

import asyncio
import hashlib
import logging
from datetime import UTC, datetime
from typing import Any

from tako.api.builtin import EVENTS
from tako.api.changes import Changes, Document
from tako.api.database import StoreFailed
from tako.api.entries import Change, ChangeType, Key
from tako.api.errors import ApiError
from tako.api.lifecycle import rfc3339

TTL_SECONDS = 3600.0
_SWEEP_SECONDS = 60.0
_MESSAGE_LIMIT = 1024
_log = logging.getLogger(__name__)


async def record_event(changes: Changes, regarding: Document, type_: str, reason: str, message: str) -> None:
    """Store an event about `regarding`; one with the same words is counted up instead of stored again."""
    metadata = regarding["metadata"]
    namespace = metadata.get("namespace") or "default"
    if len(message) > _MESSAGE_LIMIT:
        message = message[: _MESSAGE_LIMIT - 1] + "…"
    same_words = "\0".join((metadata.get("uid", ""), type_, reason, message))
    name = f"{metadata['name'][:200]}.{hashlib.sha256(same_words.encode()).hexdigest()[:16]}"
    now = rfc3339(changes.now())
    resource = changes.registry.stored(EVENTS)

    def again(doc: Document) -> Document:
        return {**doc, "count": doc.get("count", 1) + 1, "lastTimestamp": now}

    if changes.store.latest(Key(EVENTS, namespace, name)) is not None:
        await changes.update(resource, namespace, name, again)
        return
    doc = {
        "metadata": {"name": name},
        "involvedObject": _reference(regarding),
        "type": type_,
        "reason": reason,
        "message": message,
        "count": 1,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "source": {"component": "tako"},
        "reportingComponent": "tako",
        "reportingInstance": "",
    }
    try:
        await changes.create(resource, namespace, doc)
    except ApiError as error:
        if error.code != 403:  # the namespace is going, and takes its events with it
            raise


def _reference(doc: Document) -> dict[str, Any]:
    metadata = doc["metadata"]
    reference = {
        "apiVersion": doc["apiVersion"],
        "kind": doc["kind"],
        "name": metadata["name"],
        "namespace": metadata.get("namespace"),
        "uid": metadata.get("uid"),
        "resourceVersion": metadata.get("resourceVersion"),
    }
    return {key: value for key, value in reference.items() if value}


class EventExpiry:
    """Deletes events an hour after they last happened, by a clock that cannot be set."""

    def __init__(self, changes: Changes, ttl_seconds: float = TTL_SECONDS) -> None:
        self._changes = changes
        self._ttl = ttl_seconds
        self._deadlines: dict[Key, float] = {}
        now = asyncio.get_running_loop().time()
        for entry in changes.store.list(EVENTS):
            self._deadlines[entry.key] = now + ttl_seconds - self._age(entry.read())
        changes.store.observers.append(self.observe)

    def observe(self, change: Change) -> None:
        if change.key.group_resource != EVENTS:
            return
        if change.type is ChangeType.DELETED:
            self._deadlines.pop(change.key, None)
        else:
            self._deadlines[change.key] = asyncio.get_running_loop().time() + self._ttl

    async def run(self) -> None:
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self._ttl / 4))
            await self.sweep()

    async def sweep(self) -> None:
        """Delete what is over."""
        now = asyncio.get_running_loop().time()
        resource = self._changes.registry.stored(EVENTS)
        for key in [key for key, deadline in self._deadlines.items() if deadline <= now]:
            try:
                await self._changes.delete(resource, key.namespace, key.name)
            except (ApiError, StoreFailed) as error:
                _log.warning("event %s/%s stays for now: %s", key.namespace, key.name, error)

    def _age(self, doc: Document) -> float:
        """Return the age by the wall clock, which may have jumped: never negative, never more than the whole time."""
        stamp = doc.get("lastTimestamp") or doc.get("eventTime") or doc["metadata"]["creationTimestamp"]
        try:
            then = datetime.fromisoformat(stamp)
        except ValueError:
            return 0.0
        then = then if then.tzinfo else then.replace(tzinfo=UTC)
        return min(max((self._changes.now() - then).total_seconds(), 0.0), self._ttl)
