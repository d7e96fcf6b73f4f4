"""A queue of keys, as controller-runtime has it: a key added twice is worked once, one added during its work once more.

Work is level-triggered: it reads the world as it is when it runs, so dropping duplicates loses nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from tako.model.errors import Refused, RetryLater, TakoError

log = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)

# After an error nobody expected; long enough that a bug does not fill the log.
THROTTLE_SECONDS = 5.0
CLOSE_SECONDS = 5.0


class WorkQueue(Generic[K]):
    """Runs `work(key)` soon after `add(key)`, never twice at once for one key."""

    def __init__(self, name: str, work: Callable[[K], Awaitable[None]]) -> None:
        self._name = name
        self._work = work
        self._running: dict[K, asyncio.Task[None]] = {}
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._refused: dict[K, str] = {}
        self._closed = False

    def add(self, key: K) -> None:
        """Work on `key` as soon as possible."""
        if self._closed:
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._running:
            self._again.add(key)
            return
        self._running[key] = asyncio.create_task(self._run(key))

    def add_later(self, key: K, delay_seconds: float) -> None:
        """Work on `key` in a while, unless it is added before."""
        if key not in self._timers and not self._closed:
            self._timers[key] = asyncio.get_running_loop().call_later(delay_seconds, self._due, key)

    async def close(self) -> None:
        """Drop what waits and finish what runs, or after `CLOSE_SECONDS` cancel it: an install may take minutes."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        if running := list(self._running.values()):
            _, late = await asyncio.wait(running, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _tell(self, key: K, refusal: str) -> None:
        """Log a refusal once: it is looked at again every few seconds, and its condition says it all the while."""
        if self._refused.get(key) != refusal:
            self._refused[key] = refusal
            log.warning("%s %s: %s", self._name, key, refusal)

    async def _run(self, key: K) -> None:
        delay: float | None = None
        try:
            await self._work(key)
            self._refused.pop(key, None)
        except RetryLater as error:
            delay = error.delay_seconds
        except Refused as error:
            self._tell(key, str(error))
        except TakoError as error:
            # A write that the store or another writer refused: the world is as it was, so the work is still due.
            log.warning("%s %s, tried again in %g s: %s", self._name, key, THROTTLE_SECONDS, error)
            delay = THROTTLE_SECONDS
        except Exception:
            log.exception("%s %s failed", self._name, key)
            delay = THROTTLE_SECONDS
        finally:
            del self._running[key]
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        elif delay is not None:
            self.add_later(key, delay)
