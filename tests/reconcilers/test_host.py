"""What a host says of itself, in conditions."""

from dataclasses import replace

import pytest

from tako.proxy.cloudflare import OLD_SECONDS, RangesSeen
from tako.reconcilers.host import HostSeen, ranges_fault, tell

WELL = HostSeen(
    version="1",
    pid=1,
    proxy_pid=2,
    table_generation=3,
    http_port=80,
    https_port=443,
    apps=1,
    instances=1,
    cpus=2,
    isolation=("users",),
    missing_isolation=(),
)


def conditions(seen: HostSeen) -> dict[str, tuple[str, str, str]]:
    return {told.type: (told.status, told.reason, told.message) for told in tell(seen)}


def test_a_host_that_lacks_nothing_is_ready() -> None:
    assert {status for status, _, _ in conditions(WELL).values()} == {"True"}


def test_a_store_that_was_restored_takes_writes_and_says_what_is_missing() -> None:
    told = conditions(replace(WELL, store_notice="restored from the snapshot of noon"))
    assert told["StoreReady"] == ("True", "Restored", "restored from the snapshot of noon")
    assert told["Ready"][0] == "True"


@pytest.mark.parametrize(
    ("seen", "kind", "reason"),
    [
        (replace(WELL, store_fault="the disk is full", store_notice="restored"), "StoreReady", "WritesRefused"),
        (replace(WELL, proxy_fault="it ended right after its start"), "ProxyReady", "Faulty"),
        (replace(WELL, proxy_pid=None), "ProxyReady", "NotConnected"),
        (replace(WELL, table_generation=None), "ProxyReady", "TablePending"),
    ],
)
def test_a_fault_of_a_part_is_the_hosts(seen: HostSeen, kind: str, reason: str) -> None:
    told = conditions(seen)
    assert told[kind][:2] == ("False", reason)
    assert told["Ready"] == told[kind]


def test_what_isolation_lacks_is_told_and_is_no_fault() -> None:
    told = conditions(replace(WELL, missing_isolation=("users", "cgroups")))
    assert told["Isolation"][0] == "False" and "users; cgroups" in told["Isolation"][2]
    assert told["Ready"][0] == "True"


@pytest.mark.parametrize("field", ["metrics_fault", "cloudflare_fault"])
def test_what_no_request_depends_on_is_told_and_is_no_fault(field: str) -> None:
    told = conditions(replace(WELL, **{field: "why"}))
    assert ("False", "why") in [(status, message) for status, _, message in told.values()]
    assert told["Ready"][0] == "True"


def test_an_old_list_of_cloudflares_addresses_is_told_with_its_day_and_the_reason() -> None:
    now = 1_750_000_000.0
    assert ranges_fault(RangesSeen(now, "no route"), now) == ""
    old = ranges_fault(RangesSeen(now - OLD_SECONDS, "no route"), now)
    assert "2025-06-12" in old and "no route" in old
    assert "that came with this version" in ranges_fault(RangesSeen(None, "no route"), now)
