"""One app's part of the work of :class:`tako.host_agent.applog.AppLogs`: its spool files, its log file.

Belongs to the log thread; nothing here is called from elsewhere.
"""

from pathlib import Path

from tako.adapters.clock import timestamp
from tako.host_agent import spool
from tako.host_agent.layout import AppDirs
from tako.host_agent.logfile import LogFile
from tako.host_agent.logline import LogLine, server_text
from tako.host_agent.spoolfiles import STREAMS, spool_file
from tako.model.names import InstanceId


class AppPump:
    """Moves lines from an app's spool files to its log file."""

    def __init__(self, dirs: AppDirs) -> None:
        self._dirs = dirs
        self._file = LogFile(dirs)
        self._offsets: dict[str, int] = {}
        self._dirty: set[str] = set()
        self.dropped = 0

    @property
    def busy(self) -> bool:
        return bool(self._dirty)

    def touched(self, name: str) -> None:
        """Something was written into a file of the spool directory."""
        if spool.split_name(name) or name == self._dirs.access_log.name:
            self._dirty.add(name)

    def touched_all(self) -> None:
        """Events may have been lost, or nobody was there to get them."""
        for path in self._dirs.spool.iterdir():
            self.touched(path.name)

    def turn(self) -> None:
        """Move one batch of each file with something new; the rest stays for the next turn."""
        for name in sorted(self._dirty):
            if not self._move(self._dirs.spool / name, final=False):
                self._dirty.discard(name)

    def finish(self, instance: InstanceId) -> None:
        """Move all that a process printed that is gone, and remove its spool files."""
        for stream in STREAMS:
            path = spool_file(self._dirs, instance, stream)
            while self._move(path, final=True):
                pass
            self._dirty.discard(path.name)
            path.unlink(missing_ok=True)
            self._offsets.pop(path.name, None)
            self._file.forget(path.name)

    def finish_forgotten(self) -> None:
        """Finish the spool files of processes without a record: a former tako-server was killed before it could."""
        names = {found[0] for path in self._dirs.spool.iterdir() if (found := spool.split_name(path.name))}
        for instance in sorted(names):
            if not (self._dirs.instances / f"{instance}.json").exists():
                self.finish(instance)

    def add(self, line: LogLine) -> None:
        """Write a line of our own."""
        if not self._tell_dropped() or not self._file.append(f"{line}\n".encode()):
            self.dropped += 1

    def settle(self) -> None:
        """Something failed: leave everything as it is until the next event."""
        self._dirty.clear()

    def retry(self) -> None:
        """Look whether the disk has room again."""
        self._tell_dropped()

    def close(self) -> None:
        self._file.close()

    def _move(self, path: Path, *, final: bool) -> bool:
        """Move one batch; False when there is none."""
        start = self._offset(path.name)
        try:
            if path.name == self._dirs.access_log.name:
                batch = spool.take_ready(path, start)
            else:
                batch = spool.take(path, start, final=final)
        except FileNotFoundError:
            self._offsets.pop(path.name, None)
            return False
        if batch is None:
            return False
        written = self._tell_dropped() and self._file.append(batch.lines, batch.consumed)
        if not written:
            # Room for what the app prints next is worth more than what it printed: it must not fail on a print.
            self.dropped += batch.printed
            self._file.drop(batch.consumed)
        self._offsets[path.name] = batch.consumed.end
        spool.free(path, batch.consumed.start, batch.consumed.end, at_once=not written)
        return True

    def _offset(self, name: str) -> int:
        if name not in self._offsets:
            self._offsets[name] = self._file.offset(name)
        return self._offsets[name]

    def _tell_dropped(self) -> bool:
        """Say how many lines are missing before the first one after them. False: the disk is still full."""
        if not self.dropped:
            return True
        text = server_text("WARN", "The disk was full; log lines were dropped", {"lines": self.dropped})
        if not self._file.append(f"{LogLine(timestamp(), 'server', 'tako-server', text)}\n".encode()):
            return False
        self.dropped = 0
        return True
