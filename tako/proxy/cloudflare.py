"""The addresses that Cloudflare's proxies connect from: bundled, kept from the last fetch, fetched anew each day.

Who is in these ranges may say which client a request is from, so nothing is believed that is not a plausible list.
"""

import asyncio
import json
import logging
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from tako.adapters.files import replace_file
from tako.adapters.http import fetch_text
from tako.model.errors import Refused, TakoError

log = logging.getLogger(__name__)

# Cloudflare documents it at https://www.cloudflare.com/ips/: a list at /ips-v4, another at /ips-v6.
SOURCE = "https://www.cloudflare.com"
REFRESH_SECONDS = 24 * 3600.0
FIRST_RETRY_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 3600.0
# Ranges change a few times in a decade; a list of some days ago is as good as one of today.
OLD_SECONDS = 3 * REFRESH_SECONDS
FETCH_TIMEOUT_SECONDS = 20.0
MAX_BYTES = 64 * 1024
MAX_RANGES = 1000
# The widest that they have are a /13 and a /29.
SHORTEST_PREFIX = {4: 8, 6: 20}

# As published in September 2023, and the same since.
BUNDLED = (
    *("103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "104.16.0.0/13", "104.24.0.0/14", "108.162.192.0/18"),
    *("131.0.72.0/22", "141.101.64.0/18", "162.158.0.0/15", "172.64.0.0/13", "173.245.48.0/20", "188.114.96.0/20"),
    *("190.93.240.0/20", "197.234.240.0/22", "198.41.128.0/17"),
    *("2400:cb00::/32", "2405:8100::/32", "2405:b500::/32", "2606:4700::/32", "2803:f800::/32", "2a06:98c0::/29"),
    "2c0f:f248::/32",
)

# Addresses that nobody on the internet has (RFC 6890).
_SPECIAL = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4", "::/3", "2001::/23", "2001:db8::/32", "2002::/16", "4000::/2", "8000::/1"),
    )
)


@dataclass(frozen=True, slots=True)
class RangesSeen:
    """`fetched_at` is seconds since the epoch, None for the bundled list; `fault` why the last fetch failed."""

    fetched_at: float | None
    fault: str

    def is_old(self, now: float) -> bool:
        """Tell whether a person should know that fetching has failed for long."""
        return bool(self.fault) and (self.fetched_at is None or not 0 <= now - self.fetched_at < OLD_SECONDS)


def check_ranges(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the ranges in one form; `Refused` when this cannot be Cloudflare's list."""
    found: list[IPv4Network | IPv6Network] = []
    for text in texts:
        try:
            network = ip_network(text.strip())
        except ValueError as error:
            raise Refused(f"{text[:60]!r} is no range of addresses") from error
        if network.prefixlen < SHORTEST_PREFIX[network.version]:
            raise Refused(f"{network} is too wide to be Cloudflare's alone")
        special = next((one for one in _SPECIAL if one.version == network.version and one.overlaps(network)), None)
        if special is not None:
            raise Refused(f"{network} is in {special}, which is not of the internet")
        found.append(network)
    if len(found) > MAX_RANGES:
        raise Refused(f"there are {len(found)} ranges, more than {MAX_RANGES}")
    for version in (4, 6):
        if not any(network.version == version for network in found):
            raise Refused(f"there is no range of IPv{version}")
    return tuple(str(network) for network in dict.fromkeys(found))


def next_fetch(fetched_at: float | None, failed_at: float | None, failures: int, now: float) -> float:
    """Return in how many seconds to fetch; 0 or less: now. Times are of a clock that may have been set back."""
    if failures and failed_at is not None:
        wait = min(FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 10), LONGEST_RETRY_SECONDS)
        return wait - max(0.0, now - failed_at)
    if fetched_at is None or fetched_at > now:
        return 0.0
    return REFRESH_SECONDS - (now - fetched_at)


class CloudflareRanges:
    """The ranges in force. `changed` is called when they are others than before."""

    def __init__(
        self,
        cache: Path,
        changed: Callable[[], None],
        *,
        source: str | None = SOURCE,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """With `source` None nothing is ever fetched."""
        self.ranges: tuple[str, ...] = BUNDLED
        self._cache = cache
        self._changed = changed
        self._source = source
        self._tls = tls
        self._clock = clock
        self._fetched_at: float | None = None
        self._failed_at: float | None = None
        self._failures = 0
        self._fault = ""
        self._fetching: asyncio.Task[None] | None = None

    @property
    def seen(self) -> RangesSeen:
        return RangesSeen(self._fetched_at, self._fault)

    def load(self) -> None:
        """Take the list of the last good fetch. One that is damaged is as good as none. Blocks."""
        try:
            document = json.loads(self._cache.read_text())
            self.ranges = check_ranges(document["ranges"])
            self._fetched_at = float(document["fetched_at"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, Refused) as error:
            log.warning("%s is not used: %s", self._cache, error)

    def look(self, *, in_use: bool) -> None:
        """Fetch when it is time to and somebody asks for the ranges; to be called now and then."""
        if self._source is None or not in_use or self._fetching is not None:
            return
        if next_fetch(self._fetched_at, self._failed_at, self._failures, self._clock()) <= 0:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch_and_note())

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    async def settled(self) -> None:
        """Return once no fetch is under way."""
        if self._fetching is not None:
            await asyncio.wait([self._fetching])

    async def _fetch_and_note(self) -> None:
        try:
            await self._fetch()
        except TakoError as error:
            self._failures, self._failed_at, self._fault = self._failures + 1, self._clock(), str(error)
            level = logging.WARNING if self._failures == 1 else logging.INFO
            log.log(level, "Cloudflare's ranges stay as they are, fetching failed %d times: %s", self._failures, error)
        finally:
            self._fetching = None

    async def _fetch(self) -> None:
        lists = [await self._list(f"{self._source}/ips-v{version}") for version in (4, 6)]
        ranges = check_ranges([line for text in lists for line in text.split()])
        self._fetched_at, self._failed_at, self._failures, self._fault = self._clock(), None, 0, ""
        is_news = ranges != self.ranges
        self.ranges = ranges
        document = {"fetched_at": self._fetched_at, "ranges": ranges}
        try:
            await asyncio.to_thread(replace_file, self._cache, json.dumps(document, indent=1).encode(), 0o644)
        except TakoError as error:
            log.warning("Cloudflare's ranges are in force and not kept for the next start: %s", error)
        if is_news:
            log.info("Cloudflare has %d ranges", len(ranges))
            self._changed()

    async def _list(self, url: str) -> str:
        return await fetch_text(url, timeout_seconds=FETCH_TIMEOUT_SECONDS, limit_bytes=MAX_BYTES, tls=self._tls)
