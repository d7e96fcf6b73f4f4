"""Real kubectl, driven as people drive it."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tako.api.credentials import kubeconfig
from tests.api.conftest import Served

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

HELLO = """
apiVersion: tako.sh/v1
kind: App
metadata:
  name: hello
spec:
  source: {path: /srv/hello}
  runtime: node
  main: index.mjs
  routes: [hello.localhost]
"""
WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, shortNames: [wd]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    selectableFields: [{jsonPath: .spec.color}]
    additionalPrinterColumns: [{name: Color, type: string, jsonPath: .spec.color}]
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [color]
            properties:
              color: {type: string, enum: [red, blue], description: What it looks like.}
              size: {type: integer, default: 3}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""


class Kubectl:
    """Calls kubectl with a kubeconfig; a failure fails the test unless it is expected."""

    def __init__(self, config: Path) -> None:
        self._config = config

    def __call__(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        result = self.run(*arguments, stdin=stdin)
        text = result.stdout + result.stderr
        assert (result.returncode != 0) == fails, text
        return text

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--kubeconfig", str(self._config), "--cache-dir", str(self._config.parent), *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)


@pytest.fixture
def kubectl(served: Served, tmp_path: Path) -> Kubectl:
    config = tmp_path / "kubeconfig"
    config.write_text(kubeconfig(served.url, served.ca_pem, served.token))
    return Kubectl(config)


def test_apply_says_created_unchanged_configured(kubectl: Kubectl) -> None:
    assert "app.tako.sh/hello created" in kubectl("apply", "-f", "-", stdin=HELLO)
    assert "app.tako.sh/hello unchanged" in kubectl("apply", "-f", "-", stdin=HELLO)
    more = HELLO.replace("runtime: node", "runtime: node\n  instances: 2")
    assert "app.tako.sh/hello configured" in kubectl("apply", "-f", "-", stdin=more)


def test_diff_shows_what_apply_would_change_and_changes_nothing(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=HELLO)
    assert kubectl.run("diff", "-f", "-", stdin=HELLO).returncode == 0
    changed = kubectl.run("diff", "-f", "-", stdin=HELLO.replace("index.mjs", "other.mjs"))
    assert changed.returncode == 1
    assert "+  main: other.mjs" in changed.stdout
    assert "index.mjs" in kubectl("get", "app", "hello", "-o", "jsonpath={.spec.main}")


def test_server_side_apply_tracks_owners_and_refuses_to_take_from_others(kubectl: Kubectl) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin=HELLO)
    other = HELLO.replace("index.mjs", "other.mjs")
    refused = kubectl("apply", "--server-side", "--field-manager=second", "-f", "-", stdin=other, fails=True)
    assert ".spec.main" in refused
    kubectl("apply", "--server-side", "--field-manager=second", "--force-conflicts", "-f", "-", stdin=other)
    assert kubectl("get", "app", "hello", "-o", "jsonpath={.spec.main}") == "other.mjs"
    # What a manager leaves out goes, when nobody else wants it.
    kubectl("apply", "--server-side", "-f", "-", stdin=HELLO + "  env: {A: b}\n", fails=True)
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=HELLO + "  env: {A: b}\n")
    kubectl("apply", "--server-side", "-f", "-", stdin=HELLO)
    assert "A" not in kubectl("get", "app", "hello", "-o", "jsonpath={.spec.env}")


def test_client_side_apply_may_move_to_server_side(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=HELLO)
    kubectl("apply", "--server-side", "-f", "-", stdin=HELLO.replace("index.mjs", "other.mjs"))
    assert kubectl("get", "app", "hello", "-o", "jsonpath={.spec.main}") == "other.mjs"


def test_scale_and_its_precondition(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=HELLO)
    kubectl("scale", "app/hello", "--replicas=3", "--current-replicas=1")
    assert kubectl("get", "app", "hello", "-o", "jsonpath={.spec.instances}") == "3"
    kubectl("scale", "app/hello", "--replicas=4", "--current-replicas=1", fails=True)


def test_bad_documents_are_refused_by_field(kubectl: Kubectl) -> None:
    unknown = kubectl("apply", "-f", "-", stdin=HELLO.replace("  main:", "  maim:"), fails=True)
    assert 'unknown field "spec.maim"' in unknown
    wrong = kubectl("apply", "-f", "-", stdin=HELLO.replace("runtime: node", "runtime: cobol"), fails=True)
    assert "spec.runtime" in wrong and "cobol" in wrong
    warned = kubectl("apply", "--validate=warn", "-f", "-", stdin=HELLO + "  colour: red\n")
    assert 'Warning: unknown field "spec.colour"' in warned


def test_patch_types_labels_annotations_and_edit(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=HELLO)
    kubectl("patch", "app", "hello", "--type=merge", "-p", '{"spec":{"instances":2}}')
    kubectl("patch", "app", "hello", "--type=json", "-p", '[{"op":"replace","path":"/spec/instances","value":3}]')
    strategic = kubectl("patch", "app", "hello", "-p", '{"spec":{"instances":4}}', fails=True)
    assert "application/merge-patch+json" in strategic
    kubectl("label", "app", "hello", "tier=web")
    kubectl("annotate", "app", "hello", "note=x")
    assert kubectl("get", "apps", "-l", "tier in (web)", "-o", "name").strip() == "app.tako.sh/hello"
    kubectl("patch", "app", "hello", "--subresource=status", "--type=merge", "-p", '{"status":{"url":"https://x"}}')
    assert kubectl("get", "app", "hello", "-o", "jsonpath={.status.url} {.spec.instances}") == "https://x 3"


def test_tables_and_other_outputs(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=HELLO)
    header = kubectl("get", "apps").splitlines()[0].split()
    assert header == ["NAME", "READY", "INSTANCES", "RELEASE", "URL", "AGE"]
    assert "MESSAGE" in kubectl("get", "ap", "-A", "-o", "wide")
    assert json.loads(kubectl("get", "tako", "-o", "json"))["items"][0]["kind"] == "App"
    assert "hello" in kubectl("get", "apps", "--sort-by=.metadata.name", "--chunk-size=1")
    assert "hello" in kubectl("get", "apps", "--field-selector=spec.runtime=node")
    assert "No resources found" in kubectl("get", "apps", "--field-selector=spec.runtime=bun")
    assert "index.mjs" in kubectl("describe", "app", "hello")
    assert "<[]string>" in kubectl("explain", "app.spec.routes")
    assert "drainTimeoutSeconds" in kubectl("explain", "app.spec", "--recursive")


def test_wait_for_conditions_fields_and_deletion(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=HELLO)
    status = {
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Serving", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        ]
    }
    kubectl("patch", "app", "hello", "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    kubectl("wait", "app/hello", "--for=condition=Ready", "--timeout=5s")
    kubectl("wait", "app/hello", "--for=jsonpath={.spec.instances}=1", "--timeout=5s")
    kubectl("delete", "app", "hello", "--wait=false")
    kubectl("wait", "app/hello", "--for=delete", "--timeout=5s")


def test_typed_commands_and_namespaces(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "staging")
    kubectl("create", "configmap", "settings", "--from-literal=a=b", "-n", "staging")
    kubectl("create", "secret", "generic", "token", "--from-literal=a=b", "-n", "staging")
    assert kubectl("get", "secret", "token", "-n", "staging", "-o", "jsonpath={.data.a}") == "Yg=="
    kubectl("patch", "configmap", "settings", "-n", "staging", "-p", '{"data":{"c":"d"}}')
    assert kubectl("auth", "can-i", "delete", "apps").strip() == "yes"
    assert "tako:admin" in kubectl("auth", "whoami")
    kubectl("delete", "namespace", "staging", "--timeout=20s")
    kubectl("get", "namespace", "staging", fails=True)


def test_dry_run_create_replace_and_delete(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", "--dry-run=server", stdin=HELLO)
    kubectl("get", "app", "hello", fails=True)
    kubectl("create", "-f", "-", stdin=HELLO)
    assert "already exists" in kubectl("create", "-f", "-", stdin=HELLO, fails=True)
    kubectl("replace", "-f", "-", stdin=HELLO.replace("index.mjs", "other.mjs"))
    kubectl("delete", "apps", "--all", "--cascade=foreground", "--timeout=20s")
    assert "No resources found" in kubectl("get", "apps")


def test_a_kind_that_a_user_brings(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WIDGETS)
    kubectl("wait", "crd/widgets.example.com", "--for=condition=Established", "--timeout=5s")
    widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: one}\nspec: {color: red}\n"
    kubectl("apply", "-f", "-", stdin=widget)
    assert kubectl("get", "wd", "one", "-o", "jsonpath={.spec.size}") == "3"
    assert "COLOR" in kubectl("get", "wd", "--field-selector=spec.color=red")
    assert "green" in kubectl("apply", "-f", "-", stdin=widget.replace("red", "green"), fails=True)
    assert "What it looks like." in kubectl("explain", "widget.spec.color")
    kubectl("delete", "crd", "widgets.example.com", "--timeout=20s")
    kubectl("get", "widgets", fails=True)


def test_events_are_listed_for_their_object(kubectl: Kubectl, served: Served) -> None:
    kubectl("apply", "-f", "-", stdin=HELLO)
    doc = served.run(served.api.resources.get("apps.tako.sh", "production", "hello"))
    served.run(served.api.resources.event(doc, "Warning", "Crashed", "it exited with 1"))
    for listing in (("events", "--for=app/hello"), ("get", "events"), ("describe", "app", "hello")):
        assert "it exited with 1" in kubectl(*listing)


def test_a_watch_shows_changes_as_a_table(kubectl: Kubectl, served: Served, tmp_path: Path) -> None:
    kubectl("apply", "-f", "-", stdin=HELLO)
    command: Callable[..., subprocess.CompletedProcess[str]] = kubectl.run
    shown = command("get", "apps", "-w", "--output-watch-events", "--request-timeout=1s")
    assert shown.stdout.splitlines()[0].split()[:3] == ["EVENT", "NAME", "READY"]
    assert "ADDED" in shown.stdout
