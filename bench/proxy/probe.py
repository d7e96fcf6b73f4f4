"""Latency beside a load of many connections.

wrk's own percentiles are of its whole run, and with thousands of connections to open most of what they tell is how the
handshakes went. So a few connections more, opened before the load begins, ask in turn while it is measured.
"""

import threading
import time
from contextlib import ExitStack

from bench.proxy.client import Connection, insecure
from bench.proxy.load import percentile

CONNECTIONS = 32


class Probe:
    """Connects when it is entered, measures between `begin` and `end`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._taken: list[float] = []
        self._errors = 0
        self._threads: list[threading.Thread] = []
        self._is_over = threading.Event()
        self._stack = ExitStack()

    def __enter__(self) -> "Probe":
        context = insecure()
        with ExitStack() as stack:
            for _ in range(CONNECTIONS):
                connection = stack.enter_context(Connection(self._port, context))
                self._threads.append(threading.Thread(target=self._ask, args=(connection,), daemon=True))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._stack.close()

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> tuple[float | None, int]:
        """Return the 99th percentile in milliseconds, if anything was answered, and the number of errors."""
        self._is_over.set()
        for thread in self._threads:
            thread.join(timeout=30)
        return (percentile(self._taken, 0.99) * 1000 if self._taken else None), self._errors

    def _ask(self, connection: Connection) -> None:
        while not self._is_over.is_set():
            began = time.perf_counter()
            try:
                connection.fetch("/")
            except (OSError, AssertionError):
                self._errors += 1
                return
            self._taken.append(time.perf_counter() - began)
