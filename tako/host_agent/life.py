"""The life of one process, from its spawn to its exit: readiness, probes, drain, stop.

Decides nothing about other processes; tells `changed` when its state moved and `ended` when it is gone.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from tako.host_agent.exits import ExitSeen
from tako.host_agent.probes import Probe, probe
from tako.host_agent.processes import NotReady, Running
from tako.host_agent.rollout import SeenInstance, TemplateHash
from tako.host_agent.views import InstanceView
from tako.model.kinds import InstanceState
from tako.model.names import InstanceId

# The specification's: probed each second, ten times as often until first healthy.
STEADY_INTERVAL_SECONDS = 1.0
STARTUP_INTERVAL_SECONDS = 0.1
FAILURES_UNTIL_UNHEALTHY = 2
FAILURES_UNTIL_DEAD = 3
# The planner's startup timeout ends a start; this only bounds a wait that nobody plans for.
LONGEST_START_SECONDS = 3600.0
# Counts of requests are told at each change of state, and between two of them no more often than this: each time is
# a write for each busy instance.
USE_TOLD_EVERY_SECONDS = 30.0


class Life:
    """One process and what is known about it."""

    def __init__(
        self,
        running: Running,
        clock: Callable[[], float],
        health_path: Callable[[TemplateHash], str],
        changed: Callable[["Life"], None],
        ended: Callable[["Life", ExitSeen], None],
    ) -> None:
        record = running.record
        self.id: InstanceId = record.id
        self.template = TemplateHash(record.template)
        self.release = record.release
        self.state = InstanceState.STARTING
        self.since = clock()
        self.healthy_since: float | None = None
        self.last_request_at: float | None = None
        self.in_flight = 0
        self._requests: int | None = 0
        self._told_use: tuple[int | None, str | None] = (None, None)  # requests, and when the last one ended
        self._told_use_at = self.since
        self.drained = False
        self.retired = False
        self.timed_out = False
        self.port: int | None = None
        self._running = running
        self._clock = clock
        self._health_path = health_path
        self._changed = changed
        self._ended = ended
        self._fault: str | None = None  # why we ended it, in words
        self._detail = ""
        self._bad_probes = 0
        self._look = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._routed = False

    def begin(self) -> None:
        """Wait for the port and for the exit, each in a task of its own."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._watch_exit()), loop.create_task(self._become_ready())]

    def adopted(self) -> None:
        """It served before this server began: it goes on serving, and the next probe tells otherwise."""
        record = self._running.record
        if record.port is None:
            self._condemn("It was still starting when tako-server was restarted, so its port is unknown")
            return
        self.port = record.port
        self._requests = None  # until the proxy says how many
        self.healthy_since = self._clock()
        self._enter(InstanceState.HEALTHY)

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    # --- acts -----------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Out of routing. One that never was in it has nothing in flight."""
        self.drained = not self._routed
        self._enter(InstanceState.DRAINING)

    def stop(self) -> None:
        self._enter(InstanceState.STOPPING)
        self._running.terminate()

    def kill(self, reason: Literal["ignored_sigterm", "startup_timeout"]) -> None:
        if reason == "startup_timeout":
            self.timed_out = True
            waited = f"{self._clock() - self.since:.0f} s"
            if self.port is None:
                what = f"did not report a port on fd 4 within {waited}"
            else:
                what = f"was not healthy within {waited}: {self._detail}"
            end = "" if what.endswith((".", "?")) else "."
            self._fault = f"The process was stopped, because it {what}{end}"
        self._running.kill()
        # One that the kernel does not let go yet is killed again after as long, and not in every turn until then.
        self.since = self._clock()

    def used(self, in_flight: int, idle_seconds: float, requests: int) -> bool:
        """Note what the proxy counted; True when it is time to tell."""
        now = self._clock()
        self.in_flight, self._requests, self.last_request_at = in_flight, requests, now - idle_seconds
        if requests == self._told_use[0] or now - self._told_use_at < USE_TOLD_EVERY_SECONDS:
            return False
        self._tell_use()
        return True

    def _tell_use(self) -> None:
        """Take the counts as they are told from here on: looking twice at the same instance must give the same."""
        self._told_use_at = self._clock()
        if self._requests == self._told_use[0]:
            return
        last = None
        if self._requests and self.last_request_at is not None:
            ended = time.time() - (self._clock() - self.last_request_at)
            last = datetime.fromtimestamp(ended, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._told_use = (self._requests, last)

    def look_now(self) -> None:
        self._look.set()

    # --- values ---------------------------------------------------------------------------------------------

    def seen(self) -> SeenInstance:
        return SeenInstance(
            self.id,
            self.template,
            self.state,
            self.since,
            self.healthy_since,
            self.last_request_at,
            self.in_flight,
            self.drained,
            self.retired,
        )

    def view(self) -> InstanceView:
        record = self._running.record
        return InstanceView(
            id=self.id,
            release=record.release,
            template=self.template,
            state=self.state,
            argv=tuple(record.argv),
            pid=self._running.pid,
            start_ticks=record.start_ticks or 0,
            started_at=record.started_at,
            port=self.port,
            restarts=record.restarts,
            in_flight=self.in_flight,
            detail=self._detail,
            requests=self._told_use[0],
            last_request=self._told_use[1],
        )

    def last_output(self, lines: int) -> list[str]:
        return self._running.last_output(lines)

    def account_for(self, seen: ExitSeen) -> str:
        """Say in a sentence how it ended."""
        if self._fault is not None:
            return self._fault
        when = (
            ""
            if self.healthy_since is not None
            else (" before it reported a port" if self.port is None else " before it was healthy")
        )
        return f"The process {seen}{when}."

    # --- tasks ----------------------------------------------------------------------------------------------

    async def _watch_exit(self) -> None:
        seen = await self._running.exited()
        for task in self._tasks[1:]:
            task.cancel()
        self._ended(self, seen)

    async def _become_ready(self) -> None:
        if self.port is None:
            try:
                self.port = await self._running.port(LONGEST_START_SECONDS)
            except NotReady as error:
                self._condemn(str(error))
                return
            self._enter(InstanceState.READY)
        await self._probe_for_ever()

    async def _probe_for_ever(self) -> None:
        while True:
            self._take(await self._ask())
            interval = STEADY_INTERVAL_SECONDS if self.healthy_since else STARTUP_INTERVAL_SECONDS
            try:
                await asyncio.wait_for(self._look.wait(), interval)
            except TimeoutError:
                pass
            self._look.clear()

    async def _ask(self) -> Probe:
        record = self._running.record
        return await probe(self.port or 0, record.app.internal_host, self._health_path(self.template), record.token)

    def _take(self, answer: Probe) -> None:
        if self.state not in (InstanceState.READY, InstanceState.HEALTHY, InstanceState.UNHEALTHY):
            return
        if answer.ok:
            self._bad_probes, self._detail = 0, ""
            if self.state is not InstanceState.HEALTHY:
                self.healthy_since = self._clock()
                self._enter(InstanceState.HEALTHY)
            return
        self._bad_probes += 1
        self._detail = answer.detail
        if self.healthy_since is None:
            return  # the startup timeout decides
        if self._bad_probes >= FAILURES_UNTIL_DEAD:
            self._condemn(f"It failed {self._bad_probes} probes in a row: {answer.detail}")
        elif self._bad_probes >= FAILURES_UNTIL_UNHEALTHY and self.state is InstanceState.HEALTHY:
            self._enter(InstanceState.UNHEALTHY)

    def _condemn(self, why: str) -> None:
        """End a process that cannot serve; its exit is then told with `why`."""
        self._fault = f"The process was stopped. {why.rstrip('.')}."
        self._running.kill()

    def _enter(self, state: InstanceState) -> None:
        self.state, self.since = state, self._clock()
        self._tell_use()
        self._routed = self._routed or state is InstanceState.HEALTHY
        self._changed(self)
