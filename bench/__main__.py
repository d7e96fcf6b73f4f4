"""`python -m bench` measures everything and writes docs/benchmarks.md; `python -m bench api` prints one part."""

import shutil
import sys
import tempfile
from pathlib import Path

from bench import api, commands, document, footprint, machine, starts
from e2e.host import Host

PARTS = {"api": api, "commands": commands, "starts": starts, "footprint": footprint}
INTRODUCTION = """# Benchmarks

Written by `make bench`; every figure was measured on the machine named here, with the load, the server and the
applications on it together. Read differences of a tenth as noise.
"""


def main(wanted: list[str]) -> None:
    sections = []
    about = machine.describe()
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
        document.write(document.with_other_parts(document.read(), "\n".join([INTRODUCTION, about, *sections])))


main(sys.argv[1:])
