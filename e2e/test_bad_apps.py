"""An app that does not work says what is wrong with it, in the words of its own last output."""

import re

import pytest
import yaml

from e2e.host import Host, eventually

QUICK = {"settleSeconds": 0.2, "startupTimeoutSeconds": 2, "drainTimeoutSeconds": 1, "stopTimeoutSeconds": 1}


@pytest.mark.parametrize(
    ("mode", "cause", "last_output"),
    [
        pytest.param("exit", r"exited with (code )?3", "cannot reach the database at db.invalid", id="exits at once"),
        pytest.param("hang", r"2 s", "waiting for a lock that nobody gives back", id="prints and hangs"),
        pytest.param("silent", r"port|fd 4", "silent", id="never reports its port"),
        pytest.param("wrong-port", r"127\.0\.0\.1:1\b", "listens", id="reports a port nobody listens on"),
        pytest.param("unwell", r"500", "listens", id="answers its health probe with 500"),
    ],
)
def test_an_app_that_fails_is_not_ready_and_says_why(host: Host, mode: str, cause: str, last_output: str) -> None:
    host.apply(host.document("bad", env={"MODE": mode}, rollout=QUICK), wait=False)

    def explained() -> str:
        ready = host.condition("bad")
        message = str(ready.get("message", ""))
        told = re.search(cause, message) and last_output in message
        return message if ready.get("status") == "False" and told else ""

    eventually("Ready=False with the cause and the last output", explained)
    described = host.tako("describe", "app/bad", "-n", "production").stdout
    assert re.search(cause, described)
    assert last_output in described


def test_a_source_that_is_missing_is_named_and_waited_for(host: Host) -> None:
    document = host.document("bad")
    document["spec"]["source"] = {"path": str(host.root / "nowhere")}
    said = host.tako("apply", "-f", "-", stdin=yaml.safe_dump(document)).stderr
    assert f'given "{host.root / "nowhere"}"' in said
    eventually("Ready=False", lambda: host.condition("bad").get("status") == "False")
    assert str(host.root / "nowhere") in host.condition("bad")["message"]
    host.source("bad").rename(host.root / "nowhere")
    host.await_healthy("bad", 1, timeout_seconds=40)


def test_a_crash_loop_backs_off_and_says_so(host: Host) -> None:
    host.apply(host.document("bad", env={"MODE": "exit"}, rollout=QUICK), wait=False)
    eventually("several restarts", lambda: max((restarts(each) for each in host.instances("bad")), default=0) >= 3)
    assert re.search(r"backs off: the next start is at \d{4}-", host.condition("bad")["message"])


def restarts(instance: dict[str, object]) -> int:
    status = instance.get("status")
    assert isinstance(status, dict | None)
    return int((status or {}).get("restarts") or 0)


def test_a_corrected_app_becomes_ready(host: Host) -> None:
    host.apply(host.document("bad", env={"MODE": "exit"}, rollout=QUICK), wait=False)
    eventually("Ready=False", lambda: host.condition("bad").get("status") == "False")
    host.apply(host.document("bad"))
    assert host.fetch("bad").json()["app"] == "bad"


def test_an_app_that_fails_does_not_disturb_its_neighbour(host: Host) -> None:
    host.apply(host.document("good", instances=2))
    before = host.await_healthy("good", 2)
    host.apply(host.document("bad", env={"MODE": "exit"}, rollout=QUICK), wait=False)
    eventually("Ready=False", lambda: host.condition("bad").get("status") == "False")
    assert host.healthy("good") == before
    assert host.fetch("good").status == 200
