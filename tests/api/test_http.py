"""The REST conventions at their edges, byte by byte where clients depend on it."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import CRDS, Served, app
from tests.client import Client, RequestFailed

APPS = "apps.tako.sh"
PATH = "/apis/tako.sh/v1/namespaces/production/apps"
JSON = {"Content-Type": "application/json"}


def send(client: Client, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    code, _, answer = client.raw(method, path, None, body, {**JSON, **named})
    return code, json.loads(answer)


def test_a_long_list_is_read_in_pieces(served: Served) -> None:
    with served.client() as client:
        for number in range(5):
            client.create(APPS, "production", app(f"app-{number}"))
        names, token, remaining = [], "", []
        while True:
            _, page = send(client, "GET", f"{PATH}?limit=2&continue={token}")
            names += [doc["metadata"]["name"] for doc in page["items"]]
            token = page["metadata"].get("continue", "")
            if not token:
                break
            remaining.append(page["metadata"]["remainingItemCount"])
    assert names == [f"app-{number}" for number in range(5)]
    assert remaining == [3, 1]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"", 400),
        (b'{"metadata": []}', 400),
        (b"[" * 100_000, 400),
        (b'{"metadata":{"name":"x"},"spec":' + b'{"a":' * 900 + b"1" + b"}" * 901, 422),
        (b'{"metadata":{"name":"x","labels":{"a":"\\ud800"}},"spec":{}}', 422),
        (b'{"metadata":{"name":"x"},"spec":{"source":{"path":"/\\ud800"},"start":["a"]}}', 400),
        (b'{"metadata":{"name":"x"},"spec":{"source":{"path":"/a"},"limits":{"cpus":1e999}}}', 422),
        (b'{"metadata":{"name":"x"},"spec":{"source":{"path":"/a"},"limits":{"cpus":NaN}}}', 422),
        (b'{"metadata":{"name":7}}', 422),
        (b'{"metadata":{"name":"x","labels":{"a":7}},"spec":{"source":{"path":"/a"}}}', 422),
        (b'{"metadata":{"name":"Upper"},"spec":{"source":{"path":"/a"}}}', 422),
        (b'{"kind":"Route","metadata":{"name":"x"}}', 400),
        (b'{"metadata":{"name":"x","namespace":"other"}}', 400),
        (b'{"metadata":{}}', 400),
        (b'{"pad":"' + b"x" * (3 * 1024**2) + b'"}', 413),
    ],
    ids=[
        *("cut off", "a list", "text", "nothing", "metadata a list", "brackets without end", "nested deeply"),
        *("half a character in a label", "half a character", "infinity", "not a number", "a number as name"),
        *("a number as label", "upper case", "another kind", "another namespace", "no name", "too large"),
    ],
)
def test_a_body_that_is_no_document_is_refused_with_a_status(served: Served, body: bytes, code: int) -> None:
    with served.client() as client:
        answered, status = send(client, "POST", PATH, body)
        assert (answered, status["kind"], status["code"]) == (code, "Status", code)
        assert client.list(APPS)["items"] == []


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", 404),
        ("GET", "/apis/tako.sh/v2/apps", 404),
        ("GET", "/apis/tako.sh/v1/nothing", 404),
        ("GET", f"{PATH}/hello", 404),
        ("GET", f"{PATH}/hello/nothing", 404),
        ("GET", "/api/v1/namespaces/production/namespaces/x", 404),
        ("GET", f"{PATH}?labelSelector=a%20in", 400),
        ("GET", f"{PATH}?fieldSelector=spec.main=x", 400),
        ("GET", f"{PATH}?continue=nonsense", 400),
        ("GET", f"{PATH}?limit=some", 400),
        ("POST", f"{PATH}/hello", 405),
        ("PUT", PATH, 405),
        ("OPTIONS", PATH, 405),
        ("DELETE", f"{PATH}/hello", 404),
        ("POST", f"{PATH}?dryRun=Some", 400),
        ("POST", f"{PATH}?fieldValidation=Often", 400),
        ("GET", "/openapi/v2", 404),
    ],
)
def test_a_request_that_means_nothing_is_refused_with_a_status(
    served: Served, method: str, path: str, code: int
) -> None:
    with served.client() as client:
        answered, status = send(client, method, path)
        assert (answered, status["kind"]) == (code, "Status")


def test_yaml_is_read_where_apply_sends_it(served: Served) -> None:
    body = b"apiVersion: tako.sh/v1\nkind: App\nmetadata: {name: hello}\nspec: {source: {path: /srv}, start: [run]}\n"
    with served.client() as client:
        path = f"{PATH}/hello?fieldManager=me"
        code, doc = send(client, "PATCH", path, body, Content_Type="application/apply-patch+yaml")
        assert (code, doc["spec"]["start"]) == (201, ["run"])


def test_a_field_given_twice_is_refused_when_strict(served: Served) -> None:
    body = b'{"metadata":{"name":"x"},"spec":{"source":{"path":"/a"},"main":"a","main":"b"}}'
    with served.client() as client:
        code, status = send(client, "POST", f"{PATH}?fieldValidation=Strict", body)
        assert code == 400
        assert 'duplicate field "main"' in status["message"]


def test_metadata_alone_can_be_asked_for(served: Served) -> None:
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
    with served.client() as client:
        client.create(APPS, "production", app("hello"))
        _, listed = send(client, "GET", PATH, Accept=accept)
    assert listed["kind"] == "PartialObjectMetadataList"
    assert listed["items"][0]["metadata"]["name"] == "hello"
    assert "spec" not in listed["items"][0]


def test_another_served_version_shows_the_same_documents(served: Served) -> None:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [
        {"name": "v1", "served": True, "storage": True, "schema": schema},
        {"name": "v1beta1", "served": True, "storage": False, "schema": schema},
    ]
    names = {"kind": "Widget", "plural": "widgets"}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": versions}
    old = "/apis/example.com/v1beta1/widgets"
    with served.client() as client:
        crds = "customresourcedefinitions.apiextensions.k8s.io"
        client.create(crds, None, {"metadata": {"name": "widgets.example.com"}, "spec": spec})
        body = {"apiVersion": "example.com/v1beta1", "kind": "Widget", "metadata": {"name": "one"}, "size": 1}
        code, made = send(client, "POST", old, json.dumps(body).encode())
        assert (code, made["apiVersion"]) == (201, "example.com/v1beta1")
        patch = {"Content_Type": "application/merge-patch+json"}
        send(client, "PATCH", f"{old}/one", b'{"size": 2}', **patch)
        current = client.get("widgets.example.com", None, "one")
        assert (current["apiVersion"], current["size"]) == ("example.com/v1", 2)
        assert send(client, "GET", old)[1]["items"][0]["apiVersion"] == "example.com/v1beta1"


def test_the_definitions_in_the_repository_may_be_applied_to_a_host(served: Served) -> None:
    with served.client() as client:
        for crd in CRDS:
            name = crd["metadata"]["name"]
            patch = {"spec": crd["spec"], "metadata": {"annotations": {"applied": "again"}}}
            stored = client.patch("customresourcedefinitions.apiextensions.k8s.io", None, name, patch)
            assert stored["metadata"]["annotations"] == {"applied": "again"}


def test_initial_events_end_with_a_marked_bookmark(served: Served) -> None:
    with served.client() as client:
        client.create(APPS, "production", app("hello"))
        query = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "resourceVersionMatch": "NotOlderThan"}
        events = list(client.watch(APPS, timeout_seconds=1, **query))
    assert [kind for kind, _ in events] == ["ADDED", "BOOKMARK"]
    assert events[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_of_a_kind_ends_when_the_kind_goes(served: Served) -> None:
    crds = "customresourcedefinitions.apiextensions.k8s.io"
    schema = {"openAPIV3Schema": {"type": "object"}}
    spec = {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"kind": "Widget", "plural": "widgets"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }
    with served.client() as client:
        client.create(crds, None, {"metadata": {"name": "widgets.example.com"}, "spec": spec})
        client.create("widgets.example.com", None, {"metadata": {"name": "one"}})
        seen = []
        for kind, _ in client.watch("widgets.example.com", timeout_seconds=20):
            seen.append(kind)
            if kind == "ADDED":
                client.delete(crds, None, "widgets.example.com")
    assert seen == ["ADDED", "DELETED"]


def test_a_watcher_that_hangs_up_is_forgotten_at_once(served: Served) -> None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(served.socket))
    connection.sendall(b"GET /apis/tako.sh/v1/apps?watch=true HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in connection.recv(4096)
    assert _becomes(lambda: served.api.store.feed.watched().get(APPS) == 1)
    connection.close()
    assert _becomes(lambda: APPS not in served.api.store.feed.watched())


@pytest.mark.parametrize("token", ["", "wrong", "\xff"], ids=["none", "another", "no text"])
def test_nothing_is_told_to_who_has_no_token(served: Served, token: str) -> None:
    with Client.connect(url=served.url, token=token, ca_pem=served.ca_pem) as stranger:
        for path in ("/", "/version", "/api", "/openapi/v3", "/healthz", PATH):
            code, _, body = stranger.raw("GET", path)
            assert code == 401
            assert json.loads(body)["reason"] == "Unauthorized"


def test_a_secret_is_written_as_text_and_kept_from_other_users(served: Served) -> None:
    with served.client() as client:
        made = client.create("secrets", "production", {"metadata": {"name": "s"}, "stringData": {"a": "b"}})
    assert (made["data"], made["type"]) == ({"a": "Yg=="}, "Opaque")
    for path in (served.data_dir / "state.sqlite", served.data_dir / "api" / "token", served.socket):
        assert path.stat().st_mode & 0o077 == 0
    assert "stringData" not in made


def test_many_clients_connect_at_once(served: Served) -> None:
    connections = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(300)]
    for connection in connections:
        connection.connect(str(served.socket))
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
    for connection in connections:
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()


def test_deleting_a_collection_takes_what_is_selected(served: Served) -> None:
    with served.client() as client:
        for name in ("one", "two"):
            client.create(APPS, "production", {**app(name), "metadata": {"name": name, "labels": {"n": name}}})
        send(client, "DELETE", f"{PATH}?labelSelector=n%3Done")
        assert [doc["metadata"]["name"] for doc in client.list(APPS)["items"]] == ["two"]


def test_a_precondition_protects_from_deleting_the_successor(served: Served) -> None:
    with served.client() as client:
        first = client.create(APPS, "production", app("hello"))
        client.delete(APPS, "production", "hello")
        client.create(APPS, "production", app("hello"))
        body = json.dumps({"preconditions": {"uid": first["metadata"]["uid"]}}).encode()
        assert send(client, "DELETE", f"{PATH}/hello", body)[0] == 409


def test_options_that_are_no_options_are_refused_in_words(served: Served) -> None:
    with served.client() as client:
        for body in (b'"x"', b"[1]", b'{"preconditions": 1}'):
            assert send(client, "DELETE", f"{PATH}/hello", body)[0] == 400
        assert send(client, "GET", f"{PATH}?limit={'9' * 5000}")[0] == 400


def test_the_client_says_where_nobody_answers(tmp_path: Path) -> None:
    from tests.client import Unreachable

    with pytest.raises(Unreachable, match=r"no\.sock.*no such socket"), Client.connect(tmp_path / "no.sock") as client:
        client.list(APPS)


def test_a_refusal_carries_its_status(served: Served) -> None:
    with served.client() as client, pytest.raises(RequestFailed) as refused:
        client.get(APPS, "production", "nothing")
    assert (refused.value.code, refused.value.reason) == (404, "NotFound")


def _becomes(condition: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False
