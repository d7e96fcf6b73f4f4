"""What an instance is told, by environment and by envelope."""

import json
import re
from pathlib import Path

import pytest

from tako.host_agent.environment import envelope, http_environment, new_token
from tako.model.kinds.app import Runtime
from tako.model.names import DeploymentId, ReleaseId


def environment(runtime: Runtime | None = None, **env: str) -> dict[str, str]:
    return http_environment(
        DeploymentId("shop", "staging"),
        ReleaseId("v7"),
        runtime,
        env,
        data_app=Path("/d/apps/shop/staging/data/app"),
        internal_socket=Path("/d/internal.sock"),
        inherited={"PATH": "/bin", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": "leak", "LANG": "C"},
    )


def test_an_instance_gets_exactly_the_contracts_variables() -> None:
    assert environment(COLOUR="blue") == {
        "PATH": "/bin",
        "HOME": "/root",
        "COLOUR": "blue",
        "ENV": "staging",
        "TAKO_BUILD": "v7",
        "TAKO_DATA_DIR": "/d/apps/shop/staging/data/app",
        "PORT": "0",
        "HOST": "127.0.0.1",
        "TAKO_APP_NAME": "shop/staging",
        "TAKO_INTERNAL_SOCKET": "/d/internal.sock",
        "NODE_ENV": "production",
    }


@pytest.mark.parametrize(
    ("runtime", "added"),
    [
        (Runtime.NODE, {"TAKO_APP_ROOT": "src"}),
        (Runtime.BUN, {"TAKO_APP_ROOT": "src", "BUN_ENV": "production"}),
        (Runtime.GO, {}),
        (Runtime.PYTHON_ASGI, {}),
    ],
)
def test_a_runtime_adds_its_defaults(runtime: Runtime, added: dict[str, str]) -> None:
    assert environment(runtime) == environment() | added


def test_the_apps_variables_win_over_defaults_and_lose_against_what_tako_sets() -> None:
    seen = environment(Runtime.BUN, NODE_ENV="test", BUN_ENV="test", TAKO_APP_ROOT="lib", PATH="/mine", PORT="80")
    assert (seen["NODE_ENV"], seen["BUN_ENV"], seen["TAKO_APP_ROOT"], seen["PATH"]) == ("test", "test", "lib", "/mine")
    assert seen["PORT"] == "0"


def test_the_envelope_has_three_keys_and_no_newline() -> None:
    content = envelope("tok", {"DB_URL": "grün"}, {"up": {"provider": "local", "force_path_style": False}})
    assert json.loads(content) == {
        "token": "tok",
        "secrets": {"DB_URL": "grün"},
        "storages": {"up": {"provider": "local", "force_path_style": False}},
    }
    assert b"\n" not in content
    assert envelope("tok") == b'{"token":"tok","secrets":{},"storages":{}}'


def test_tokens_are_32_characters_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", token) for token in tokens)
