"""What Tako adds to an app's own boot: when a request wakes it, and when its process was killed."""

import os
import statistics
import subprocess
import time

from bench.table import Table, milliseconds, spread
from e2e.host import INTERPRETER, SERVE, Host, eventually
from e2e.processes import kill

ROUNDS = 20


def measure(host: Host) -> list[Table]:
    boot = [_own_boot() for _ in range(ROUNDS)]
    # One app for each kill: a second crash of the same app backs off, on purpose.
    victims = [f"victim{number}" for number in range(ROUNDS)]
    host.apply(host.document("cold", instances=0, idleTimeoutSeconds=1), *(host.document(name) for name in victims))
    host.fetch(victims[0])
    warm = [_request(host, name) for name in victims]
    cold = [_cold(host) for _ in range(ROUNDS)]
    replaced = [_replace(host, name) for name in victims]
    base = statistics.median(boot) + statistics.median(warm)
    return [
        Table(
            "Starts, and what of them is ours",
            f"{ROUNDS} times each with an application of the standard library alone, a new HTTPS connection each time. "
            "Its own boot: from spawning it by hand, with pipes at fd 3 and 4, to its port. Ours: what is left of the "
            "median without the app's own boot and without a request to a running app.",
            ("", "median", "p95", "worst", "ours"),
            (
                ("the app's own boot", *spread(boot), "–"),
                ("a request to a running app", *spread(warm), "–"),
                ("a request that wakes an app", *spread(cold), milliseconds(statistics.median(cold) - base)),
                (
                    "kill -9 of the only instance until the next answer",
                    *spread(replaced),
                    milliseconds(statistics.median(replaced) - base),
                ),
            ),
        )
    ]


def _own_boot() -> float:
    envelope_read, envelope_write = os.pipe()
    ready_read, ready_write = os.pipe()
    os.write(envelope_write, b'{"token":"t","secrets":{},"storages":{}}')
    os.close(envelope_write)
    command = f"exec {INTERPRETER} -I -S {SERVE} --instance bench 3<&{envelope_read} 4>&{ready_write}"
    began = time.perf_counter()
    app = subprocess.Popen(
        ["/bin/sh", "-c", command],
        env={"TAKO_APP_NAME": "bench/production"},
        pass_fds=(envelope_read, ready_write),
        stdout=subprocess.DEVNULL,
    )
    os.close(ready_write)
    os.close(envelope_read)
    assert os.read(ready_read, 16)
    seconds = time.perf_counter() - began
    os.close(ready_read)
    app.kill()
    app.wait()
    return seconds


def _request(host: Host, name: str) -> float:
    began = time.perf_counter()
    assert host.fetch(name).status == 200
    return time.perf_counter() - began


def _cold(host: Host) -> float:
    eventually("the app to sleep", lambda: not host.healthy("cold") and not host.orphans(), 30)
    time.sleep(0.2)  # so that stopping the last process is not measured with starting the next
    return _request(host, "cold")


def _replace(host: Host, name: str) -> float:
    (victim,) = host.await_healthy(name, 1).values()
    dead_at = kill([victim])
    assert host.fetch(name).json()["pid"] != victim
    return time.monotonic() - dead_at
