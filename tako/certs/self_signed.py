"""Self-signed certificates below ``{data_dir}/certs/{domain}``: issued when missing, broken or due, else kept.

The private key stays when a certificate is renewed. So whoever reads the two files at any moment gets a pair that
belongs together, although they cannot be replaced in one step.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tako.adapters.files import file_error, replace_file
from tako.adapters.keys import Leaf, generate_key, is_usable_key, read_leaf, sign_itself
from tako.model.control import TableCertificate

ISSUER = "self-signed"
LIFETIME = timedelta(days=90)
# The last third of its life is for whoever pinned the certificate to fetch the next one; 30 days of 90.
RENEW_AT = 2 / 3
# Visitors whose clock is behind ours must find it valid already.
CLOCK_SKEW = timedelta(hours=1)
DEFAULT_DIRECTORY = "_default"
DEFAULT_NAMES = ("localhost",)

# Two resources may begin with the same name and so share a directory.
_issuing = threading.Lock()


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate on disk that may be served."""

    directory: Path
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str

    @property
    def renewal_time(self) -> datetime:
        return self.not_before + RENEW_AT * (self.not_after - self.not_before)

    @property
    def chain_path(self) -> Path:
        return self.directory / "fullchain.pem"

    @property
    def key_path(self) -> Path:
        return self.directory / "privkey.pem"

    @property
    def for_table(self) -> TableCertificate:
        return TableCertificate(
            names=self.names,
            chain_path=str(self.chain_path),
            key_path=str(self.key_path),
            fingerprint=self.fingerprint,
        )


def due(held: Held | None, hosts: Sequence[str], now: datetime) -> bool:
    """Tell whether a certificate for `hosts` must be issued. Pure."""
    if held is None or not set(hosts) <= set(held.names):
        return True
    # Not yet valid: it was issued while the clock was ahead.
    return now >= held.renewal_time or now < held.not_before


def hold(certs: Path, hosts: tuple[str, ...], now: datetime | None = None) -> tuple[Held, bool]:
    """Return the certificate that is valid for `hosts`, and whether it was issued just now.

    Blocks for a few file operations. `RetryLater` when the disk is full, `Refused` when it may not be written.
    """
    return _hold(certs.resolve() / directory_name(hosts[0]), hosts, now or datetime.now(UTC))


def default_certificate(certs: Path, now: datetime | None = None) -> TableCertificate:
    """Return the certificate for visitors who name no host that has one."""
    held, _ = _hold(certs.resolve() / DEFAULT_DIRECTORY, DEFAULT_NAMES, now or datetime.now(UTC))
    return held.for_table


def directory_name(host: str) -> str:
    """Return where a name's files are; no host name has an underscore, so a wildcard's are nobody else's."""
    return host.replace("*", "_wildcard", 1)


def read_held(directory: Path) -> Held | None:
    """Return what is on disk; None when a file is missing, damaged or does not belong to the other."""
    try:
        chain = (directory / "fullchain.pem").read_bytes()
        leaf = read_leaf(chain, (directory / "privkey.pem").read_bytes())
    except (OSError, ValueError):
        return None
    return _held(directory, leaf)


def _hold(directory: Path, hosts: Sequence[str], now: datetime) -> tuple[Held, bool]:
    with _issuing:
        held = read_held(directory)
        if held is not None and not due(held, hosts, now):
            return held, False
        # Names of another resource that shares the directory stay, or the two would renew it in turns for ever.
        shared = held.names if held is not None else ()
        return _issue(directory, tuple(dict.fromkeys((*hosts, *shared))), now), True


def _issue(directory: Path, names: tuple[str, ...], now: datetime) -> Held:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise file_error(f"cannot make {directory} for a certificate", error) from error
    key = _keep_key(directory / "privkey.pem")
    not_before = now - CLOCK_SKEW
    chain = sign_itself(key, names, not_before, not_before + LIFETIME)
    replace_file(directory / "issuer", f"{ISSUER}\n".encode(), mode=0o644)
    replace_file(directory / "fullchain.pem", chain, mode=0o644)
    return _held(directory, read_leaf(chain, key))


def _keep_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
        if is_usable_key(key):
            path.chmod(0o600)
            return key
    except OSError:
        pass  # Missing or unreadable: a new one is written in its place.
    key = generate_key()
    replace_file(path, key, mode=0o600)
    return key


def _held(directory: Path, leaf: Leaf) -> Held:
    return Held(directory, leaf.names, leaf.not_before, leaf.not_after, leaf.fingerprint)
