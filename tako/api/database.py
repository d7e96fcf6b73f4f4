"""The file `state.sqlite`: opened with a check, written in whole transactions, never allowed to only grow.

Used by one thread at a time. It keeps references to all that is stored, so that a file which was deleted or
damaged under a running server is written anew from memory instead of losing what was acknowledged.
"""

import json
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from tako.api.entries import Change, ChangeType, Entry, Key, entry_of
from tako.api.errors import DiskFull
from tako.model.errors import TakoError

# Enough for a watcher to be away for a moment; whoever was away longer lists again.
LOG_LENGTH = 1000
_TRIM_EVERY = 200
_DAMAGED_KEPT = 3
# After going back to an older state no client may find its remembered revision ahead of ours.
_REVISION_JUMP = 1_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS obj(
    id INTEGER PRIMARY KEY, gr TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
    rv INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE(gr, ns, name));
CREATE TABLE IF NOT EXISTS log(
    rv INTEGER PRIMARY KEY, type TEXT NOT NULL, gr TEXT NOT NULL, ns TEXT NOT NULL, name TEXT NOT NULL,
    data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS meta(k TEXT PRIMARY KEY, v INTEGER NOT NULL);
"""


class StoreFailed(TakoError):
    """A transaction failed for another reason than space; it is not stored."""


class Database:
    """The open file and a mirror of what it holds."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.entries: dict[Key, Entry] = {}
        self.changes: list[Change] = []
        self.revision = 0
        self.compacted = 0
        self.notice: str | None = None
        self._connection = connection
        self._inode = _inode(path)
        self._since_trim = 0

    @property
    def snapshot_path(self) -> Path:
        return self.path.with_suffix(".snapshot.sqlite")

    def write(self, batch: Sequence[Change]) -> None:
        """Store all of `batch` or nothing; on return it survives a loss of power."""
        try:
            if _inode(self.path) != self._inode:
                self._rebuild(f"{self.path} was deleted or replaced while the server was running")
            self._transaction(batch)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                self._rebuild(f"{self.path} was damaged while the server was running ({error})")
                self._retry(batch)
            else:
                raise self._failure(error) from error
        except OSError as error:
            raise DiskFull(str(self.path.parent)) from error
        self._mirror(batch)

    def snapshot(self) -> None:
        """Copy everything to the snapshot file, from which a damaged database is restored."""
        partial = self.snapshot_path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        create_private(partial)
        try:
            self._connection.execute("VACUUM INTO ?", (str(partial),))
        except sqlite3.DatabaseError as error:
            partial.unlink(missing_ok=True)
            raise self._failure(error) from error
        sync(partial)
        partial.replace(self.snapshot_path)
        sync(self.path.parent)

    def close(self) -> None:
        self._connection.close()

    def load(self) -> None:
        """Read everything into the mirror; damage that the check did not see raises here."""
        self.entries = {}
        for group_resource, namespace, name, raw in self._connection.execute("SELECT gr, ns, name, data FROM obj"):
            key = Key(group_resource, namespace, name)
            self.entries[key] = entry_of(key, json.loads(raw), raw)
        meta = dict(self._connection.execute("SELECT k, v FROM meta"))
        self.revision = max([meta.get("revision", 0), *(entry.revision for entry in self.entries.values())])
        self._load_log(meta.get("compacted", 0))

    def jump(self) -> None:
        """Leave every revision that was ever handed out behind, after going back to an older state."""
        self.revision += _REVISION_JUMP
        self.compacted = self.revision
        self.changes = []
        with self._connection:
            self._connection.execute("DELETE FROM log")
            self._write_meta()

    def _load_log(self, compacted: int) -> None:
        rows = self._connection.execute(
            "SELECT rv, type, gr, ns, name, data FROM log ORDER BY rv DESC LIMIT ?", (LOG_LENGTH,)
        ).fetchall()
        last: dict[Key, Entry] = {}
        self.changes = []
        for _, change_type, group_resource, namespace, name, raw in reversed(rows):
            key = Key(group_resource, namespace, name)
            entry = entry_of(key, json.loads(raw), raw)
            self.changes.append(Change(ChangeType(change_type), entry, last.get(key)))
            last[key] = entry
        full = len(rows) == LOG_LENGTH
        self.compacted = max(compacted, rows[-1][0] - 1 if full else 0)

    def _transaction(self, batch: Sequence[Change]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for change in batch:
                _execute(connection, change)
            self.revision = max([self.revision, *(change.revision for change in batch)])
            self._write_meta()
            self._trim(len(batch))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _retry(self, batch: Sequence[Change]) -> None:
        try:
            self._transaction(batch)
        except sqlite3.DatabaseError as error:
            raise self._failure(error) from error

    def _mirror(self, batch: Sequence[Change]) -> None:
        for change in batch:
            if change.type is ChangeType.DELETED:
                self.entries.pop(change.key, None)
            else:
                self.entries[change.key] = change.entry

    def _write_meta(self) -> None:
        self._connection.executemany(
            "INSERT INTO meta VALUES(?, ?) ON CONFLICT(k) DO UPDATE SET v = excluded.v",
            [("revision", self.revision), ("compacted", self.compacted)],
        )

    def _trim(self, written: int) -> None:
        """Now and then forget old history and give the pages back to the file system."""
        self._since_trim += written
        if self._since_trim < _TRIM_EVERY:
            return
        self._since_trim = 0
        edge = self._connection.execute(
            "SELECT rv FROM log ORDER BY rv DESC LIMIT 1 OFFSET ?", (LOG_LENGTH,)
        ).fetchone()
        if edge is not None:
            self.compacted = max(self.compacted, edge[0])
            self._connection.execute("DELETE FROM log WHERE rv <= ?", edge)
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()

    def _rebuild(self, reason: str) -> None:
        """Write the file anew from what is in memory."""
        self._connection.close()
        aside = set_aside(self.path)
        self._connection = connect(self.path)
        self._inode = _inode(self.path)
        self._connection.executescript(_SCHEMA)
        self.compacted = self.revision
        with self._connection:
            self._connection.executemany(
                _PUT, [(*entry.key, entry.uid, entry.revision, entry.raw) for entry in self.entries.values()]
            )
            self._write_meta()
        kept = f"; the damaged file is kept as {aside}" if aside else ""
        self.notice = f"{reason}: it was written anew from memory, nothing is lost{kept}"

    def _failure(self, error: sqlite3.DatabaseError) -> TakoError:
        if _name(error).startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")):
            return DiskFull(str(self.path.parent))
        return StoreFailed(f"{self.path} could not be written ({_name(error)}: {error})")


_PUT = (
    "INSERT INTO obj(gr, ns, name, uid, rv, data) VALUES(?, ?, ?, ?, ?, ?) "
    "ON CONFLICT(gr, ns, name) DO UPDATE SET uid = excluded.uid, rv = excluded.rv, data = excluded.data"
)


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection with the durability that an acknowledged write is promised."""
    create_private(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # Nobody else may have the file (the server's lock says so), and without the shared index file that others would
    # need, a server can start and serve reads on a full disk.
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):  # later it has no effect, but needs space
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_size_limit=16777216")
    return connection


def create_private(path: Path) -> None:
    """Make the file, empty, before its first byte comes: secrets will be in it."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def set_aside(path: Path) -> Path | None:
    """Move the damaged file and its companions away, keeping the last few of them."""
    aside = path.with_name(f"{path.stem}.damaged-{time.time_ns()}{path.suffix}")
    existed = path.exists()
    for suffix in ("", "-wal", "-shm"):
        companion = path.with_name(path.name + suffix)
        if companion.exists():
            companion.rename(aside.with_name(aside.name + suffix))
    for old in sorted(path.parent.glob(f"{path.stem}.damaged-*{path.suffix}"))[:-_DAMAGED_KEPT]:
        for suffix in ("", "-wal", "-shm"):
            old.with_name(old.name + suffix).unlink(missing_ok=True)
    return aside if existed else None


def open_file(path: Path) -> Database:
    """Open, check and read the file; a damaged one raises sqlite3.DatabaseError, ValueError or KeyError."""
    connection = connect(path)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise ValueError(verdict)
        connection.executescript(_SCHEMA)
        database = Database(path, connection)
        database.load()
    except BaseException:
        connection.close()
        raise
    return database


def _execute(connection: sqlite3.Connection, change: Change) -> None:
    entry = change.entry
    if change.type is ChangeType.DELETED:
        connection.execute("DELETE FROM obj WHERE gr = ? AND ns = ? AND name = ?", entry.key)
    else:
        connection.execute(_PUT, (*entry.key, entry.uid, entry.revision, entry.raw))
    connection.execute(
        "INSERT INTO log VALUES(?, ?, ?, ?, ?, ?)", (entry.revision, change.type.value, *entry.key, entry.raw)
    )


def is_damage(error: sqlite3.DatabaseError) -> bool:
    return _name(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR_SHORT_READ"))


def _name(error: sqlite3.DatabaseError) -> str:
    """Errors of the Python module itself have none."""
    return getattr(error, "sqlite_errorname", type(error).__name__)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def sync(path: Path) -> None:
    """Have the file, or the names in the directory, survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
