"""What an App says of itself, for each thing that can be wrong with it."""

from dataclasses import replace
from typing import Any

import pytest

from tako.host_agent.rollout import TemplateHash
from tako.host_agent.views import AppView, FailureView, InstanceView
from tako.model.kinds import AppStatus, InstanceState
from tako.model.names import DeploymentId, InstanceId, ReleaseId
from tako.reconcilers.app_status import AppWorld, status_of, url_of

SHOP = DeploymentId("shop", "production")
NEW, OLD = TemplateHash("new"), TemplateHash("old")
V1, V2 = ReleaseId("v1"), ReleaseId("v2")
PREPARED = {
    "metadata": {"generation": 1},
    "spec": {"version": "v2"},
    "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Prepared", "message": ""}]},
}


def app(**spec: object) -> dict[str, Any]:
    meta = {"name": "shop", "namespace": "production", "generation": 4}
    return {"metadata": meta, "spec": {"source": {"path": "/srv"}, "start": ["./x"], "instances": 1, **spec}}


def instance(name: str, template: TemplateHash = NEW, state: InstanceState = InstanceState.HEALTHY) -> InstanceView:
    release = V2 if template == NEW else V1
    return InstanceView(InstanceId(name), release, template, state, ("./x",), 7, 1, "then", 4000, 0, 0)


FAILURE = FailureView(
    id=InstanceId("i1"),
    release=V2,
    template=NEW,
    reason="The process exited with 1 before it reported a port.",
    code=1,
    signal=None,
    at="then",
    last_output=("reading config", "no such table: users"),
    was_ready=False,
)
SERVING = AppView(
    SHOP, (instance("a"),), wanted_template=NEW, wanted_release=V2, target=NEW, settled=NEW, settled_release=V2
)


def ready(view: AppView, **more: Any) -> tuple[str, str, str]:
    doc = app(**more.pop("spec", {}))
    world = AppWorld(view=view, release=more.pop("release", PREPARED), routes=(), https_port=8443, **more)
    status = status_of(doc, V2, world, "now")
    AppStatus.model_validate(status)
    entry = next(c for c in status["conditions"] if c["type"] == "Ready")
    assert entry["observedGeneration"] == 4
    return entry["status"], entry["reason"], entry["message"]


def test_a_serving_app_is_ready() -> None:
    assert ready(SERVING)[:2] == ("True", "Serving")


@pytest.mark.parametrize(
    "conditions",
    [pytest.param([], id="not looked at"), pytest.param([{"type": "Ready", "status": "Unknown"}], id="in work")],
)
def test_an_app_is_not_ready_by_the_release_before_the_one_that_is_prepared(conditions: list[dict[str, str]]) -> None:
    unprepared = {**PREPARED, "status": {"conditions": conditions}}
    before = replace(SERVING, instances=(instance("a", OLD),), wanted_template=OLD, settled=OLD, settled_release=V1)
    status, reason, message = ready(before, release=unprepared)
    assert (status, reason) == ("Unknown", "Preparing")
    assert "v1 goes on serving" in message


def test_a_sleeping_app_is_ready() -> None:
    assert ready(replace(SERVING, instances=()), spec={"instances": 0})[:2] == ("True", "Asleep")


def test_a_failed_start_is_told_with_the_last_output() -> None:
    view = AppView(
        SHOP, wanted_template=NEW, wanted_release=V2, target=NEW, failures=1, failing=True, last_failure=FAILURE
    )
    status, reason, message = ready(view)
    assert (status, reason) == ("False", "StartFailed")
    assert "exited with 1 before it reported a port" in message
    assert "no such table: users" in message


def test_a_rollout_that_failed_says_why_and_what_serves() -> None:
    view = replace(
        SERVING,
        instances=(instance("a", OLD),),
        settled=OLD,
        settled_release=V1,
        given_up=True,
        last_failure=FAILURE,
    )
    status, reason, message = ready(view)
    assert (status, reason) == ("False", "RolloutFailed")
    assert "no such table: users" in message
    assert "Release v1 goes on serving." in message


def test_a_scale_up_is_not_blamed_on_a_failure_of_long_ago() -> None:
    view = replace(SERVING, failures=1, last_failure=FAILURE)
    assert ready(view, spec={"instances": 3})[1] == "Scaling"
    assert ready(replace(view, failing=True), spec={"instances": 3})[1] == "InstancesMissing"


def test_while_a_release_is_replaced_nobody_says_ready() -> None:
    view = replace(SERVING, instances=(instance("a", OLD), instance("b")), settled=OLD, settled_release=V1)
    assert ready(view)[:2] == ("Unknown", "RollingOut")


def test_until_its_release_is_prepared_an_app_that_serves_an_older_one_is_not_ready() -> None:
    assert ready(replace(SERVING, wanted_release=V1))[:2] == ("Unknown", "Preparing")


def test_a_source_that_cannot_be_read_is_the_reason() -> None:
    assert ready(AppView(SHOP), source_fault="/srv does not exist")[:2] == ("False", "SourceUnusable")


def test_the_same_world_gives_the_same_status() -> None:
    world = AppWorld(view=SERVING, release=PREPARED, routes=(), https_port=8443)
    first = status_of(app(), V2, world, "2026-01-01T00:00:00Z")
    again = status_of({**app(), "status": first}, V2, world, "2026-01-01T00:00:09Z")
    assert first == again


@pytest.mark.parametrize(
    ("pattern", "port", "url"),
    [
        ("a.localhost", 443, "https://a.localhost/"),
        ("a.localhost", 8443, "https://a.localhost:8443/"),
        ("a.localhost/api/*", 443, "https://a.localhost/api/"),
        ("*.a.localhost/x", 8443, "https://*.a.localhost:8443/x"),
    ],
)
def test_the_url_is_what_a_person_opens(pattern: str, port: int, url: str) -> None:
    assert url_of(pattern, port) == url
