"""When a proxy that has ended is started again, and what else is done later."""

import asyncio
import time
from collections.abc import Callable

# A proxy that lived this long did not fail at its start: the next one is started without delay.
STEADY_SECONDS = 1.0
MAX_RESTART_DELAY_SECONDS = 5.0


def restart_delay(quick_failures: int) -> float:
    """Return how long to wait, in seconds, after so many proxies in a row that ended right after their start."""
    return float(min(0.1 * 2 ** (quick_failures - 2), MAX_RESTART_DELAY_SECONDS)) if quick_failures > 1 else 0.0


class Restarts:
    """How often proxies were started again, and how many in a row ended right after their start."""

    def __init__(self) -> None:
        self.count = 0
        self.quick_failures = 0
        self._spawned_at = 0.0

    def spawned(self) -> None:
        self._spawned_at = time.monotonic()

    def ended(self) -> float:
        """The last one spawned has ended; returns how long to wait before the next."""
        lived_seconds = time.monotonic() - self._spawned_at
        self.quick_failures = 0 if lived_seconds > STEADY_SECONDS else self.quick_failures + 1
        return restart_delay(self.quick_failures)


class Timers:
    """What is to be done later, unless we go before."""

    def __init__(self) -> None:
        self._handles: set[asyncio.TimerHandle] = set()

    def after(self, delay_seconds: float, act: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._handles = {one for one in self._handles if not one.cancelled() and one.when() > loop.time()}
        self._handles.add(loop.call_later(delay_seconds, act))

    def cancel(self) -> None:
        for handle in self._handles:
            handle.cancel()
