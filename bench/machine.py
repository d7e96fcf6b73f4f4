"""The machine a measurement was made on, in a sentence: a figure without it says nothing."""

import os
import platform
import subprocess
from pathlib import Path


def describe() -> str:
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
