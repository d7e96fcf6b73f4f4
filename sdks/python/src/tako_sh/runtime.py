"""The runtime object that applications import as ``tako``."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path

from tako_sh.envelope import process_envelope
from tako_sh.instance import INSTANCE
from tako_sh.log import Logger
from tako_sh.redaction import Bag
from tako_sh.storages import StorageBinding, read_bindings


@dataclass(frozen=True, slots=True)
class Runtime:
    """Where and as what this process runs."""

    env: str
    """``development``, ``production``, …; empty outside Tako."""
    is_dev: bool
    is_prod: bool
    port: int
    """Value of ``PORT``; 0 means that the system chooses one."""
    host: str
    build: str
    data_dir: Path | None
    """Directory whose contents outlive releases and restarts; None outside Tako."""
    app_dir: Path
    instance: str
    """Eight characters chosen by Tako, or ``unknown`` outside it."""
    secrets: Bag[str]
    storages: Bag[StorageBinding]
    logger: Logger


@functools.cache
def runtime() -> Runtime:
    """Return this process's runtime object; an invalid storage binding raises ValueError."""
    variables = os.environ
    env = variables.get("ENV", "")
    port = variables.get("PORT", "")
    data_dir = variables.get("TAKO_DATA_DIR", "")
    envelope = process_envelope()
    return Runtime(
        env=env,
        is_dev=env == "development",
        is_prod=env == "production",
        port=int(port) if port.isdecimal() else 0,
        host=variables.get("HOST", ""),
        build=variables.get("TAKO_BUILD", ""),
        data_dir=Path(data_dir) if data_dir else None,
        app_dir=Path.cwd(),
        instance=INSTANCE.id,
        secrets=Bag(envelope.secrets if envelope else {}),
        storages=Bag(read_bindings(envelope.storages if envelope else {})),
        logger=Logger("app"),
    )
