"""Proxies on their way out: those that were replaced, and those that do not come back to us.

A replaced proxy accepts nothing any more and ends with its last connection. It has no deadline, because a WebSocket has
none.
"""

import logging

from tako.model.control import Shutdown
from tako.proxy.member import Member
from tako.proxy.members import Members
from tako.proxy.restarts import Timers

log = logging.getLogger(__name__)

RECONNECT_TIMEOUT_SECONDS = 30.0
# What a proxy needs beyond its drain time before it is taken for hung.
EXIT_GRACE_SECONDS = 5.0
# Each takes a few MB, so there may be many; beyond this number the oldest ones are given a deadline.
MAX_FINISHING = 128
LAST_DRAIN_SECONDS = 30.0


class Finishing:
    """Tells proxies to finish, and sees to it that they do not stay for nothing."""

    def __init__(self, members: Members, timers: Timers) -> None:
        self._members = members
        self._timers = timers

    def dismiss(self, member: Member, drain_seconds: float | None) -> None:
        """Have it end with its last connection, or after so long."""
        self._tell(member, drain_seconds)
        unlimited = [one for one in self._members.finishing() if not one.has_deadline]
        for oldest in unlimited[: max(0, len(unlimited) - MAX_FINISHING)]:
            log.warning("proxy %d is the oldest of too many that finish; its connections are cut", oldest.process.pid)
            self._tell(oldest, LAST_DRAIN_SECONDS)

    def expect(self, member: Member) -> None:
        """A proxy that has no connection to us; without one for long it is of no use."""
        self._timers.after(RECONNECT_TIMEOUT_SECONDS, lambda: self._kill_if_lost(member))

    def _tell(self, member: Member, drain_seconds: float | None) -> None:
        member.is_finishing = True
        drain_ms = None if drain_seconds is None else int(drain_seconds * 1000)
        self._members.tell(member, Shutdown(drain_ms=drain_ms))
        if drain_seconds is not None:
            member.has_deadline = True
            self._timers.after(drain_seconds + EXIT_GRACE_SECONDS, member.process.kill)

    def _kill_if_lost(self, member: Member) -> None:
        # It serves a table that nobody can change any more; a new one is better than that.
        if not member.is_connected and not member.process.has_exited:
            log.error("proxy %d did not come back in %g s", member.process.pid, RECONNECT_TIMEOUT_SECONDS)
            member.process.kill()
