"""Which processes belong to an instance, wherever they have moved to.

A process that forks twice and starts a session of its own leaves its group; it still carries the instance's
`--instance` argument, or writes to the instance's output files. What stays in the session is known by that.
"""

import re

from tako.adapters import processes
from tako.host_agent.layout import Layout
from tako.host_agent.records import InstanceRecord
from tako.model.names import InstanceId

_SPOOL = re.compile(r"/logs/spool/([0-9A-Za-z_-]+)\.(?:out|err)(?: \(deleted\))?$")


def instance_of(pid: int, layout: Layout) -> InstanceId | None:
    """Return the instance a process below this data directory belongs to."""
    apps = f"{layout.data_dir}/apps/"
    for fd in (1, 2):
        path = processes.open_file(pid, fd)
        if path and path.startswith(apps) and (found := _SPOOL.search(path)):
            return InstanceId(found[1])
    argv = processes.command_line(pid)
    if "--instance" not in argv[:-1]:
        return None
    # A stranger may name an instance on its command line too, as `grep -- --instance` does.
    data_app = processes.environment_variable(pid, "TAKO_DATA_DIR")
    if data_app is None or not data_app.startswith(apps):
        return None
    # The last one counts: `start` may contain another one, ours is appended.
    return InstanceId(argv[len(argv) - 1 - argv[::-1].index("--instance") + 1])


def members(record: InstanceRecord, layout: Layout) -> list[processes.ProcessStat]:
    """Return the live processes of an instance, oldest first. Looks at every process of the host: milliseconds."""
    data_app = str(layout.app(record.app).data_app)
    found = []
    for pid in processes.pids():
        stat = processes.process_stat(pid)
        if stat is None or stat.dead:
            continue
        if _of_session(stat, record, data_app) or instance_of(pid, layout) == record.id:
            found.append(stat)
    return sorted(found, key=lambda stat: stat.start_ticks)


def _of_session(stat: processes.ProcessStat, record: InstanceRecord, data_app: str) -> bool:
    # A session's number stays taken while it has members; after that anybody may get it, so the variable decides.
    if record.pid is None or stat.session != record.pid:
        return False
    return processes.environment_variable(stat.pid, "TAKO_DATA_DIR") == data_app
