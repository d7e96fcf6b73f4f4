"""The commands an operator lives in, one after another, as they are typed."""

import json
import subprocess
import time

import yaml

from e2e.host import BIN, Host, eventually


def write(host: Host, *documents: dict[str, object], name: str = "app.yaml") -> str:
    path = host.root / name
    path.write_text(yaml.safe_dump_all(documents))
    return str(path)


def test_apply_says_of_each_document_what_became_of_it(host: Host) -> None:
    one, two = host.document("one"), host.document("two")
    file = write(host, one, two)
    assert host.tako("apply", "-f", file, "--dry-run").stdout.count("created") == 2
    assert host.documents("apps.tako.sh") == []
    assert host.tako("apply", "-f", file, "--wait").stdout.count("created") == 2
    write(host, one, host.document("two", instances=2))
    again = host.tako("apply", "-f", file, "--wait").stdout.splitlines()
    assert [("one" in line, "unchanged" in line) for line in again[:1]] == [(True, True)]
    assert any("two" in line and "configured" in line for line in again)


def test_a_directory_and_standard_input_are_applied_as_a_file_is(host: Host) -> None:
    directory = host.root / "declared"
    directory.mkdir()
    for name in ("one", "two"):
        (directory / f"{name}.yaml").write_text(yaml.safe_dump(host.document(name)))
    assert host.tako("apply", "-f", str(directory)).stdout.count("created") == 2
    assert "unchanged" in host.tako("apply", "-f", "-", stdin=(directory / "one.yaml").read_text()).stdout


def test_diff_tells_by_its_exit_code_whether_apply_would_change_anything(host: Host) -> None:
    file = write(host, host.document("hello"))
    assert host.tako("diff", "-f", file, check=False).returncode == 1
    host.tako("apply", "-f", file, "--wait")
    assert host.tako("diff", "-f", file).stdout == ""
    write(host, host.document("hello", instances=2))
    changed = host.tako("diff", "-f", file, check=False)
    assert changed.returncode == 1
    assert "+  instances: 2" in changed.stdout
    assert host.tako("diff", "-f", "nowhere.yaml", check=False).returncode == 2


def test_get_shows_the_columns_and_every_output_form(host: Host) -> None:
    host.apply(host.document("hello", instances=2))
    table = host.tako("get", "apps", "-A").stdout.splitlines()
    assert table[0].split() == ["NAMESPACE", "NAME", "READY", "INSTANCES", "RELEASE", "URL", "AGE"]
    assert table[1].split()[:4] == ["production", "hello", "True", "2/2"]
    assert f"https://hello.localhost:{host.https_port}" in table[1]
    arguments = ("get", "app", "hello", "-n", "production", "-o")
    assert json.loads(host.tako(*arguments, "json").stdout)["metadata"]["name"] == "hello"
    assert yaml.safe_load(host.tako(*arguments, "yaml").stdout)["spec"]["instances"] == 2
    assert "hello" in host.tako(*arguments, "name").stdout
    assert "MESSAGE" in host.tako(*arguments, "wide").stdout
    missing = host.tako("get", "app", "nobody", "-n", "production", check=False)
    assert missing.returncode == 1
    assert "nobody" in missing.stderr


def test_scale_and_wait(host: Host) -> None:
    host.apply(host.document("hello", maxInstances=4))
    host.tako("scale", "app/hello", "-n", "production", "--instances", "3")
    host.tako("wait", "app/hello", "-n", "production", "--for=condition=Ready", "--timeout", "30s")
    host.await_healthy("hello", 3)
    late = host.tako("wait", "app/hello", "-n", "production", "--for=condition=Never", "--timeout", "1s", check=False)
    assert late.returncode != 0
    refused = host.tako("scale", "app/hello", "-n", "production", "--instances", "9", check=False)
    assert refused.returncode != 0
    assert "4" in refused.stderr


def test_describe_events_and_explain_speak_to_a_person(host: Host) -> None:
    host.apply(host.document("hello"))
    described = host.tako("describe", "app/hello", "-n", "production").stdout
    for wanted in ("hello", "production", "Ready", "hello.localhost", "Events"):
        assert wanted in described
    assert "hello" in host.tako("events", "-n", "production").stdout
    assert "path" in host.tako("explain", "app.spec.routes").stdout


def test_logs_show_what_the_instances_print_and_follow_it(host: Host) -> None:
    host.apply(host.document("hello"))
    (name,) = host.await_healthy("hello", 1)
    # The application prints its own id; the document's name has that of the app before it.
    eventually("the boot line", lambda: f"{name.replace('-', ' ')} listens" in logs(host))
    argv = [str(BIN / "tako"), "logs", "app/hello", "-n", "production", "-f"]
    with subprocess.Popen(argv, env=host.environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        try:
            host.tako("scale", "app/hello", "-n", "production", "--instances", "2")
            (other,) = eventually("a second one", lambda: set(host.healthy("hello")) - {name})
            until = time.monotonic() + 20
            while f"{other.replace('-', ' ')} listens" not in following.stdout.readline():
                assert time.monotonic() < until
        finally:
            following.kill()


def logs(host: Host) -> str:
    return host.tako("logs", "app/hello", "-n", "production").stdout


def test_delete_takes_the_processes_and_the_route_with_it(host: Host) -> None:
    file = write(host, host.document("hello", instances=2))
    host.tako("apply", "-f", file, "--wait")
    host.tako("delete", "-f", file)
    eventually("nothing of hello", lambda: not host.instances("hello") and not host.orphans())
    assert host.fetch("hello").status == 404
    for kind in ("apps", "releases", "routes"):
        assert host.documents(f"{kind}.tako.sh") == []


def test_drift_is_empty_when_all_is_as_declared_and_tells_what_is_not(host: Host) -> None:
    host.apply(host.document("hello"))
    calm = host.tako("drift", check=False)
    assert calm.returncode == 0, calm.stdout
    host.apply(host.document("bad", env={"MODE": "exit"}), wait=False)
    eventually("Ready=False", lambda: host.condition("bad").get("status") == "False")
    assert "bad" in host.tako("drift", check=False).stdout


def test_the_commands_answer_without_a_server_with_the_way_out(stopped_host: Host) -> None:
    assert stopped_host.tako("--version").stdout.strip()
    refused = stopped_host.tako("get", "apps", check=False)
    assert refused.returncode != 0
    assert str(stopped_host.socket) in refused.stderr
    assert "tako-server" in refused.stderr
    assert "Traceback" not in refused.stderr
