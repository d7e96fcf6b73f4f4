"""Instance resources follow the processes, and a second pass writes nothing."""

from dataclasses import replace
from typing import Any

from tako.host_agent.rollout import TemplateHash
from tako.host_agent.views import AppView, FailureView, InstanceView
from tako.model.kinds import InstanceSpec, InstanceState, InstanceStatus
from tako.model.names import DeploymentId, InstanceId, ReleaseId
from tako.reconcilers.instance import FAILED_KEPT, failed_status, living_status, new_doc, plan_records

SHOP = DeploymentId("shop", "production")
OWNER = {"apiVersion": "tako.sh/v1", "kind": "App", "metadata": {"name": "shop", "namespace": "production", "uid": "u"}}
T = TemplateHash("t")


def process(name: str, state: InstanceState = InstanceState.HEALTHY) -> InstanceView:
    return InstanceView(InstanceId(name), ReleaseId("v1"), T, state, ("./shop",), 10, 20, "then", 4000, 0, 0)


def failure(name: str) -> FailureView:
    return FailureView(InstanceId(name), ReleaseId("v1"), T, "It exited.", 1, None, "then", ("bye",), True)


def doc(name: str, state: InstanceState | None = None, created: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    made = new_doc(OWNER, process(name))
    made["metadata"] |= {"generation": 1, "creationTimestamp": created}
    if state is not None:
        made["status"] = {"state": state.value}
    return made


def test_a_process_without_a_document_gets_one() -> None:
    plan = plan_records(AppView(SHOP, (process("aaaaaaaa"),)), [])
    assert [one.id for one in plan.create] == ["aaaaaaaa"]
    InstanceSpec.model_validate(new_doc(OWNER, plan.create[0])["spec"])


def test_a_document_without_a_process_goes() -> None:
    plan = plan_records(AppView(SHOP), [doc("aaaaaaaa", InstanceState.DRAINING)])
    assert plan.remove == ("shop-aaaaaaaa",)


def test_a_failure_is_kept_with_its_last_output() -> None:
    failed = failure("aaaaaaaa")
    plan = plan_records(AppView(SHOP, last_failure=failed), [doc("aaaaaaaa", InstanceState.HEALTHY)])
    assert plan.remove == ()
    status = failed_status(plan.fail[0][0], failed, "now")
    assert InstanceStatus.model_validate(status).exit is not None
    assert status["exit"]["lastOutput"] == ["bye"]


def test_only_the_latest_failures_are_kept() -> None:
    docs = [doc(f"aaaaaaa{n}", InstanceState.FAILED, f"2026-01-01T00:00:0{n}Z") for n in range(FAILED_KEPT + 2)]
    assert plan_records(AppView(SHOP), docs).remove == ("shop-aaaaaaa0", "shop-aaaaaaa1")


def test_the_second_pass_finds_the_status_it_wrote() -> None:
    first = doc("aaaaaaaa")
    status = living_status(first, process("aaaaaaaa"), "2026-01-01T00:00:00Z")
    InstanceStatus.model_validate(status)
    again = living_status({**first, "status": status}, process("aaaaaaaa"), "2026-01-01T00:00:09Z")
    assert again == status


def test_requests_of_an_adopted_instance_stay_as_told_until_more_is_known() -> None:
    known = doc("aaaaaaaa")
    used = replace(process("aaaaaaaa"), requests=7, last_request="2026-01-01T00:00:00Z")
    known["status"] = living_status(known, used, "now")
    assert InstanceStatus.model_validate(known["status"]).requests == 7
    assert living_status(known, process("aaaaaaaa"), "now") == known["status"]
    assert failed_status(known, failure("aaaaaaaa"), "now")["requests"] == 7


def test_an_instance_that_nobody_asked_yet_has_no_last_request() -> None:
    status = living_status(doc("aaaaaaaa"), replace(process("aaaaaaaa"), requests=0), "now")
    assert status["requests"] == 0 and "lastRequestTime" not in status
