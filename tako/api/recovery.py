"""Opening the store when all is well, and what to do when it is not: restore the snapshot, or say the way out."""

import sqlite3
import time
from pathlib import Path

from tako.api.database import Database, StoreFailed, create_private, is_damage, open_file, set_aside, sync
from tako.model.errors import Refused


class StoreDamaged(Refused):
    """The file cannot be read and there is nothing to restore it from."""


def open_database(path: Path) -> Database:
    """Open the database, restoring it from its snapshot when it is missing or damaged; `notice` says what was done."""
    snapshot = path.with_suffix(".snapshot.sqlite")
    if not path.exists() and not snapshot.exists():
        return open_file(path)
    if not path.exists():
        return _restored(path, snapshot, f"{path} is missing")
    try:
        return open_file(path)
    except (sqlite3.DatabaseError, ValueError, KeyError) as error:
        if isinstance(error, sqlite3.DatabaseError) and not is_damage(error):
            raise StoreFailed(f"{path} cannot be opened: {error}") from error
        return _restored(path, snapshot, f"{path} is damaged ({error})")


def _restored(path: Path, snapshot: Path, fault: str) -> Database:
    way_out = (
        f"Put a backup of it in place, or move {path} and {snapshot} (and the -wal and -shm files) away to start with "
        "nothing declared, and apply your documents again."
    )
    if not snapshot.exists():
        raise StoreDamaged(f"{fault} and there is no snapshot to restore. {way_out}")
    trial = path.with_suffix(".restore")
    create_private(trial)
    trial.write_bytes(snapshot.read_bytes())
    try:
        open_file(trial).close()
    except (sqlite3.DatabaseError, ValueError, KeyError) as error:
        raise StoreDamaged(f"{fault} and its snapshot {snapshot} is damaged too ({error}). {way_out}") from error
    finally:
        for suffix in ("-wal", "-shm"):
            trial.with_name(trial.name + suffix).unlink(missing_ok=True)
    sync(trial)
    aside = set_aside(path)
    trial.rename(path)
    database = open_file(path)
    database.jump()
    taken = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(snapshot.stat().st_mtime))
    kept = f", and the damaged file is kept as {aside}" if aside else ""
    database.notice = f"{fault}: restored from the snapshot of {taken}; later changes must be applied again{kept}"
    return database
