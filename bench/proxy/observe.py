"""What a process and its children use, read from /proc."""

import os
import re
import subprocess
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def with_children(pid: int) -> list[int]:
    """Return a process and its children: a proxy may have a master process and workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(child) for child in children)]


def cpu_seconds(pids: list[int]) -> float:
    """User and system time since they started."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def memory_bytes(pids: list[int]) -> int:
    """Memory they occupy, each page that several of them share counted once (PSS)."""
    kilobytes = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kilobytes += int(line.split()[1])
    return kilobytes * 1024


def asking(port: int) -> int:
    """How many clients' connections to a port have got as far as a request.

    A client sends its first segment with the beginning of the handshake, the second with the end, and then requests.
    """
    argv = ["ss", "-Htin", "state", "established", f"( dport = :{port} )"]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return sum(int(segments) >= 3 for segments in re.findall(r"data_segs_out:(\d+)", listed))
