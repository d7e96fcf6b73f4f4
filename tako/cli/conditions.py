"""Conditions of a document, and waiting for one however often the server goes away meanwhile."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from tako.cli.client import Document, RequestFailed, Resource, ServerUnreachable
from tako.cli.session import Session

# A server that restarts is back well within this; asking more often only burns its CPU.
RETRY_SECONDS = 0.2
MAX_WATCH_SECONDS = 60.0

Verdict = Callable[[Document | None], bool]


def condition(document: Document | None, kind: str) -> dict[str, Any] | None:
    """Return the condition of that type, found as kubectl does without regard to case."""
    status = (document or {}).get("status") or {}
    found = (each for each in status.get("conditions") or [] if str(each.get("type", "")).lower() == kind.lower())
    return next(found, None)


def until(
    session: Session, resource: Resource, namespace: str | None, name: str, holds: Verdict, deadline: float
) -> Document | None:
    """Return the document as soon as `holds` is true of it; None stands for one that is not there.

    At `deadline`, on the monotonic clock, `TimeoutError` is raised.
    """
    while True:
        try:
            for seen in _looks(session, resource, namespace, name, deadline):
                if holds(seen):
                    return seen
        except ServerUnreachable:
            # tako-server may be starting again, which no instance notices either.
            if time.monotonic() + RETRY_SECONDS >= deadline:
                raise
            time.sleep(RETRY_SECONDS)
        if time.monotonic() >= deadline:
            raise TimeoutError


def _looks(
    session: Session, resource: Resource, namespace: str | None, name: str, deadline: float
) -> Iterator[Document | None]:
    """Yield the document as it is, then as it becomes; ends when the watch does."""
    # A list, unlike a get, also tells from which revision to watch when the document is not there yet.
    field = f"metadata.name={name}"
    listed = session.client.list(resource, namespace, fields=field)
    yield listed["items"][0] if listed["items"] else None
    left = deadline - time.monotonic()
    if left <= 0:
        return
    since, seconds = listed["metadata"]["resourceVersion"], min(left, MAX_WATCH_SECONDS)
    try:
        for event in session.client.watch(resource, namespace, since=since, fields=field, seconds=seconds):
            yield None if event["type"] == "DELETED" else event["object"]
    except RequestFailed as failed:
        if failed.code != 410:  # that revision is no longer kept: list again
            raise
