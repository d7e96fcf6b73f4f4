"""What is measured: one kind of load each, the same for every proxy."""

import resource
from dataclasses import dataclass
from enum import StrEnum

# Beside two for each connection, a proxy has a few descriptors of its own.
SPARE_FILES = 400
MOST_RAMP_SECONDS = 60.0


class Generator(StrEnum):
    WRK = "wrk"
    # A new connection for each request; wrk resumes the sessions it was given.
    WRK_RECONNECTING = "wrk, Connection: close"
    H2LOAD = "h2load"
    # Full handshakes, one after the other in several processes.
    S_TIME = "openssl s_time"


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    title: str
    connections: int
    generator: Generator = Generator.WRK
    path: str = "/"
    streams: int = 1
    rounds: int = 3
    is_quick: bool = False

    @property
    def is_static(self) -> bool:
        return self.path.startswith("/files/")

    @property
    def is_whole(self) -> bool:
        """Whether the generator's whole run counts, because the application does not see the requests."""
        return self.is_static or self.generator == Generator.S_TIME

    @property
    def is_probed(self) -> bool:
        """Whether latency is measured beside the load: where connecting would be most of what wrk tells."""
        return self.generator == Generator.WRK and self.connections >= 1000

    @property
    def is_awaited(self) -> bool:
        """Whether it is looked for that all have connected: the others are few, or are not to stay connected."""
        return self.generator == Generator.WRK and not self.is_whole

    @property
    def ramp_seconds(self) -> float:
        """How long connecting may take; a machine that is slower has other work."""
        return MOST_RAMP_SECONDS if self.is_awaited else 1.0 + self.connections / 500


def cases(most: int) -> list[Case]:
    """Return all cases; `most` is the number of connections that the limits permit."""
    return [
        Case("64", "64 connections", 64, rounds=4, is_quick=True),
        Case("1000", "1,000 connections", 1000, rounds=4, is_quick=True),
        Case("5000", "5,000 connections", 5000),
        Case("most", f"{most:,} connections", most, rounds=2),
        Case("h2", "HTTP/2: 64 connections with 10 streams each", 64, Generator.H2LOAD, streams=10, is_quick=True),
        Case("h2-1000", "HTTP/2: 1,000 connections with a stream each", 1000, Generator.H2LOAD, rounds=2),
        Case("large", "Bodies of 100 KiB from the application, 64 connections", 64, path="/large", is_quick=True),
        Case("file", "A static file of 1 KiB, 64 connections", 64, path="/files/small.txt", is_quick=True),
        Case("file-large", "A static file of 100 KiB, 64 connections", 64, path="/files/large.bin", rounds=2),
        Case("handshakes", "TLS: full handshakes, 16 clients", 16, Generator.S_TIME, is_quick=True),
        Case("resumed", "TLS: a resumed session and one request, 64 clients", 64, Generator.WRK_RECONNECTING, rounds=2),
    ]


def most_connections() -> int:
    """Return 20,000, or what the limit of open files permits when each has a connection to the application, too."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(20_000, (hard - SPARE_FILES) // 2 // 100 * 100)
