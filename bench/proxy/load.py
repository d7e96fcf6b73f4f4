"""The load generators: how each is called, and what it says of what it saw."""

import math
import re
import shutil
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.proxy.cases import MOST_RAMP_SECONDS, Case, Generator
from bench.proxy.running import Running
from bench.proxy.sides import Side

# What takes longer counts as an error; wrk counts from its own start, so that no less than connecting may take will do.
TIMEOUT_SECONDS = round(MOST_RAMP_SECONDS)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class NotUnderstood(Exception):
    """A generator printed something else than expected."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a generator saw; `p99_ms` is None for one that does not tell."""

    requests_per_second: float
    p99_ms: float | None
    errors: int


class Load:
    """The generators of a run, on their way from when it is entered; ended when it is left."""

    def __init__(self, side: Side, case: Case, seconds: float) -> None:
        """`seconds` is for how long the load is there once all have connected."""
        self._side, self._case = side, case
        self._seconds = math.ceil(case.ramp_seconds + seconds)
        self._log = side.setting.directory / "requests.log"
        self._generators: list[Running] = []
        self._stack = ExitStack()
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        with ExitStack() as stack:
            for number, argv in enumerate(commands(self._case, self._side.setting.port, self._seconds, self._log)):
                directory = self._side.setting.directory / f"generator-{number}"
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
                self._generators.append(stack.enter_context(Running.start(argv, directory)))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._log.unlink(missing_ok=True)

    def finish(self) -> Seen:
        """Wait for their end, or end what would go on; raises `NotUnderstood`."""
        for generator in self._generators:
            if self._case.is_awaited:
                # wrk then says what it has seen so far.
                generator.process.send_signal(signal.SIGINT)
            generator.process.wait(timeout=self._seconds + 60)
        outputs = [each.log.read_text(errors="replace") for each in self._generators]
        return understand(self._case, outputs, self._log, time.monotonic() - self._began)


def commands(case: Case, port: int, seconds: int, log: Path) -> list[list[str]]:
    """Return the commands to run at once, of one kind."""
    url = f"https://localhost:{port}{case.path}"
    wrk = ["wrk", "-t2", f"-c{case.connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_SECONDS}s", "--latency"]
    if case.generator == Generator.WRK:
        return [[*wrk, url]]
    if case.generator == Generator.WRK_RECONNECTING:
        return [[*wrk, "-H", "Connection: close", url]]
    if case.generator == Generator.H2LOAD:
        ramp = math.ceil(case.ramp_seconds)
        shape = ["-t2", f"-c{case.connections}", f"-m{case.streams}"]
        shape += [f"--warm-up-time={ramp}", f"--duration={seconds - ramp}"]
        # "localhost" may be ::1 as well, where nobody listens.
        return [["h2load", *shape, f"--connect-to=127.0.0.1:{port}", f"--log-file={log}", url]]
    s_time = ["openssl", "s_time", "-connect", f"localhost:{port}", "-new", "-tls1_3", "-time", str(seconds)]
    return [s_time] * case.connections


def understand(case: Case, outputs: Sequence[str], log: Path, elapsed_seconds: float) -> Seen:
    if case.generator in (Generator.WRK, Generator.WRK_RECONNECTING):
        return wrk(outputs[0])
    if case.generator == Generator.H2LOAD:
        return h2load(outputs[0], log.read_text().splitlines() if log.exists() else [])
    return s_time(outputs, elapsed_seconds)


def wrk(output: str) -> Seen:
    errors = sum(
        int(number) for line in re.findall(r"Socket errors: (.*)", output) for number in re.findall(r"\d+", line)
    )
    errors += sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", output))
    p99 = _find(r"99% +([\d.]+)(us|ms|s|m|h)\b", output)
    return Seen(float(_find(r"Requests/sec: +([\d.]+)", output)[1]), float(p99[1]) * _SECONDS[p99[2]] * 1000, errors)


def h2load(output: str, log: Iterable[str]) -> Seen:
    """`log` has a line for each request: when it began, its status, how many microseconds it took."""
    if "Application protocol: h2\n" not in output:
        raise NotUnderstood("no HTTP/2 was agreed on")
    total, done, succeeded = (
        int(n) for n in _find(r"requests: (\d+) total, .* (\d+) done, (\d+) succ", output).groups()
    )
    # Those that were under way at the end are neither done nor errors.
    errors = done - succeeded if done <= total else 0
    rate = _find(r"finished in .*, ([\d.]+) req/s", output)
    taken = [int(line.split("\t")[2]) for line in log]
    return Seen(float(rate[1]), percentile(taken, 0.99) / 1000 if taken else None, errors)


def s_time(outputs: Sequence[str], elapsed_seconds: float) -> Seen:
    """Its own clock counts whole seconds, up to one too many."""
    count = sum(int(_find(r"(\d+) connections in \d+ real seconds", output)[1]) for output in outputs)
    return Seen(count / elapsed_seconds, None, sum(output.count("ERROR") for output in outputs))


def percentile(samples: Sequence[float], part: float) -> float:
    ordered = sorted(samples)
    return ordered[math.ceil(len(ordered) * part) - 1]


def _find(pattern: str, output: str) -> re.Match[str]:
    found = re.search(pattern, output)
    if found is None:
        raise NotUnderstood(f"no {pattern!r} in:\n{output[-2000:]}")
    return found
