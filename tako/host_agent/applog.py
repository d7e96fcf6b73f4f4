"""The log of each app: one file of lines from all its instances and from Tako itself.

Line: ``2026-04-20T06:19:53.716Z [out] [vdACgHcC] text``; see :mod:`tako.host_agent.spool` for how lines get here.
The work is done in one thread, so that a slow disk never delays what the event loop decides.
"""

import asyncio
import logging
import os
import queue
import select
import threading
import time
from collections.abc import AsyncIterator, Callable

from tako.adapters import inotify
from tako.adapters.clock import timestamp
from tako.host_agent.following import read_log
from tako.host_agent.layout import Layout
from tako.host_agent.logline import LogLine, server_text
from tako.host_agent.logpump import AppPump
from tako.model.errors import TakoError
from tako.model.names import DeploymentId, InstanceId

__all__ = ["AppLogs", "LogLine"]

log = logging.getLogger(__name__)

# Long enough that a chatty app costs a hundred batches a second and not one for each line.
_GATHER_SECONDS = 0.01
# How often a full disk is tried again.
_RETRY_SECONDS = 1.0
_CLOSE_SECONDS = 1.0
# Lines of our own that wait for the disk; more are dropped.
_QUEUED_LINES = 8192


class AppLogs:
    """Moves what instances print into their app's log, from a thread of its own."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._inotify = inotify.Inotify()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pumps: dict[DeploymentId, AppPump] = {}
        self._watches: dict[int, DeploymentId] = {}
        self._followed: set[DeploymentId] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="tako-logs", daemon=True)

    def start(self) -> None:
        """Begin; whatever was printed while no tako-server ran comes first."""
        for app in self._layout.apps():
            self.watch(app)
        self._thread.start()

    def watch(self, app: DeploymentId) -> None:
        """Follow the instances of an app that came after `start`; cheap when it is followed already."""
        if app not in self._followed:
            self._followed.add(app)
            self._ask(lambda: self._open(app))

    def server_line(
        self, app: DeploymentId, source: str, level: str, message: str, **fields: str | int | float | None
    ) -> None:
        """Add a line of our own: ``LEVEL message key=value …``. Returns at once; safe from any thread."""
        line = LogLine(timestamp(), "server", source, server_text(level, message, fields))
        if self._asked.qsize() < _QUEUED_LINES:
            self._ask(lambda: self._add(app, line))

    async def drained(self, app: DeploymentId, instance: InstanceId) -> None:
        """Wait until everything a process that has ended printed is in the log, and drop its spool files."""
        if not self._thread.is_alive():
            return  # closed: the next tako-server finds the files
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def finish() -> None:
            if pump := self._pumps.get(app):
                self._guarded(app, lambda: pump.finish(instance))
            loop.call_soon_threadsafe(done.set)

        self._ask(finish)
        await done.wait()

    def follow(
        self,
        app: DeploymentId,
        since_lines: int | None = None,
        follow: bool = True,
        instance: InstanceId | None = None,
        stream: str | None = None,
        access_records: bool = True,
    ) -> AsyncIterator[LogLine]:
        """Yield the last `since_lines` lines (None: all there are), then new ones as they come if `follow`."""

        def accept(line: LogLine) -> bool:
            # A line of our own about an instance belongs to it as much as what it printed.
            of_instance = instance is None or line.source == instance or f"instance={instance}" in line.text.split()
            return of_instance and stream in (None, line.stream) and (access_records or not line.is_access_record)

        return read_log(self._layout.app(app), since_lines, follow=follow, accept=accept)

    def close(self) -> None:
        """Write what is there and stop."""
        if self._thread.is_alive():
            self._ask(self._stop)
            self._thread.join()
        self._inotify.close()
        os.close(self._wake)

    # --- the log thread -------------------------------------------------------------------------------------

    def _ask(self, what: Callable[[], None]) -> None:
        self._asked.put(what)
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._inotify.fd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while not self._closing:
            if poll.poll(self._patience_milliseconds()):
                time.sleep(_GATHER_SECONDS)
            self._turn()
        for app in list(self._pumps):
            self._pumps.pop(app).close()

    def _patience_milliseconds(self) -> int | None:
        if any(pump.busy for pump in self._pumps.values()):
            return 0
        dropped = any(pump.dropped for pump in self._pumps.values())
        return int(_RETRY_SECONDS * 1000) if dropped else None

    def _turn(self) -> None:
        # How many before anything is read: what was asked for after a line was printed must come after that line.
        asked = self._asked.qsize()
        self._note_changes()
        for app, pump in list(self._pumps.items()):
            self._guarded(app, pump.turn)
            if pump.dropped:
                self._guarded(app, pump.retry)
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass
        for _ in range(asked):
            self._asked.get()()
        if not self._asked.empty():
            os.eventfd_write(self._wake, 1)

    def _note_changes(self) -> None:
        for change in self._inotify.read():
            if change.watch is None:
                for app, one in self._pumps.items():
                    self._guarded(app, one.touched_all)
                continue
            owner = self._watches.get(change.watch)
            if owner is None:
                continue  # an event of a directory that was removed
            if change.gone:
                if change.name in ("", self._layout.app(owner).spool.name):
                    self._release(owner)
            elif pump := self._pumps.get(owner):
                pump.touched(change.name)

    def _open(self, app: DeploymentId) -> None:
        dirs = self._layout.app(app)

        def opened() -> None:
            dirs.make()
            # Watched before it is looked at: nothing can be printed between the two unnoticed.
            self._watches[self._inotify.add(dirs.spool, inotify.MODIFY)] = app
            # A removed directory is not told of while a file of it is open, and ours are; its parent tells.
            self._watches[self._inotify.add(dirs.logs, inotify.DELETE)] = app
            pump = self._pumps[app] = AppPump(dirs)
            pump.finish_forgotten()
            pump.touched_all()

        self._guarded(app, opened)

    def _add(self, app: DeploymentId, line: LogLine) -> None:
        if pump := self._pumps.get(app):
            self._guarded(app, lambda: pump.add(line))

    def _release(self, app: DeploymentId) -> None:
        """The app's directory was removed; should it come back, `watch` begins anew."""
        if pump := self._pumps.pop(app, None):
            pump.close()
        self._watches = {watch: owner for watch, owner in self._watches.items() if owner != app}
        if self._layout.app(app).spool.is_dir():
            self._open(app)  # it has come back before we saw that it was gone
        else:
            self._followed.discard(app)

    def _stop(self) -> None:
        # An app that never stops printing must not keep us: the rest is where the next tako-server finds it.
        deadline = time.monotonic() + _CLOSE_SECONDS
        for app, pump in self._pumps.items():
            self._guarded(app, pump.touched_all)
            while pump.busy and time.monotonic() < deadline:
                self._guarded(app, pump.turn)
        self._closing = True

    def _guarded(self, app: DeploymentId, work: Callable[[], None]) -> None:
        """Keep one app's broken disk or directory from stopping the logs of all others."""
        try:
            work()
        except (OSError, TakoError) as error:
            log.error("the log of %s is not written: %s", app, error)
            if pump := self._pumps.get(app):
                pump.settle()
            else:
                self._followed.discard(app)  # it could not be opened; the next `watch` tries again
