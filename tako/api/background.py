"""Tasks that run as long as the server: one that ends by a defect is told of, once, and not lost in silence."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_log = logging.getLogger(__name__)


def run_in_background(job: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start `job`, which ends only by cancellation; the caller keeps the task and cancels it."""
    task = asyncio.create_task(job, name=name)
    task.add_done_callback(_tell_of_bug)
    return task


def _tell_of_bug(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("the %s ended; it starts again with the server", task.get_name(), exc_info=error)
