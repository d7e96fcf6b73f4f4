"""How immediate the CLI feels, beside kubectl on the same server."""

import shutil
import subprocess
import time
from collections.abc import Sequence

import yaml

from bench.table import Table, spread
from e2e.host import BIN, Host

ROUNDS = 20
DOCUMENTS = 200


def measure(host: Host) -> list[Table]:
    host.apply(host.document("hello"))
    tako, kubectl = str(BIN / "tako"), _kubectl(host)
    file = host.root / "many.yaml"
    file.write_text(yaml.safe_dump_all(_config_map(number) for number in range(DOCUMENTS)))
    commands = [("`tako --version`", [tako, "--version"]), ("`tako get apps -A`", [tako, "get", "apps", "-A"])]
    if kubectl:
        commands.append(("`kubectl get apps -A`", [*kubectl, "get", "apps", "-A"]))
    starts = tuple((name, *spread([_time(host, argv) for _ in range(ROUNDS)])) for name, argv in commands)
    applies = []
    for name, argv in [("tako", [tako]), ("kubectl", kubectl)]:
        if argv:
            first, again = (_time(host, [*argv, "apply", "-f", str(file)]) for _ in range(2))
            applies.append((f"`{name} apply`", f"{first:.2f} s", f"{again:.2f} s"))
            _time(host, [*argv, "delete", "-f", str(file)])
    return [
        Table(
            "CLI: from Enter to the prompt",
            f"{ROUNDS} runs each, files in the page cache.",
            ("command", "median", "p95", "worst"),
            starts,
        ),
        Table(
            f"Apply of {DOCUMENTS} documents",
            "ConfigMaps in one file, from the start of the command to its end.",
            ("command", "first", "again, unchanged"),
            tuple(applies),
        ),
    ]


def _kubectl(host: Host) -> list[str]:
    if shutil.which("kubectl") is None:
        return []
    config = host.root / "kubeconfig"
    config.write_text(host.tako("kubeconfig").stdout)
    return ["kubectl", "--kubeconfig", str(config)]


def _config_map(number: int) -> dict[str, object]:
    metadata = {"name": f"many-{number}", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"number": str(number)}}


def _time(host: Host, argv: Sequence[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(argv, env=host.environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout[-400:]}{done.stderr[-400:]}"
    return time.perf_counter() - began
