"""kubectl on a running host: what the real one does with real applications."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from e2e.host import Host, eventually

OLDEST = (1, 29)


def kubectl_version() -> tuple[int, int] | None:
    if shutil.which("kubectl") is None:
        return None
    said = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


VERSION = kubectl_version()
pytestmark = pytest.mark.skipif(
    VERSION is None or VERSION < OLDEST,
    reason=f"needs kubectl {OLDEST[0]}.{OLDEST[1]} or newer; on PATH there is {VERSION or 'none'}",
)


class Kubectl:
    def __init__(self, host: Host) -> None:
        self._host = host
        self.config = host.root / "kubeconfig"
        self.config.write_text(host.tako("kubeconfig").stdout)

    def __call__(self, *argv: str, stdin: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.config), *argv],
            input=stdin,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
            env={**self._host.environment, "KUBE_EDITOR": "sed -i s/instances:.1/instances:\\ 2/"},
        )
        if check:
            assert done.returncode == 0, f"kubectl {' '.join(argv)}\n{done.stdout}{done.stderr}"
        return done


@pytest.fixture
def kubectl(host: Host) -> Kubectl:
    return Kubectl(host)


def test_the_life_of_an_app_in_kubectl_commands(host: Host, kubectl: Kubectl) -> None:
    file = host.root / "app.yaml"
    file.write_text(yaml.safe_dump(host.document("hello", maxInstances=4)))
    assert "created" in kubectl("apply", "-f", str(file)).stdout
    kubectl("wait", "app/hello", "-n", "production", "--for=condition=Ready", "--timeout=30s")
    assert host.fetch("hello").json()["app"] == "hello"
    assert kubectl("get", "apps", "-A").stdout.splitlines()[0].split()[:3] == ["NAMESPACE", "NAME", "READY"]
    assert "hello.localhost" in kubectl("describe", "app/hello", "-n", "production").stdout
    assert "unchanged" in kubectl("apply", "-f", str(file)).stdout
    assert kubectl("diff", "-f", str(file), check=False).returncode == 0
    kubectl("scale", "app/hello", "-n", "production", "--replicas=3")
    host.await_healthy("hello", 3)
    assert "routes" in kubectl("explain", "app.spec").stdout
    assert kubectl("auth", "can-i", "create", "apps.tako.sh").stdout.strip() == "yes"
    kubectl("delete", "app/hello", "-n", "production", "--timeout=30s")
    eventually("nothing of hello", lambda: not host.instances("hello") and not host.orphans())


def test_edit_changes_what_runs(host: Host, kubectl: Kubectl) -> None:
    host.apply(host.document("hello", instances=1))
    kubectl("edit", "app/hello", "-n", "production")
    host.await_healthy("hello", 2)


def test_server_side_apply_by_two_managers_conflicts_until_it_is_forced(host: Host, kubectl: Kubectl) -> None:
    one = json.dumps(host.document("hello", instances=1, maxInstances=4))
    two = json.dumps(host.document("hello", instances=2, maxInstances=4))
    kubectl("apply", "--server-side", "--field-manager=a", "-f", "-", stdin=one)
    refused = kubectl("apply", "--server-side", "--field-manager=b", "-f", "-", stdin=two, check=False)
    assert refused.returncode != 0
    assert ".spec.instances" in refused.stderr
    kubectl("apply", "--server-side", "--field-manager=b", "--force-conflicts", "-f", "-", stdin=two)
    assert host.app("hello")["spec"]["instances"] == 2


def test_deleting_a_namespace_takes_its_apps_and_their_processes(host: Host, kubectl: Kubectl) -> None:
    document = host.document("hello")
    document["metadata"]["namespace"] = "staging"
    host.apply(document)
    kubectl("delete", "namespace", "staging", "--timeout=60s")
    eventually("nothing left", lambda: not host.instances("hello") and not host.orphans())


def test_nobody_without_the_token_is_answered(host: Host, kubectl: Kubectl, tmp_path: Path) -> None:
    config = yaml.safe_load(kubectl.config.read_text())
    config["users"][0]["user"] = {"token": "wrong"}
    wrong = tmp_path / "wrong"
    wrong.write_text(yaml.safe_dump(config))
    kubectl.config = wrong
    refused = kubectl("get", "apps", "-A", check=False)
    assert refused.returncode != 0
    assert "Unauthorized" in refused.stderr or "logged in" in refused.stderr
