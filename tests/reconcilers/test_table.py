"""The table that follows from documents and processes."""

from pathlib import Path
from typing import Any

import pytest

from tako.host_agent.layout import Layout
from tako.host_agent.rollout import TemplateHash
from tako.host_agent.views import AppView, InstanceView
from tako.model.control import Challenge, Policies, TableApp
from tako.model.kinds import InstanceState
from tako.model.names import DeploymentId, InstanceId, ReleaseId
from tako.proxy.table import TableContent
from tako.reconcilers.table import served_release, table_content, uses_cloudflare

SHOP = DeploymentId("shop", "production")
LAYOUT = Layout(Path("/data"))
V1, V2 = ReleaseId("v1"), ReleaseId("v2")


def process(release: ReleaseId, state: InstanceState = InstanceState.HEALTHY) -> InstanceView:
    name = InstanceId(f"{release}-{state.value}")
    return InstanceView(name, release, TemplateHash(release), state, ("./shop",), 10, 20, "then", 4000, 0, 0)


def app(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "shop", "namespace": "production"}, "spec": spec}


def release(version: str, public_dir: str | None) -> dict[str, Any]:
    status = {} if public_dir is None else {"publicDir": public_dir}
    return {"metadata": {"name": f"shop-{version}", "namespace": "production"}, "spec": {}, "status": status}


def content(view: AppView | None = None, *releases: dict[str, Any], **spec: Any) -> TableContent:
    views = {} if view is None else {SHOP: view}
    challenges = [Challenge(token="t", key_authorization="t.k")]
    return table_content([app(**spec)], views, releases, [], [], None, Policies(), LAYOUT, challenges)


def entry(view: AppView | None = None, *releases: dict[str, Any], **spec: Any) -> TableApp:
    return content(view, *releases, **spec).apps[0]


@pytest.mark.parametrize(
    ("instances", "settled", "given_up", "served"),
    [
        ([], None, False, None),
        ([process(V2, InstanceState.STARTING)], None, False, None),
        ([process(V1)], V1, False, V1),
        ([process(V1), process(V2, InstanceState.READY)], V1, False, V1),
        ([process(V1), process(V2)], V1, False, V2),
        ([process(V1), process(V2)], V1, True, V1),
        ([process(V2, InstanceState.UNHEALTHY)], V2, False, V2),
        ([], V2, False, V2),
    ],
    ids=[
        "nothing ever ran",
        "the first one starts",
        "the new one is being prepared",
        "the new one is not probed yet",
        "both are in rotation",
        "the new one was rolled back",
        "the only one is unwell",
        "asleep",
    ],
)
def test_files_are_those_of_the_wanted_release_as_soon_as_it_serves(
    instances: list[InstanceView], settled: ReleaseId | None, given_up: bool, served: ReleaseId | None
) -> None:
    view = AppView(SHOP, tuple(instances), wanted_release=V2, settled_release=settled, given_up=given_up)
    assert served_release(view) == served


def test_an_app_has_the_public_directory_of_the_release_it_serves() -> None:
    view = AppView(SHOP, (process(V1),), wanted_release=V1, settled_release=V1)
    assert entry(view, release("v1", "/r/v1/public"), release("v2", "/r/v2/public")).public_dir == "/r/v1/public"
    assert entry(view, release("v1", None), release("v2", "/r/v2/public")).public_dir is None
    assert entry(None, release("v1", "/r/v1/public")).public_dir is None


def test_an_app_has_a_file_for_its_access_records_before_anything_of_it_runs() -> None:
    assert entry().access_log == "/data/apps/shop/production/logs/spool/proxy.access"


def test_an_app_has_the_limit_of_requests_that_its_document_has() -> None:
    assert entry().max_connections == 0
    assert entry(maxConnections=7).max_connections == 7


def test_what_only_drains_is_not_served_nor_recorded() -> None:
    views = {SHOP: AppView(SHOP, (process(V1, InstanceState.DRAINING),))}
    (left,) = table_content([], views, [], [], [], None, Policies(), LAYOUT).apps
    assert (left.public_dir, left.access_log) == (None, None)
    assert [endpoint.state for endpoint in left.endpoints] == ["draining"]


def test_challenges_are_in_the_table() -> None:
    assert content().challenges == (Challenge(token="t", key_authorization="t.k"),)


@pytest.mark.parametrize(
    ("spec", "used"),
    [
        ({"routes": ["a.test"]}, True),
        ({"routes": ["a.test"], "sourceIp": "auto"}, True),
        ({"routes": ["a.test"], "sourceIp": "cloudflare-proxy"}, True),
        ({"routes": ["a.test"], "sourceIp": "direct"}, False),
        ({"routes": ["a.test"], "sourceIp": "trusted-proxy"}, False),
        ({"routes": []}, False),
        ({}, False),
    ],
)
def test_cloudflares_addresses_are_used_by_routes_that_believe_it(spec: dict[str, Any], used: bool) -> None:
    assert uses_cloudflare([app(**spec)]) is used
    assert uses_cloudflare([app(sourceIp="direct"), app(**spec)]) is used
