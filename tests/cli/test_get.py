"""get, events, explain and api-resources against a real server."""

import json
from typing import Any

import pytest
import yaml

from tests.cli.conftest import APPS, EVENTS, Server, Tako, app

pytestmark = pytest.mark.usefixtures("server")


def stored(server: Server, name: str, namespace: str = "production", **status: Any) -> dict[str, Any]:
    client = server.client
    made = client.create(APPS, namespace, app(name, routes=[f"{name}.localhost"]))
    return client.merge_patch(APPS, namespace, name, {"status": status}, subresource="status") if status else made


def test_a_table_has_the_columns_of_the_kind(tako: Tako, server: Server) -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    stored(server, "hello", conditions=[ready], readyOf="1/1", release="r1", url="https://hello.localhost/")
    stored(server, "world", "staging")
    lines = [line.split() for line in tako("get", "apps").out.splitlines()]
    assert lines[0] == ["NAME", "READY", "INSTANCES", "RELEASE", "URL", "AGE"]
    assert lines[1][:5] == ["hello", "True", "1/1", "r1", "https://hello.localhost/"]
    everywhere = [line.split()[:3] for line in tako("get", "apps", "-A").out.splitlines()]
    assert everywhere == [
        ["NAMESPACE", "NAME", "READY"],
        ["production", "hello", "True"],
        ["staging", "world", "<none>"],
    ]
    assert "REASON" in tako("get", "apps", "-o", "wide").out


@pytest.mark.parametrize("word", ["app", "apps", "ap", "App", "apps.tako.sh"])
def test_a_kind_is_known_by_all_its_names(tako: Tako, server: Server, word: str) -> None:
    stored(server, "hello")
    assert tako("get", word, "hello", "-o", "name").out == "app.tako.sh/hello\n"


def test_documents_are_printed_in_full(tako: Tako, server: Server) -> None:
    stored(server, "hello")
    as_yaml, as_json = tako("get", "app/hello", "-o", "yaml"), tako("get", "app", "hello", "-o=json")
    assert yaml.safe_load(as_yaml.out) == json.loads(as_json.out) == json.loads(tako("get", "app/hello", "--json").out)
    assert json.loads(as_json.out)["spec"]["routes"] == ["hello.localhost"]
    assert json.loads(tako("get", "apps", "-o", "json").out)["items"][0]["kind"] == "App"
    assert (
        tako("get", "app/hello", "-o", "jsonpath={.metadata.name}{'\\n'}{.spec.routes[*]}").out
        == "hello\nhello.localhost\n"
    )


def test_several_kinds_and_categories_are_told_apart(tako: Tako, server: Server) -> None:
    stored(server, "hello")
    both = tako("get", "apps,namespaces").out
    assert "app.tako.sh/hello" in both
    assert "namespace/production" in both
    assert "app.tako.sh/hello" in tako("get", "tako").out


def test_selectors_choose(tako: Tako, server: Server) -> None:
    stored(server, "hello")
    stored(server, "world")
    server.client.merge_patch(APPS, "production", "world", {"metadata": {"labels": {"a": "b"}}})
    assert tako("get", "apps", "-l", "a=b", "-o", "name").out == "app.tako.sh/world\n"
    assert tako("get", "apps", "--field-selector", "metadata.name=hello", "-o", "name").out == "app.tako.sh/hello\n"


def test_nothing_found_is_said_beside_the_result(tako: Tako) -> None:
    assert tako("get", "apps") == (0, "", "No apps found in namespace production; -A looks in every namespace.\n")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["get", "appz"], 1, 'the server has no kind "appz"; did you mean app'),
        (["get", "app", "x"], 1, 'apps.tako.sh "x" not found in namespace production'),
        (["get"], 2, "Missing argument"),
        (["get", "app/x", "y"], 2, "when one argument is KIND/NAME all of them must be"),
        (["get", "app", "x", "-A"], 2, "leave out -A"),
        (["get", "apps", "-o", "xml"], 2, 'given "xml": must be one of wide, json, yaml'),
        (["gte", "apps"], 2, "Did you mean 'get'"),
        (["get", "apps", "-l", "a=("], 1, ""),
        (["explain", "app.spec.rout"], 1, "app.spec has no field rout; did you mean routes?"),
    ],
)
def test_a_mistake_is_told_with_the_way_out(tako: Tako, words: list[str], code: int, told: str) -> None:
    ended = tako(*words)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert "Traceback" not in ended.err


def test_events_are_listed_with_what_they_are_about(tako: Tako, server: Server) -> None:
    document = stored(server, "hello")
    about = {"kind": "App", "apiVersion": "tako.sh/v1", "name": "hello", "namespace": "production"}
    server.client.create(
        EVENTS,
        "production",
        {
            "metadata": {"generateName": "e-"},
            "involvedObject": {**about, "uid": document["metadata"]["uid"]},
            "type": "Warning",
            "reason": "StartFailed",
            "message": "it exited with 1",
            "lastTimestamp": "2026-01-01T00:00:00Z",
        },
    )
    for words in (["events"], ["events", "--for", "app/hello"], ["events", "--types", "Warning", "-A"]):
        out = tako(*words).out
        assert "Warning   StartFailed   app/hello   it exited with 1" in out, words
    assert tako("events", "--for", "app/other").out == ""
    assert "StartFailed" in tako("describe", "app/hello").out


def test_explain_documents_kinds_and_fields(tako: Tako) -> None:
    page = tako("explain", "app.spec.routes").out
    assert "FIELD: routes <[]string>" in page
    assert "Host names with an optional path" in page
    assert "settleSeconds" in tako("explain", "app", "--recursive").out
    assert "KIND:       Namespace" in tako("explain", "ns").out


def test_every_kind_is_listed(tako: Tako) -> None:
    lines = [line.split() for line in tako("api-resources").out.splitlines()]
    assert ["apps", "ap", "tako.sh/v1", "true", "App"] in [line[:5] for line in lines]


def test_verbose_shows_every_request_and_ci_shows_no_clock(tako: Tako) -> None:
    ended = tako("get", "apps", "-v", "--ci")
    assert "DEBUG GET /apis/tako.sh/v1/namespaces/production/apps -> 200\n" in ended.err
    assert ended.err.startswith("DEBUG ")
