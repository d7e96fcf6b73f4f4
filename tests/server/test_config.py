"""config.json: what it may say, and that a fault in it is told with its place and stops nothing that runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tako.model.errors import Refused
from tako.proxy.cloudflare import BUNDLED, CloudflareRanges
from tako.server.config import ServerConfig, TrustedProxy, max_requests_per_ip, read_config
from tests.adapters.test_http import Site
from tests.server.test_table import table
from tests.server.world import Served, until


def written(directory: Path, content: Any) -> Path:
    (directory / "config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return directory


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert read_config(tmp_path) == ServerConfig()


def test_the_specifications_example_is_read(tmp_path: Path) -> None:
    trusted = {
        "proxy_protocol": False,
        "trusted_cidrs": ["127.0.0.1/32"],
        "client_ip_headers": ["x-forwarded-for", "forwarded"],
    }
    config = read_config(written(tmp_path, {"server_name": "prod", "trusted_proxy": trusted}))
    assert config.server_name == "prod"
    assert config.trusted_proxy == TrustedProxy(**trusted)  # type: ignore[arg-type]


def test_an_address_is_a_range_of_one_and_a_headers_name_has_no_case(tmp_path: Path) -> None:
    trusted = {"trusted_cidrs": ["10.0.0.1", "fd00::1"], "client_ip_headers": ["X-Forwarded-For"]}
    found = read_config(written(tmp_path, {"trusted_proxy": trusted})).trusted_proxy
    assert found.trusted_cidrs == ("10.0.0.1/32", "fd00::1/128")
    assert found.client_ip_headers == ("x-forwarded-for",)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        ({"server_nam": "x"}, "server_nam is no setting; there are server_name, acme_email, trusted_proxy"),
        ({"server_name": 3}, "server_name is 3"),
        (
            {"trusted_proxy": {"cidrs": []}},
            "trusted_proxy.cidrs is no setting; there are proxy_protocol, trusted_cidrs",
        ),
        (
            {"trusted_proxy": {"trusted_cidrs": ["10.0.0.0/8", "10.0.0.300"]}},
            'trusted_proxy.trusted_cidrs[1] is "10.0.0.300": ',
        ),
        ({"trusted_proxy": {"trusted_cidrs": ["10.0.0.1/8"]}}, "has host bits set; write a range such as 10.0.0.0/8"),
        (
            {"trusted_proxy": {"trusted_cidrs": ["::1"], "client_ip_headers": ["x-real-ip"]}},
            "trusted_proxy.client_ip_headers[0] is \"x-real-ip\": Input should be 'cf-connecting-ip'",
        ),
        ({"trusted_proxy": {"proxy_protocol": True}}, "trusted_proxy: proxy_protocol needs trusted_cidrs"),
        ({"trusted_proxy": {"client_ip_headers": ["forwarded"]}}, "client_ip_headers needs trusted_cidrs"),
    ],
)
def test_a_fault_names_the_file_the_key_what_was_given_and_what_is_allowed(
    tmp_path: Path, content: Any, told: str
) -> None:
    with pytest.raises(Refused) as refusal:
        read_config(written(tmp_path, content))
    assert str(tmp_path / "config.json") in str(refusal.value)
    assert told in str(refusal.value)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        read_config(written(tmp_path, {"a": 1, "trusted_proxy": {"b": 2}}))
    assert "a is no setting" in str(refusal.value) and "trusted_proxy.b is no setting" in str(refusal.value)


def test_the_limit_of_one_client_is_the_environments() -> None:
    assert max_requests_per_ip({}) == 2048
    assert max_requests_per_ip({"TAKO_MAX_REQUESTS_PER_IP": "100000"}) == 100_000


@pytest.mark.parametrize("given", ["", "0", "-1", "many", "1.5", "²", "99999999999"])
def test_a_limit_that_is_none_is_refused_by_name(given: str) -> None:
    with pytest.raises(Refused, match="TAKO_MAX_REQUESTS_PER_IP"):
        max_requests_per_ip({"TAKO_MAX_REQUESTS_PER_IP": given})


async def test_the_proxy_is_told_whom_it_trusts_and_the_host_shows_it(served: Served) -> None:
    await served.end()
    trusted = TrustedProxy(proxy_protocol=True, trusted_cidrs=("10.0.0.0/8",), client_ip_headers=("forwarded",))
    await served.begin(config=ServerConfig(trusted_proxy=trusted), max_requests_per_ip=9)
    await until(lambda: table(served).get("policies", {}).get("max_requests_per_ip") == 9)
    policies = table(served)["policies"]
    assert policies["trusted_cidrs"] == ["10.0.0.0/8"]
    assert policies["client_ip_headers"] == ["forwarded"]
    assert policies["proxy_protocol"] is True
    host = await served.host_document()
    assert host["status"]["maxRequestsPerIp"] == 9
    assert host["status"]["trustedProxy"]["trustedCidrs"] == ["10.0.0.0/8"]


async def test_the_proxy_is_told_the_addresses_of_cloudflare_and_again_when_they_change(
    served: Served, tmp_path: Path
) -> None:
    await until(lambda: table(served).get("policies", {}).get("cloudflare_cidrs") == list(BUNDLED))
    site = Site(tmp_path / "certs")
    await site.start()
    site.texts = {"/ips-v4": "104.16.0.0/13", "/ips-v6": "2606:4700::/32"}
    host = served.host
    host.cloudflare = CloudflareRanges(host.layout.cloudflare_ranges, host.publish, source=site.url, tls=site.tls)
    host.cloudflare.look(in_use=True)
    await until(lambda: table(served)["policies"]["cloudflare_cidrs"] == ["104.16.0.0/13", "2606:4700::/32"])
    await site.stop()
