"""A process of ours: started with what it prints in a file, and certainly ended."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.proxy import observe

# Go takes as many as there are cores, which is not the same everywhere.
GO_THREADS = "2"


@dataclass(slots=True)
class Running:
    """A process of ours, ended with its group when its block is left."""

    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, argv: Iterable[str], directory: Path) -> Self:
        # Ends with us, even if we are killed; a session of its own, so that Ctrl-C is for us alone.
        argv = ["setpriv", "--pdeathsig", "TERM", *argv]
        environment = {
            **os.environ,
            "GOMAXPROCS": GO_THREADS,
            "HOME": str(directory),
            "XDG_DATA_HOME": str(directory),
        }
        log = directory / "output.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                argv,
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(process, log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(0.5)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def pids(self) -> list[int]:
        return observe.with_children(self.process.pid)

    def await_true(self, what: str, look: Callable[[], bool], timeout_seconds: float = 10.0) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not look():
            tail = self.log.read_text(errors="replace")[-2000:]
            assert self.process.poll() is None, f"exit {self.process.returncode} before {what}: {tail}"
            assert time.monotonic() < deadline, f"waited {timeout_seconds} s for {what}: {tail}"
            time.sleep(0.02)
