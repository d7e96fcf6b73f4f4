"""The API over HTTP, through the product's own client."""

import pytest

from tests.api.conftest import Served, app
from tests.client import Client, RequestFailed

APPS = "apps.tako.sh"


def test_a_document_is_stored_with_defaults_and_read_back(served: Served) -> None:
    with served.client() as client:
        made = client.create(APPS, "production", app("hello"))
        assert made["spec"]["instances"] == 1
        assert made["metadata"]["generation"] == 1
        assert client.get(APPS, "production", "hello") == made


def test_a_patch_that_changes_nothing_keeps_the_revision(served: Served) -> None:
    with served.client() as client:
        made = client.create(APPS, "production", app("hello"))
        again = client.patch(APPS, "production", "hello", {"spec": {"instances": 1}})
        assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_tls_serves_whoever_has_the_token_only(served: Served) -> None:
    with Client.connect(url=served.url, token=served.token, ca_pem=served.ca_pem) as client:
        assert client.list("namespaces")["items"]
    with (
        Client.connect(url=served.url, token="wrong", ca_pem=served.ca_pem) as stranger,
        pytest.raises(RequestFailed) as refused,
    ):
        stranger.list("namespaces")
    assert refused.value.code == 401


def test_a_watch_tells_what_happens_after_a_revision(served: Served) -> None:
    with served.client() as client:
        revision = client.list(APPS)["metadata"]["resourceVersion"]
        client.create(APPS, "production", app("hello"))
        client.patch(APPS, "production", "hello", {"spec": {"instances": 2}})
        client.delete(APPS, "production", "hello")
        seen = [kind for kind, _ in client.watch(APPS, revision=revision, timeout_seconds=1)]
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


def test_a_watch_from_a_forgotten_revision_is_an_error_event_with_410(served: Served) -> None:
    with served.client() as client, pytest.raises(RequestFailed) as gone:
        list(client.watch(APPS, revision="999999", timeout_seconds=1))
    assert gone.value.code == 410
