"""Asking an instance whether it is well."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probe:
    """The answer; `detail` says what was asked and what came back, for a person, without the token."""

    ok: bool
    detail: str


async def probe(port: int, host: str, path: str, token: str, timeout: float = 2.0) -> Probe:
    """Ask ``GET path`` of 127.0.0.1:`port` with Host `host`; well is a 2xx that echoes the internal token.

    `timeout` is for each of connecting, sending and receiving.
    """
    raise NotImplementedError
