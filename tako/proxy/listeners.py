"""The public listening sockets. tako-server opens and keeps them, so that nobody's connect is refused while no
proxy runs.

Each port has one socket for each worker thread of the proxy (SO_REUSEPORT): the kernel spreads connections over them.
"""

import errno
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tako.model.errors import Refused

# The kernel caps it at net.core.somaxconn; a restart of the proxy must not overflow it under load.
BACKLOG = 4096


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen. Port 0 takes any free one; `address` None means every address, IPv6 and IPv4."""

    http: int
    https: int
    address: str | None = None

    def by_role(self) -> Mapping[str, int]:
        return {"http": self.http, "https": self.https}


@dataclass(slots=True)
class Listeners:
    """Open listening sockets by their names on the wire: ``http/0``, …, ``https/0``, …"""

    sockets: dict[str, socket.socket] = field(default_factory=dict)

    @classmethod
    def adopt(cls, names: Sequence[str], descriptors: Sequence[int]) -> "Listeners":
        """Take over descriptors that a running proxy handed back."""
        return cls({name: socket.socket(fileno=fd) for name, fd in zip(names, descriptors, strict=True)})

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.sockets)

    @property
    def descriptors(self) -> list[int]:
        return [found.fileno() for found in self.sockets.values()]

    @property
    def workers(self) -> int:
        return len(self.of_role("https"))

    def port(self, role: str) -> int | None:
        """Return the port of ``http`` or ``https``."""
        found = self.sockets.get(f"{role}/0")
        return found.getsockname()[1] if found else None

    def of_role(self, role: str) -> dict[str, socket.socket]:
        return {name: found for name, found in self.sockets.items() if name.startswith(f"{role}/")}

    def serve(self, ports: Ports) -> bool:
        """Tell whether these are the sockets that `ports` asks for."""
        return all(self.has(role, wanted) for role, wanted in ports.by_role().items())

    def has(self, role: str, wanted: int) -> bool:
        return self.port(role) is not None and wanted in (0, self.port(role))

    def close(self, *, keep: "Listeners | None" = None) -> None:
        """Close all, except those that `keep` shares."""
        kept = set(keep.sockets.values()) if keep else set()
        for found in set(self.sockets.values()) - kept:
            found.close()
        self.sockets.clear()


def open_listeners(ports: Ports, workers: int, reuse: Listeners | None = None) -> Listeners:
    """Open all sockets or none; `Refused` names the port that cannot be had, and what to do.

    Sockets of `reuse` that are already what is asked for are shared, not opened again.
    """
    listeners = Listeners()
    reuse = reuse or Listeners()
    try:
        for role, port in ports.by_role().items():
            if reuse.has(role, port):
                listeners.sockets |= reuse.of_role(role)
                continue
            for index, opened in enumerate(_open_port(role, ports.address, port, workers)):
                listeners.sockets[f"{role}/{index}"] = opened
    except Refused:
        listeners.close(keep=reuse)
        raise
    return listeners


def _open_port(role: str, address: str | None, port: int, workers: int) -> list[socket.socket]:
    family = _family(address)
    opened: list[socket.socket] = []
    try:
        # SO_REUSEPORT would let us share a port with another server of the same user without noticing, and the kernel
        # would send it half of the visitors; a bind without it fails when anybody listens.
        with _bound(family, address, port, shared=False) as probe:
            port = probe.getsockname()[1]
        for _ in range(workers):
            opened.append(_bound(family, address, port, shared=True))
            opened[-1].listen(BACKLOG)
    except OSError as error:
        for found in opened:
            found.close()
        raise Refused(_explain(role, address, port, error)) from error
    return opened


def _bound(family: socket.AddressFamily, address: str | None, port: int, *, shared: bool) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6 and address is None:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        opened.bind((address or ("::" if family == socket.AF_INET6 else "0.0.0.0"), port))
    except OSError:
        opened.close()
        raise
    return opened


def _family(address: str | None) -> socket.AddressFamily:
    """IPv6 with IPv4 mapped where the host has it; kernels booted without IPv6 have IPv4 alone."""
    if address is not None:
        return socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with _bound(socket.AF_INET6, None, 0, shared=False):
            return socket.AF_INET6
    except OSError:
        return socket.AF_INET


def _explain(role: str, address: str | None, port: int, error: OSError) -> str:
    where = f"{role.upper()} port {port}" + (f" of {address}" if address else "")
    if error.errno == errno.EADDRINUSE:
        return (
            f"{where} is in use by another program. See which with `ss -ltnp 'sport = :{port}'` and stop it, "
            f"or choose another port with --{role}-port."
        )
    if error.errno == errno.EACCES:
        return (
            f"{where} may not be opened by {_user()}: ports below 1024 need CAP_NET_BIND_SERVICE. "
            f"Choose a port from 1024 with --{role}-port, or run the server as an installed service."
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where} cannot be opened: this host has no such address."
    return f"{where} cannot be opened: {error.strerror}."


def _user() -> str:
    return f"user id {os.geteuid()}"
