"""The processes of this host: started, watched, adopted from a former tako-server, ended.

Everything here is called on one asyncio loop. What should run is decided by the caller.
"""

import os
from dataclasses import dataclass, replace

from tako.adapters import processes
from tako.adapters.clock import timestamp
from tako.host_agent import membership
from tako.host_agent.launch import LaunchOrder, launch
from tako.host_agent.layout import Layout
from tako.host_agent.records import InstanceRecord, Records, UnreadableRecord
from tako.host_agent.running import NotReady, Running
from tako.host_agent.spoolfiles import STREAMS, spool_file
from tako.model.errors import RetryLater, TakoError
from tako.model.names import InstanceId

__all__ = ["NotReady", "Orphan", "Processes", "Running"]


@dataclass(frozen=True, slots=True)
class Orphan:
    """A process of this data directory that no record knows."""

    pid: int
    instance: InstanceId
    argv: tuple[str, ...]

    def kill(self) -> None:
        """SIGKILL it; what it started is an orphan too, and listed as one."""
        processes.kill(self.pid)


class Processes:
    """The processes below one data directory."""

    def __init__(self, layout: Layout) -> None:
        # Processes are recognised by paths as the kernel tells them, which are without symlinks.
        self._layout = Layout(layout.data_dir.resolve())
        self._records = Records(self._layout)
        processes.keep_descriptors()
        self._running: dict[InstanceId, Running] = {}
        self._dead: dict[InstanceId, InstanceRecord] = {}

    def spawn(self, order: LaunchOrder) -> Running:
        """Start a process within milliseconds.

        Its record is on disk before it exists. Raises `Refused` when the command or its directory cannot be
        started as given, `RetryLater` when the host is short of something (processes, files, disk).
        """
        dirs = self._layout.app(order.app)
        dirs.make()
        record = _record(order)
        # Before, so that a tako-server killed between here and the second write leaves nothing unknown.
        self._records.write(record)
        stdout, stderr = (spool_file(dirs, order.id, stream) for stream in STREAMS)
        try:
            launched = launch(order, stdout, stderr)
        except (TakoError, OSError):
            stdout.unlink(missing_ok=True)
            stderr.unlink(missing_ok=True)
            self._records.remove(record)
            raise
        pidfd = processes.open_pidfd(launched.pid)
        stat = processes.process_stat(launched.pid)
        assert pidfd is not None and stat is not None  # our child keeps its pid until we reap it
        record = replace(record, pid=launched.pid, start_ticks=stat.start_ticks)
        running = self._watch(record, pidfd, launched.readiness, adopted=False)
        try:
            self._records.write(record)
        except RetryLater:
            del self._running[order.id]
            running.kill()
            self._records.remove(record)
            raise
        return running

    def adopt(self) -> list[Running]:
        """Return the live processes that a former tako-server started, told from reused pids by start time."""
        adopted = []
        for record in self._records.read():
            if isinstance(record, UnreadableRecord):
                record.path.unlink(missing_ok=True)  # its process, if any, shows up among the orphans
            elif record.id not in self._running:
                if (running := self._adopt(record)) is None:
                    self._dead[record.id] = record
                else:
                    adopted.append(running)
        return adopted

    def dead_records(self) -> list[InstanceRecord]:
        """Return the records whose process is gone and which were not forgotten; valid after `adopt`."""
        return list(self._dead.values())

    def forget(self, id: InstanceId) -> None:
        """Drop the record of a process that has ended, and end what it left behind. Its output stays."""
        running = self._running.pop(id, None)
        record = self._dead.pop(id, None) or (running.record if running else None)
        if record is None:
            return
        for stat in membership.members(record, self._layout):
            processes.kill(stat.pid)
        self._records.remove(record)

    def orphans(self) -> list[Orphan]:
        """Return the processes that carry our `--instance` below this data directory but have no record."""
        known = {record.id for record in self._records.read() if isinstance(record, InstanceRecord)}
        found = []
        for pid in processes.pids():
            instance = membership.instance_of(pid, self._layout)
            if instance is not None and instance not in known and pid != os.getpid():
                found.append(Orphan(pid, instance, processes.command_line(pid)))
        return found

    def close(self) -> None:
        """Stop watching; the processes go on."""
        for running in self._running.values():
            running.close()
        self._running.clear()

    def _watch(self, record: InstanceRecord, pidfd: int, readiness: int | None, *, adopted: bool) -> Running:
        running = Running(
            record, pidfd, readiness, self._records, self._layout, adopted=adopted, ended=self._keep_record
        )
        self._running[record.id] = running
        return running

    def _keep_record(self, running: Running) -> None:
        # Should tako-server die before the caller has forgotten it, the next one finds a dead record.
        if running.record.id in self._running:
            self._dead[running.record.id] = running.record

    def _adopt(self, record: InstanceRecord) -> Running | None:
        if record.boot_id != processes.boot_id():
            return None
        if record.pid is None:
            # The former tako-server died between spawn and record; the oldest is what it spawned.
            candidates = membership.members(record, self._layout)
            if not candidates:
                return None
            record = replace(record, pid=candidates[0].pid, start_ticks=candidates[0].start_ticks)
            self._records.write(record)
        assert record.pid is not None  # found just above
        # The descriptor first: what is checked after that cannot become another process unnoticed.
        pidfd = processes.open_pidfd(record.pid)
        if pidfd is None:
            return None
        stat = processes.process_stat(record.pid)
        if stat is None or stat.dead or stat.start_ticks != record.start_ticks:
            os.close(pidfd)
            return None
        return self._watch(record, pidfd, None, adopted=True)


def _record(order: LaunchOrder) -> InstanceRecord:
    return InstanceRecord(
        id=order.id,
        app=order.app,
        release=order.release,
        template=order.template,
        role=order.role,
        argv=order.argv,
        token=order.token,
        started_at=timestamp(),
        boot_id=processes.boot_id(),
        restarts=order.restarts,
    )
