"""Stored documents and their changes: the values that the store, the watches and the collector pass around.

A document is kept as the bytes that clients are sent; what is asked often (labels, owners) is kept beside them.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from tako.api.errors import bad_request

Document = dict[str, Any]


class Key(NamedTuple):
    """Where a document is; `namespace` is empty for what belongs to the whole host."""

    group_resource: str
    namespace: str
    name: str


class ChangeType(StrEnum):
    """What a watcher is told."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored document. Nobody may change it: a change makes a new one."""

    key: Key
    uid: str
    revision: int
    raw: bytes
    labels: dict[str, str]
    owners: tuple[str, ...]
    deleting: bool

    def read(self) -> Document:
        """Return a copy of the document that the caller may change."""
        document: Document = json.loads(self.raw)
        return document


@dataclass(frozen=True)
class Change:
    """One step of the history. `entry` of a deletion is the last state, with the revision of the deletion."""

    type: ChangeType
    entry: Entry
    previous: Entry | None

    @property
    def revision(self) -> int:
        return self.entry.revision

    @property
    def key(self) -> Key:
        return self.entry.key

    @cached_property
    def line(self) -> bytes:
        """What a watcher without selectors reads; made once for all watchers."""
        return watch_line(self.type, self.entry.raw)


def watch_line(change_type: str, raw: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (change_type.encode(), raw)


def encode(document: Document) -> bytes:
    """Return the bytes of a document; 400 for what JSON can say but no client could read back."""
    try:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:  # an infinite number, half of a surrogate pair
        raise bad_request(f"the document has a value that cannot be stored: {error}") from error


def entry_of(key: Key, document: Document, raw: bytes | None = None) -> Entry:
    """Build the entry of a complete document (uid and resourceVersion are set)."""
    metadata = document["metadata"]
    return Entry(
        key=key,
        uid=metadata["uid"],
        revision=int(metadata["resourceVersion"]),
        raw=encode(document) if raw is None else raw,
        labels=metadata.get("labels") or {},
        owners=tuple(owner["uid"] for owner in metadata.get("ownerReferences") or ()),
        deleting="deletionTimestamp" in metadata,
    )
