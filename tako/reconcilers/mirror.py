"""The documents of our kinds in memory, kept by a watch: what is read often is not read from the store.

The mirror is a little behind the store. What decides a write reads the document itself (:meth:`World.find`);
the mirror is for looking at many.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any

from tako.api.background import run_in_background
from tako.api.errors import ApiError
from tako.api.resources import Resources
from tako.model.kinds import APP, CERTIFICATE, INSTANCE, RELEASE, ROUTE, Kind

log = logging.getLogger(__name__)

Doc = dict[str, Any]
MIRRORED: tuple[Kind, ...] = (APP, RELEASE, INSTANCE, ROUTE, CERTIFICATE)


class Mirror:
    """In-memory copies by kind, namespace and name."""

    def __init__(self, resources: Resources, changed: Callable[[Kind, Doc], None]) -> None:
        self._resources = resources
        self._changed = changed
        self._docs: dict[str, dict[tuple[str, str], Doc]] = {kind.plural: {} for kind in MIRRORED}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Fill the mirror, then follow; returns once every kind has been read."""
        for kind in MIRRORED:
            docs, revision = await self._resources.list(kind.group_resource)
            self._docs[kind.plural] = {_key(doc): doc for doc in docs}
            self._tasks.append(run_in_background(self._follow(kind, revision), f"mirror of {kind.plural}"))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def of(self, kind: Kind) -> Iterable[Doc]:
        """Return every document of a kind."""
        return list(self._docs[kind.plural].values())

    def find(self, kind: Kind, namespace: str, name: str) -> Doc | None:
        return self._docs[kind.plural].get((namespace, name))

    def in_namespace(self, kind: Kind, namespace: str) -> list[Doc]:
        return [doc for (ns, _), doc in self._docs[kind.plural].items() if ns == namespace]

    def routes(self) -> list[Doc]:
        return [d for d in self.of(ROUTE) if "deletionTimestamp" not in d["metadata"]]

    async def _follow(self, kind: Kind, revision: int) -> None:
        while True:
            try:
                async for type_, doc in self._resources.watch(kind.group_resource, None, revision):
                    self._take(kind, type_, doc)
            except ApiError as error:
                if error.code != 410:
                    raise
            log.warning("the watch over %s fell behind; reading all of them again", kind.plural)
            revision = await self._read_again(kind)

    async def _read_again(self, kind: Kind) -> int:
        """Tell of what is there and, because no watch will any more, of what has gone; returns the revision."""
        listed, revision = await self._resources.list(kind.group_resource)
        before, seen = self._docs[kind.plural], {_key(doc): doc for doc in listed}
        self._docs[kind.plural] = seen
        for doc in (*listed, *(doc for key, doc in before.items() if key not in seen)):
            self._changed(kind, doc)
        return revision

    def _take(self, kind: Kind, type_: str, doc: Doc) -> None:
        if type_ == "DELETED":
            self._docs[kind.plural].pop(_key(doc), None)
        else:
            self._docs[kind.plural][_key(doc)] = doc
        self._changed(kind, doc)


def _key(doc: Doc) -> tuple[str, str]:
    return doc["metadata"].get("namespace", ""), doc["metadata"]["name"]
