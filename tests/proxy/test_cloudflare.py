"""Who is believed to be Cloudflare: never less than the bundled list, never whom a bad list names."""

import json
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tako.model.errors import Refused
from tako.proxy.cloudflare import (
    BUNDLED,
    LONGEST_RETRY_SECONDS,
    OLD_SECONDS,
    REFRESH_SECONDS,
    CloudflareRanges,
    RangesSeen,
    check_ranges,
    next_fetch,
)
from tests.adapters.test_http import Site

V4, V6 = "104.16.0.0/13", "2606:4700::/32"
NOON = 1_750_000_000.0


def test_the_bundled_list_is_one_that_would_be_accepted() -> None:
    assert check_ranges(BUNDLED) == BUNDLED


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ([], "no range of IPv4"),
        ([V4], "no range of IPv6"),
        ([V6], "no range of IPv4"),
        ([V4, V6, "0.0.0.0/0"], "too wide"),
        ([V4, V6, "::/0"], "too wide"),
        ([V4, V6, "64.0.0.0/2"], "too wide"),
        ([V4, V6, "10.1.0.0/16"], "not of the internet"),
        ([V4, V6, "172.0.0.0/8"], "not of the internet"),
        ([V4, V6, "127.0.0.1/32"], "not of the internet"),
        ([V4, V6, "fd00::/32"], "not of the internet"),
        ([V4, V6, "::1/128"], "not of the internet"),
        ([V4, V6, "104.16.0.1/13"], "no range"),
        ([V4, V6, "<html>"], "no range"),
        ([V4, V6, *(f"104.16.{n // 256}.{n % 256}/32" for n in range(1000))], "more than"),
    ],
)
def test_what_cannot_be_their_list_is_refused(texts: list[str], why: str) -> None:
    with pytest.raises(Refused, match=why):
        check_ranges(texts)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.integers(0, 128))
def test_no_list_that_is_accepted_names_an_address_that_is_not_of_the_internet(address: object, prefix: int) -> None:
    network = ip_network(f"{address}/{min(prefix, 32 if '.' in str(address) else 128)}", strict=False)
    try:
        accepted = check_ranges([V4, V6, str(network)])
    except Refused:
        return
    assert not any(ip_network(one).is_private or ip_network(one).is_multicast for one in accepted)
    assert ip_address("127.0.0.1") not in network


@pytest.mark.parametrize(
    ("fetched_at", "failed_at", "failures", "seconds"),
    [
        (None, None, 0, 0.0),
        (NOON - 3600, None, 0, REFRESH_SECONDS - 3600),
        (NOON - REFRESH_SECONDS, None, 0, 0.0),
        (NOON + 10, None, 0, 0.0),
        (None, NOON, 1, 60.0),
        (None, NOON - 60, 1, 0.0),
        (NOON - REFRESH_SECONDS, NOON - 10, 3, 230.0),
        (None, NOON, 1000, LONGEST_RETRY_SECONDS),
        (None, NOON + 500, 1, 60.0),
    ],
    ids=[
        "never",
        "an hour ago",
        "a day ago",
        "in a future that was taken back",
        "failed now",
        "failed a minute ago",
        "failed three times",
        "failed for ever",
        "failed in a future that was taken back",
    ],
)
def test_it_is_fetched_each_day_and_tried_again_ever_more_slowly(
    fetched_at: float | None, failed_at: float | None, failures: int, seconds: float
) -> None:
    assert next_fetch(fetched_at, failed_at, failures, NOON) == seconds


def test_a_list_is_old_when_fetching_has_failed_for_long() -> None:
    assert not RangesSeen(None, "").is_old(NOON)
    assert not RangesSeen(NOON - 10 * OLD_SECONDS, "").is_old(NOON)
    assert not RangesSeen(NOON - REFRESH_SECONDS, "no route").is_old(NOON)
    assert RangesSeen(NOON - OLD_SECONDS, "no route").is_old(NOON)
    assert RangesSeen(None, "no route").is_old(NOON)


# --- fetching ---------------------------------------------------------------------------------------------------


