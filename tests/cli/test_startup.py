"""The commands that people wait for load little; what they load is held here, for times depend on the machine."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import PROGRAM, Server, Tako, surroundings

LISTING = "import sys; from tako.cli.main import main; main(sys.argv[1:]); print(*sorted(sys.modules), file=sys.stderr)"
SLOW = {"typer", "yaml", "pydantic", "aiohttp", "http.client", "ssl", "asyncio", "inspect", "dataclasses", "pathlib"}


def loaded(home: Path, *words: str) -> set[str]:
    where = surroundings(home, TAKO_API_SOCKET=str(home / "data" / "api.sock"))
    ended = subprocess.run(
        [sys.executable, "-c", LISTING, *words], env=where, capture_output=True, text=True, check=True
    )
    return set(ended.stderr.split())


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("words", [["get", "apps", "-A"], ["get", "apps", "-o", "json"], ["events"], ["drift"]])
def test_reading_commands_load_none_of_the_slow_modules(tmp_path: Path, words: list[str]) -> None:
    assert loaded(tmp_path, *words) & SLOW == set()


def test_the_version_loads_next_to_nothing(tmp_path: Path) -> None:
    assert loaded(tmp_path, "--version") & (SLOW | {"json", "socket", "typing", "re"}) == set()


def test_apply_loads_neither_typer_nor_the_servers_libraries(tmp_path: Path, server: Server) -> None:
    (tmp_path / "app.yaml").write_text(
        "apiVersion: tako.sh/v1\nkind: App\nmetadata: {name: hello}\n"
        f"spec: {{source: {{path: {tmp_path}}}, runtime: node, main: a.js}}\n"
    )
    assert (
        loaded(tmp_path, "apply", "-f", str(tmp_path / "app.yaml"), "--dry-run")
        & {
            "typer",
            "pydantic",
            "aiohttp",
            "asyncio",
            "cryptography",
        }
        == set()
    )


def test_the_version_names_base_and_commit(tako: Tako) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[0-9a-f]{7})?\n", tako("--version").out)


def test_help_lists_every_command_and_those_of_one_command_its_options(tako: Tako) -> None:
    assert "kubeconfig" in tako("--help").out
    assert "--field-selector" in tako("get", "-h").out
    assert tako().code == 2


def test_a_reader_that_goes_away_is_no_error_to_talk_about(server: Server, tmp_path: Path) -> None:
    where = surroundings(tmp_path, TAKO_API_SOCKET=str(server.socket))
    with subprocess.Popen(
        [*PROGRAM, "get", "ns", "-o", "yaml"], env=where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 1
