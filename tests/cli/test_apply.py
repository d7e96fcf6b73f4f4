"""apply, diff, delete and scale against a real server: what changes, what is said, and what is left alone."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tako.cli.client import RequestFailed
from tests.cli.conftest import APPS, Server, Tako, app

pytestmark = pytest.mark.usefixtures("server")


def write(path: Path, *documents: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump_all(documents))


def test_apply_says_created_then_unchanged_then_configured(tako: Tako, tmp_path: Path) -> None:
    write(tmp_path / "app.yaml", app("hello"), app("world"))
    assert tako("apply", "-f", "app.yaml") == (0, "app.tako.sh/hello created\napp.tako.sh/world created\n", "")
    assert tako("apply", "-f", "app.yaml").out == "app.tako.sh/hello unchanged\napp.tako.sh/world unchanged\n"
    write(tmp_path / "app.yaml", app("hello", instances=2), app("world"))
    assert tako("apply", "-f", "app.yaml").out == "app.tako.sh/hello configured\napp.tako.sh/world unchanged\n"


def test_an_unchanged_document_is_not_written(tako: Tako, tmp_path: Path, server: Server) -> None:
    write(tmp_path / "app.yaml", app("hello"))
    tako("apply", "-f", "app.yaml")
    before = server.client.get(APPS, "production", "hello")
    tako("apply", "-f", "app.yaml")
    assert server.client.get(APPS, "production", "hello") == before


def test_a_field_that_leaves_the_file_leaves_the_document(tako: Tako, tmp_path: Path, server: Server) -> None:
    write(tmp_path / "app.yaml", app("hello", env={"A": "1", "B": "2"}))
    tako("apply", "-f", "app.yaml")
    write(tmp_path / "app.yaml", app("hello", env={"A": "1"}))
    tako("apply", "-f", "app.yaml")
    assert server.client.get(APPS, "production", "hello")["spec"]["env"] == {"A": "1"}


def test_documents_come_from_directories_and_standard_input(tako: Tako, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    write(tmp_path / "all" / "a.yaml", app("one"))
    write(tmp_path / "all" / "b.yml", app("two"))
    assert tako("apply", "-f", "all").out == "app.tako.sh/one created\napp.tako.sh/two created\n"
    assert tako("apply", "-f", "-", stdin=yaml.safe_dump(app("three"))).out == "app.tako.sh/three created\n"


def test_when_one_document_is_bad_nothing_is_changed_and_every_fault_is_told(
    tako: Tako, tmp_path: Path, server: Server
) -> None:
    broken = app("broken", route=["x"], instances=-1, runtime="nod")
    nameless = {**app("x"), "kind": "Ap"}
    write(tmp_path / "app.yaml", app("good"), broken, nameless)
    code, out, err = tako("apply", "-f", "app.yaml")
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "error: app.yaml (document 2, App/broken): spec.route: unknown field; did you mean routes?",
        "error: app.yaml (document 2, App/broken): spec.instances: given -1: should be greater than or equal to 0",
        'error: app.yaml (document 2, App/broken): spec.runtime: given "nod": supported values: '
        '"python-asgi", "python-wsgi", "node", "bun", "go"',
        "error: app.yaml (document 3, Ap/x): the server has no kind Ap in apiVersion tako.sh/v1; "
        "did you mean App? `tako api-resources` lists all.",
    ]
    assert server.client.list(APPS)["items"] == []


def test_two_new_apps_may_not_claim_one_route(tako: Tako, tmp_path: Path, server: Server) -> None:
    write(tmp_path / "a.yaml", app("one", routes=["x.localhost"]))
    write(tmp_path / "b.yaml", app("two", routes=["y.localhost", "X.localhost"]))
    code, _, err = tako("apply", "-f", "a.yaml", "-f", "b.yaml")
    assert code == 1
    assert err == (
        'error: b.yaml (document 1, App/two): spec.routes[1]: given "X.localhost": '
        "is claimed by a.yaml (document 1, App/one); a route has one app\n"
    )
    assert server.client.list(APPS)["items"] == []


def test_the_same_document_twice_is_refused(tako: Tako, tmp_path: Path) -> None:
    write(tmp_path / "app.yaml", app("hello"), app("hello"))
    assert (
        "(document 2, App/hello): is the same document as in app.yaml (document 1"
        in tako("apply", "-f", "app.yaml").err
    )


def test_a_dry_run_changes_nothing(tako: Tako, tmp_path: Path, server: Server) -> None:
    write(tmp_path / "app.yaml", app("hello"))
    assert tako("apply", "-f", "app.yaml", "--dry-run").out == "app.tako.sh/hello created (dry run)\n"
    assert server.client.list(APPS)["items"] == []


def test_json_gives_one_result_for_programs(tako: Tako, tmp_path: Path) -> None:
    write(tmp_path / "app.yaml", app("hello"))
    result = json.loads(tako("apply", "-f", "app.yaml", "--json").out)
    assert result["ok"] is True
    assert result["results"] == [{"kind": "App", "namespace": "production", "name": "hello", "result": "created"}]
    failed = tako("--json", "get", "app", "nobody")
    assert failed.code == 1
    assert json.loads(failed.out) == {
        "ok": False,
        "error": {"message": 'apps.tako.sh "nobody" not found in namespace production'},
    }
    assert "nobody" in failed.err


def test_a_relative_source_means_the_directory_of_the_file_and_its_contents_are_the_digest(
    tako: Tako, tmp_path: Path, server: Server
) -> None:
    (tmp_path / "project" / "site").mkdir(parents=True)
    (tmp_path / "project" / "site" / "main.py").write_text("one")
    write(tmp_path / "project" / "app.yaml", {**app("hello"), "spec": {**app("x")["spec"], "source": {"path": "site"}}})
    tako("apply", "-f", "project/app.yaml")
    first = server.client.get(APPS, "production", "hello")["spec"]["source"]
    assert first["path"] == str(tmp_path / "project" / "site")
    assert tako("apply", "-f", "project/app.yaml").out == "app.tako.sh/hello unchanged\n"
    (tmp_path / "project" / "site" / "main.py").write_text("two")
    assert tako("apply", "-f", "project/app.yaml").out == "app.tako.sh/hello configured\n"
    assert server.client.get(APPS, "production", "hello")["spec"]["source"]["digest"] != first["digest"]


def test_a_source_that_is_not_there_is_a_warning_and_a_file_in_its_place_is_refused(tako: Tako, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    write(tmp_path / "a.yaml", {**app("hello"), "spec": {**app("x")["spec"], "source": {"path": "gone"}}})
    write(tmp_path / "b.yaml", {**app("world"), "spec": {**app("x")["spec"], "source": {"path": "file"}}})
    missing = tako("apply", "-f", "a.yaml")
    assert missing.code == 0
    assert f'spec.source.path: given "{tmp_path}/gone": does not exist on this host' in missing.err
    refused = tako("apply", "-f", "b.yaml")
    assert refused.code == 1
    assert (
        f'b.yaml (document 1, App/world): spec.source.path: given "{tmp_path}/file": must be a directory' in refused.err
    )


def test_diff_tells_by_its_exit_code_whether_something_differs(tako: Tako, tmp_path: Path) -> None:
    write(tmp_path / "app.yaml", app("hello"))
    added = tako("diff", "-f", "app.yaml")
    assert added.code == 1
    assert "+++ wanted/apps/production/hello" in added.out
    tako("apply", "-f", "app.yaml")
    assert tako("diff", "-f", "app.yaml") == (0, "", "")
    write(tmp_path / "app.yaml", app("hello", instances=4))
    changed = tako("diff", "-f", "app.yaml")
    assert changed.code == 1
    assert "-  instances: 1\n+  instances: 4\n" in changed.out
    write(tmp_path / "app.yaml", app("hello", instances="x"))
    assert tako("diff", "-f", "app.yaml").code == 2
    assert tako("diff", "-f", "nowhere.yaml").code == 2
    assert tako("diff", "-f", "app.yaml", env={"TAKO_API_SOCKET": "/nowhere"}).code == 2


def test_apply_takes_back_what_scale_ordered(tako: Tako, tmp_path: Path, server: Server) -> None:
    write(tmp_path / "app.yaml", app("hello", instances=1))
    tako("apply", "-f", "app.yaml")
    assert tako("scale", "app/hello", "--instances", "3").out == "app.tako.sh/hello scaled\n"
    assert server.client.get(APPS, "production", "hello")["spec"]["instances"] == 3
    assert tako("apply", "-f", "app.yaml").out == "app.tako.sh/hello configured\n"
    assert server.client.get(APPS, "production", "hello")["spec"]["instances"] == 1


def test_what_others_set_is_taken_over_only_by_force(tako: Tako, tmp_path: Path, server: Server) -> None:
    write(tmp_path / "app.yaml", app("hello", instances=1))
    tako("apply", "-f", "app.yaml")
    server.client.merge_patch(APPS, "production", "hello", {"spec": {"instances": 5}}, manager="somebody")
    refused = tako("apply", "-f", "app.yaml")
    assert refused.code == 1
    assert 'spec.instances: was set by "somebody"; take it over with --force-conflicts' in refused.err
    assert tako("apply", "-f", "app.yaml", "--force-conflicts").out == "app.tako.sh/hello configured\n"


def test_the_namespace_is_that_of_the_file_or_of_the_option_and_they_may_not_differ(
    tako: Tako, tmp_path: Path, server: Server
) -> None:
    elsewhere = app("hello")
    elsewhere["metadata"]["namespace"] = "staging"
    write(tmp_path / "app.yaml", elsewhere)
    tako("apply", "-f", "app.yaml")
    write(tmp_path / "plain.yaml", app("plain"))
    tako("apply", "-f", "plain.yaml", "-n", "testing")
    found = {(item["metadata"]["namespace"], item["metadata"]["name"]) for item in server.client.list(APPS)["items"]}
    assert found == {("staging", "hello"), ("testing", "plain")}
    assert 'metadata.namespace: given "staging": must be "other"' in tako("apply", "-f", "app.yaml", "-n", "other").err


def test_delete_by_file_and_by_name_and_a_missing_one_is_told(tako: Tako, tmp_path: Path, server: Server) -> None:
    write(tmp_path / "app.yaml", app("hello"), app("world"))
    tako("apply", "-f", "app.yaml")
    assert tako("delete", "app/hello", "--wait").out == "app.tako.sh/hello deleted\n"
    half = tako("delete", "-f", "app.yaml")
    assert (half.code, half.out) == (1, "app.tako.sh/world deleted\n")
    assert half.err == 'error: apps.tako.sh "hello" not found in namespace production\n'
    assert tako("delete", "-f", "app.yaml", "--ignore-not-found").code == 0
    with pytest.raises(RequestFailed):
        server.client.get(APPS, "production", "world")


def test_delete_of_everything_has_to_be_said(tako: Tako, tmp_path: Path, server: Server) -> None:
    write(tmp_path / "app.yaml", app("hello"), app("world"))
    tako("apply", "-f", "app.yaml")
    assert tako("delete", "apps").code == 2
    assert len(server.client.list(APPS)["items"]) == 2
    assert tako("delete", "apps", "--all").code == 0
    assert server.client.list(APPS)["items"] == []
