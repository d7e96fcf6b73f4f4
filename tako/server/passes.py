"""Counts what tako-server itself does: passes of the reconcilers, and how late its event loop is."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import ParamSpec

from tako.model.distribution import WORK_BOUNDS, Distribution
from tako.model.errors import Refused, RetryLater

P = ParamSpec("P")

LAG_INTERVAL_SECONDS = 1.0


class Passes:
    """How many passes each reconciler made, how they ended and how long they took."""

    def __init__(self) -> None:
        self.results: Counter[tuple[str, str]] = Counter()
        self.durations: dict[str, Distribution] = {}

    def counted(self, reconciler: str, work: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        """Return `work`, which is counted from here on."""
        durations = self.durations.setdefault(reconciler, Distribution(WORK_BOUNDS))

        async def run(*args: P.args, **kwargs: P.kwargs) -> None:
            loop = asyncio.get_running_loop()
            begun, result = loop.time(), "error"
            try:
                await work(*args, **kwargs)
                result = "ok"
            except RetryLater:
                result = "retry"
                raise
            except Refused:
                result = "refused"
                raise
            finally:
                self.results[reconciler, result] += 1
                durations.observe(loop.time() - begun)

        return run


class LoopLag:
    """Looks once a second how much later than asked for the event loop comes to a timer."""

    def __init__(self) -> None:
        self.seen = Distribution(WORK_BOUNDS)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + LAG_INTERVAL_SECONDS
        self._timer = loop.call_at(due, self._look, due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self, due: float) -> None:
        self.seen.observe(max(0.0, asyncio.get_running_loop().time() - due))
        self.start()
