"""Which proxies run, on disk, for the tako-server that comes after us."""

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from tako.adapters.files import replace_file
from tako.adapters.processes import process_stat
from tako.proxy.process import ProxyPaths, ProxyProcess

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The proxies that a tako-server left and that still run.

    `serving` has the pid and build of the one that accepts connections, `finishing` the pids of those it replaced.
    """

    serving: tuple[int, tuple[int, ...]] | None = None
    finishing: tuple[int, ...] = ()


def write_record(paths: ProxyPaths, serving: ProxyProcess, finishing: Iterable[ProxyProcess]) -> None:
    """Remember which process serves, and which ones finish."""
    record = {
        "pid": serving.pid,
        "start_ticks": start_ticks(serving.pid),
        "build": serving.build,
        "finishing": [{"pid": one.pid, "start_ticks": start_ticks(one.pid)} for one in finishing],
    }
    replace_file(paths.record, json.dumps(record).encode())


def find_recorded(paths: ProxyPaths) -> Recorded:
    """Return the proxies that the last tako-server left, as far as they still run."""
    try:
        record = json.loads(paths.record.read_text())
        serving = (int(record["pid"]), tuple(record["build"]))
        return Recorded(
            serving if _runs(record) else None,
            tuple(int(one["pid"]) for one in record.get("finishing", ()) if _runs(one)),
        )
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("the record of the running proxy %s is unreadable: %r", paths.record, error)
    return Recorded()


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot, or None when there is none that runs."""
    stat = process_stat(pid)
    return None if stat is None or stat.dead else stat.start_ticks


def _runs(process: dict[str, int]) -> bool:
    # A pid alone may be somebody else's by now.
    ticks = process["start_ticks"]
    return ticks is not None and start_ticks(int(process["pid"])) == ticks
