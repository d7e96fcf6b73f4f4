"""What a host pays while nobody asks for anything: memory and CPU with 20 apps, asleep and awake."""

import os
import time
from pathlib import Path

from bench.table import Table
from e2e.host import Host, eventually

APPS = 20
SECONDS = 30
TICKS = os.sysconf("SC_CLK_TCK")


def measure(host: Host) -> list[Table]:
    names = [f"app{number}" for number in range(APPS)]
    host.apply(*(host.document(name, instances=0, idleTimeoutSeconds=1) for name in names))
    eventually("all to sleep", lambda: not host.instance_pids(), 60)
    asleep = _observe(host)
    host.apply(*(host.document(name, instances=1) for name in names))
    eventually("all to run", lambda: len(host.instance_pids()) == APPS, 60)
    awake = _observe(host)
    return [
        Table(
            f"Idle cost with {APPS} apps",
            f"Resident memory, and CPU over {SECONDS} s in which nobody asks for anything; "
            "the applications' own processes are not in it.",
            ("", "tako-server", "tako-proxyd", "together"),
            tuple(
                row
                for state, (server, proxy) in (("asleep", asleep), ("running one instance each", awake))
                for row in (
                    (f"{state}: memory", *(f"{size / 2**20:.0f} MiB" for size in _summed(server[0], proxy[0]))),
                    (f"{state}: CPU", *(f"{part:.2f} % of a core" for part in _summed(server[1], proxy[1]))),
                )
            ),
        )
    ]


def _summed(server: float, proxy: float) -> tuple[float, float, float]:
    return server, proxy, server + proxy


def _observe(host: Host) -> tuple[tuple[float, float], tuple[float, float]]:
    """(bytes, percent of a core) of the server and of the proxy."""
    time.sleep(5)  # what was just done settles
    pids = (host.server.pid, host.proxy_pid())
    before = [_cpu_seconds(pid) for pid in pids]
    time.sleep(SECONDS)
    used = [(_cpu_seconds(pid) - start) / SECONDS * 100 for pid, start in zip(pids, before, strict=True)]
    server, proxy = ((_resident_bytes(pid), percent) for pid, percent in zip(pids, used, strict=True))
    return server, proxy


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident_bytes(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024
