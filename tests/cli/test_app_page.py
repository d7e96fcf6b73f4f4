"""The page of an App, whole, held by golden files: `REWRITE_GOLDEN=1` writes them anew."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tako.cli.app_page import Family, app_page
from tako.cli.pages import generic_page

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 5, 1, 12, 10, 0, tzinfo=UTC)
AT = "2026-05-01T12:00:00Z"


def meta(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": "production", "creationTimestamp": AT, "uid": name, **more}


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": AT}


def app(ready: dict[str, Any] | None, **status: Any) -> dict[str, Any]:
    spec = {
        "source": {"path": "/srv/hello", "digest": "sha256:" + "ab" * 32},
        "runtime": "python-asgi",
        "main": "app:app",
        "instances": 2,
        "routes": ["hello.localhost", "hello.localhost/admin/*"],
        "health": {"path": "/status"},
    }
    conditions = {"conditions": [ready]} if ready else {}
    return {
        "apiVersion": "tako.sh/v1",
        "kind": "App",
        "metadata": meta("hello"),
        "spec": spec,
        "status": {**conditions, **status},
    }


def instance(name: str, **status: Any) -> dict[str, Any]:
    spec = {"app": "hello", "release": "r2", "template": "t"}
    return {"kind": "Instance", "metadata": meta(name), "spec": spec, "status": status}


def route(pattern: str, accepted: str, message: str) -> dict[str, Any]:
    status = {"conditions": [condition("Accepted", accepted, "Reason", message)]}
    return {"kind": "Route", "metadata": meta("route"), "spec": {"app": "hello", "pattern": pattern}, "status": status}


def event(kind: str, reason: str, message: str, count: int = 1) -> dict[str, Any]:
    about = {"kind": "App", "name": "hello"}
    return {
        "metadata": meta("e"),
        "type": kind,
        "reason": reason,
        "message": message,
        "count": count,
        "lastTimestamp": AT,
        "involvedObject": about,
    }


READY = Family(
    app(
        condition("Ready", "True", "Serving", "2 of 2 instances serve"),
        release="r2",
        wantedRelease="r2",
        readyInstances=2,
        urls=["https://hello.localhost:8443", "https://hello.localhost:8443/admin/"],
    ),
    [
        instance("aaaa1111", state="Healthy", pid=101, port=4001, startedAt=AT),
        instance("bbbb2222", state="Healthy", pid=102, port=4002, startedAt=AT, restarts=1),
    ],
    [route("hello.localhost", "True", "served"), route("hello.localhost/admin/*", "True", "served")],
    [],
    [event("Normal", "Started", "instance aaaa1111 serves", count=3)],
)
CRASHES = Family(
    app(
        condition(
            "Ready",
            "False",
            "StartFailed",
            "the process exited with 1 before it reported a port; its last lines were:\nTraceback\nKeyError: 'X'",
        ),
        release="r1",
        wantedRelease="r2",
        readyInstances=0,
        lastError="exit 1",
    ),
    [
        instance(
            "cccc3333",
            state="Failed",
            restarts=4,
            exit={
                "code": 1,
                "at": AT,
                "reason": "exited before it reported a port",
                "lastOutput": ["Traceback", "KeyError: 'X'"],
            },
        ),
        instance(
            "bbbb2222",
            state="Failed",
            restarts=3,
            exit={
                "code": 1,
                "at": "2026-05-01T11:59:00Z",
                "reason": "exited before it reported a port",
                "lastOutput": ["Traceback", "KeyError: 'X'"],
            },
        ),
    ],
    [route("hello.localhost", "False", "claimed by app/other in staging")],
    [],
    [event("Warning", "StartFailed", "exited with 1")],
)
UNHEALTHY = Family(
    app(condition("Ready", "False", "Unhealthy", "GET /status answered 500"), readyInstances=0),
    [instance("dddd4444", state="Unhealthy", pid=7, port=4003, startedAt=AT)],
    [],
    [],
    [],
)
FAILED_RELEASE = Family(
    app(condition("Ready", "False", "ReleaseFailed", "release r2 failed"), wantedRelease="r2", release="r1"),
    [],
    [],
    [
        {
            "metadata": meta("hello-r2"),
            "spec": {"app": "hello", "version": "r2"},
            "status": {
                "phase": "Failed",
                "conditions": [condition("Ready", "False", "InstallFailed", "npm ci exited with 1\nnpm ERR!")],
            },
        }
    ],
    [],
)
MUTE = Family(
    app(
        condition(
            "Ready",
            "False",
            "StartFailed",
            "The process did not report a port on fd 4 within 30 s. It printed nothing.",
        ),
        lastError="The process did not report a port on fd 4 within 30 s. It printed nothing.",
        wantedRelease="r2",
    ),
    [],
    [],
    [],
    [],
)
NO_SDK = Family(
    app(condition("Ready", "False", "StartFailed", "The process exited with 1."), wantedRelease="r2"),
    [
        instance(
            "eeee5555",
            state="Failed",
            exit={
                "code": 1,
                "at": AT,
                "reason": "The process exited with 1.",
                "lastOutput": [
                    "Error: Cannot find module '/r/r2/node_modules/tako.sh/dist/entrypoints/node-server.mjs'"
                ],
            },
        )
    ],
    [],
    [],
    [],
)
NO_SDK.app["spec"].update(runtime="node", main="index.js")
NOT_HEALTHY = "The process was stopped, because it was not healthy within 30 s: GET /status (Host: hello.tako) on"
WRONG_PORT, ANSWERS_500 = (
    Family(app(condition("Ready", "False", "StartFailed", error), lastError=error), [], [], [], [])
    for error in (
        f"{NOT_HEALTHY} 127.0.0.1:1: connection refused; does the app listen on the port it reported?",
        f"{NOT_HEALTHY} 127.0.0.1:4001: answered 500 Internal Server Error: no migrations.",
    )
)
STARTING = Family(app(condition("Ready", "False", "Starting", "Release r2 is starting.")), [], [], [], [])
UNSEEN = Family(app(None), [], [], [], [])


@pytest.mark.parametrize(
    ("name", "family", "source_exists"),
    [
        ("ready", READY, True),
        ("crashes", CRASHES, True),
        ("unhealthy", UNHEALTHY, True),
        ("failed-release", FAILED_RELEASE, True),
        ("missing-source", UNHEALTHY._replace(instances=[]), False),
        ("unseen", UNSEEN, True),
        ("mute", MUTE, True),
        ("starting", STARTING, True),
        ("no-sdk", NO_SDK, True),
        ("wrong-port", WRONG_PORT, True),
        ("answers-500", ANSWERS_500, True),
    ],
)
def test_the_page_of_an_app(name: str, family: Family, source_exists: bool) -> None:
    agrees_with_golden(f"describe-{name}.txt", app_page(family, NOW, source_exists=source_exists))


def test_the_page_of_any_other_kind() -> None:
    agrees_with_golden("describe-route.txt", generic_page(route("hello.localhost", "True", "served"), [], NOW))


def test_only_an_app_that_is_not_ready_is_told_what_to_do() -> None:
    for family in (CRASHES, UNHEALTHY, FAILED_RELEASE, UNSEEN):
        assert "What to do:" in app_page(family, NOW, source_exists=True)
    assert "What to do:" not in app_page(READY, NOW, source_exists=True)


def test_a_crash_inside_the_sdk_is_not_taken_for_a_missing_one() -> None:
    crash = "Cannot find module 'pg' imported from /r/r2/node_modules/tako.sh/dist/entrypoints/node-server.mjs"
    ended = {"code": 1, "at": AT, "reason": "The process exited with 1.", "lastOutput": [crash]}
    family = NO_SDK._replace(instances=[instance("eeee5555", state="Failed", exit=ended)])
    assert "needs: add the package" not in " ".join(app_page(family, NOW, source_exists=True))


def agrees_with_golden(name: str, lines: list[str]) -> None:
    text, path = "\n".join(lines) + "\n", GOLDEN / name
    if os.environ.get("REWRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()