class Kept:
    """Ranges of a real site, and the time they believe it is."""

    def __init__(self, site: Site, cache: Path) -> None:
        self.site, self.cache = site, cache
        self.now = NOON
        self.changes = 0
        self.begin()

    def begin(self) -> None:
        self.ranges = CloudflareRanges(
            self.cache, self._changed, source=self.site.url, tls=self.site.tls, clock=lambda: self.now
        )
        self.ranges.load()

    def _changed(self) -> None:
        self.changes += 1

    def publish(self, v4: str, v6: str) -> None:
        self.site.texts = {"/ips-v4": v4, "/ips-v6": v6}

    async def look(self, *, in_use: bool = True) -> None:
        self.ranges.look(in_use=in_use)
        await self.ranges.settled()


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    site = Site(tmp_path / "certs")
    await site.start()
    kept = Kept(site, tmp_path / "cloudflare-ranges.json")
    yield kept
    await kept.ranges.close()
    await site.stop()


async def test_a_fetched_list_is_in_force_and_kept_for_the_next_start(kept: Kept) -> None:
    kept.publish(f"{V4}\n103.21.244.0/22\n", f"{V6}\n")
    await kept.look()
    assert kept.ranges.ranges == (V4, "103.21.244.0/22", V6)
    assert kept.changes == 1
    await kept.site.stop()
    kept.begin()
    assert kept.ranges.ranges == (V4, "103.21.244.0/22", V6)
    assert kept.ranges.seen == RangesSeen(NOON, "")


async def test_it_is_fetched_once_a_day(kept: Kept) -> None:
    kept.publish(V4, V6)
    await kept.look()
    for _ in range(3):
        await kept.look()
    assert kept.site.asked == ["/ips-v4", "/ips-v6"]
    kept.now += REFRESH_SECONDS
    await kept.look()
    assert len(kept.site.asked) == 4
    assert kept.changes == 1


async def test_it_is_not_fetched_where_nobody_uses_it(kept: Kept) -> None:
    await kept.look(in_use=False)
    assert kept.site.asked == []


@pytest.mark.parametrize("v4", ["", "0.0.0.0/0", "10.0.0.0/8", "<!doctype html>", "x" * 100_000])
async def test_a_bad_list_changes_nothing_and_is_tried_again(kept: Kept, v4: str) -> None:
    kept.publish(v4, V6)
    await kept.look()
    assert kept.ranges.ranges == BUNDLED and kept.ranges.seen.fault
    assert kept.changes == 0 and not kept.cache.exists()
    await kept.look()
    assert kept.site.asked.count("/ips-v4") == 1
    kept.publish(V4, V6)
    kept.now += 61
    await kept.look()
    assert kept.ranges.ranges == (V4, V6) and not kept.ranges.seen.fault


async def test_the_last_good_list_survives_that_there_is_none(kept: Kept) -> None:
    kept.publish(V4, V6)
    await kept.look()
    kept.site.texts = {}
    kept.now += REFRESH_SECONDS
    await kept.look()
    assert kept.ranges.ranges == (V4, V6)
    assert "answered 404" in kept.ranges.seen.fault


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"ranges": ["0.0.0.0/0"], "fetched_at": 1}', '{"ranges": null}', "\x00" * 100],
)
async def test_a_damaged_file_is_as_good_as_none(kept: Kept, content: str) -> None:
    kept.cache.write_text(content)
    kept.begin()
    assert kept.ranges.ranges == BUNDLED and kept.ranges.seen == RangesSeen(None, "")


async def test_a_full_disk_does_not_keep_a_list_from_being_used(kept: Kept) -> None:
    kept.cache.mkdir()  # nothing can be written there
    kept.publish(V4, V6)
    await kept.look()
    assert kept.ranges.ranges == (V4, V6)


async def test_the_file_says_when_it_is_of(kept: Kept) -> None:
    kept.publish(V4, V6)
    await kept.look()
    assert json.loads(kept.cache.read_text()) == {"fetched_at": NOON, "ranges": [V4, V6]}
