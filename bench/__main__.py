"""`python -m bench` measures everything and writes docs/benchmarks.md; `python -m bench api` prints one part."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench import api, commands, footprint, starts
from e2e.host import Host

PARTS = {"api": api, "commands": commands, "starts": starts, "footprint": footprint}
DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
INTRODUCTION = """# Benchmarks

Written by `make bench`; every figure was measured on the machine named here, with the load, the server and the
applications on it together. Read differences of a tenth as noise.
"""


def main(wanted: list[str]) -> None:
    sections = []
    about = machine()
    for name in wanted or PARTS:
        root = Path(tempfile.mkdtemp(prefix="tako-bench-"))
        host = Host(root)
        try:
            host.start()
            for table in PARTS[name].measure(host):
                print(table.markdown(), flush=True)
                sections.append(table.markdown())
        finally:
            host.kill_everything()
            shutil.rmtree(root, ignore_errors=True)
    if not wanted:
        DOCUMENT.write_text("\n".join([INTRODUCTION, about, *sections]))


def machine() -> str:
    (model, *_) = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ] or ["unknown CPU"]
    cores = subprocess.run(["nproc"], capture_output=True, text=True, check=True).stdout.strip()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    return (
        f"{cores} cores ({model}), Linux {platform.release()}, Python {platform.python_version()}, "
        f"commit {commit.strip() or 'unknown'}; load average before the first measurement {os.getloadavg()[0]:.1f}.\n"
    )


main(sys.argv[1:])
