"""The real `kubernetes` Python client, in an environment of its own: kopf behaves differently where it is installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tako.api.credentials import kubeconfig
from tests.api.conftest import Served

_SCRIPT = Path(__file__).with_name("python_client.py")


@pytest.fixture(scope="session")
def client_python(request: pytest.FixtureRequest) -> Path:
    """A Python that has the client; made once and kept with pytest's cache."""
    cache = request.config.cache
    assert cache is not None
    environment = cache.mkdir("kubernetes-client")
    python = environment / "bin" / "python"
    if subprocess.run([python, "-c", "import kubernetes"], capture_output=True).returncode if python.exists() else True:
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        install = [python, "-m", "pip", "install", "-q", "kubernetes>=31,<36"]
        if subprocess.run(install, capture_output=True, timeout=110).returncode:
            pytest.skip("the kubernetes package cannot be installed here")
    return Path(python)


@pytest.mark.timeout(180)
def test_the_python_client_writes_reads_watches_and_applies(
    served: Served, client_python: Path, tmp_path: Path
) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text(kubeconfig(served.url, served.ca_pem, served.token))
    result = subprocess.run([client_python, _SCRIPT, config], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "generation": 1,
        "stored": [2, "https://x"],
        "scale": 2,
        "watched": ["MODIFIED", "MODIFIED"],
        "twice": 409,
        "configmap": {"a": "b"},
        "namespaces": ["default", "production"],
        "established": ["Established", "NamesAccepted"],
        "applied": {"A": "b"},
        "left": 0,
    }
