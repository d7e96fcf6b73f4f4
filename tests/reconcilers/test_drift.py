"""Drift names each difference, and nothing when there is none."""

from dataclasses import replace
from typing import Any

from tako.host_agent.rollout import TemplateHash
from tako.host_agent.views import AppView, InstanceView
from tako.model.kinds import InstanceState
from tako.model.names import DeploymentId, InstanceId, ReleaseId
from tako.reconcilers.drift import differences

SHOP = DeploymentId("shop", "production")
T = TemplateHash("t")
HEALTHY = InstanceView(InstanceId("i1"), ReleaseId("v1"), T, InstanceState.HEALTHY, ("./x",), 7, 1, "then", 4000, 0, 0)
SETTLED = AppView(SHOP, (HEALTHY,), wanted_template=T, target=T, settled=T, settled_release=ReleaseId("v1"))


def app(**spec: object) -> dict[str, Any]:
    digest = "sha256:" + "a" * 64
    return {
        "metadata": {"name": "shop", "namespace": "production", "generation": 1},
        "spec": {"source": {"path": "/srv", "digest": digest}, "start": ["./x"], "instances": 1, **spec},
        "status": {"wantedRelease": "v1"},
    }


def fields(apps: list[dict[str, Any]], view: AppView, digests: dict[DeploymentId, str] | None = None) -> list[str]:
    return [one.field for one in differences(apps, {SHOP: view}, [], [], digests or {})]


def test_a_host_as_declared_has_no_drift() -> None:
    assert fields([app()], SETTLED) == []


def test_a_missing_instance_is_told_with_what_is_done() -> None:
    view = replace(SETTLED, instances=(), failures=2, retry_at="2026-01-01T00:00:02Z", differs_since="earlier")
    (found,) = differences([app()], {SHOP: view}, [], [], {})
    assert (found.wanted, found.seen, found.since) == ("1 healthy", "0 healthy", "earlier")
    assert "2026-01-01T00:00:02Z" in found.action


def test_a_rolled_back_release_is_told() -> None:
    assert fields([app()], replace(SETTLED, settled=TemplateHash("old"), given_up=True)) == ["release"]


def test_files_that_changed_since_they_were_applied_are_told() -> None:
    assert fields([app()], SETTLED, {SHOP: "sha256:" + "b" * 64}) == ["spec.source"]


def test_a_process_nobody_declared_is_told() -> None:
    assert fields([], SETTLED) == ["processes"]


def test_a_route_in_conflict_is_told() -> None:
    route = {
        "metadata": {"name": "r", "namespace": "production"},
        "spec": {"app": "shop", "pattern": "a.localhost"},
        "status": {"conditions": [{"type": "Accepted", "status": "False", "message": "taken"}]},
    }
    (found,) = differences([app()], {SHOP: SETTLED}, [route], [], {})
    assert (found.kind, found.seen) == ("Route", "taken")
