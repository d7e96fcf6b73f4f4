"""Command lines as the process contract has them."""

from pathlib import Path

import pytest

from tako.host_agent.argv import http_argv
from tako.model.errors import Refused
from tako.model.kinds.app import Runtime
from tako.model.names import InstanceId

ID = InstanceId("abcd1234")
SDK = "node_modules/tako.sh/dist/entrypoints"


def argv_of(
    root: Path, runtime: Runtime | None = None, main: str | None = None, start: list[str] | None = None
) -> tuple[str, ...]:
    return http_argv(
        runtime,
        main,
        start,
        app_dir=root / "app",
        install_dir=root / "install",
        runtimes=root / "runtimes",
        instance=ID,
        path=str(root / "bin"),
    )


def program(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("runtime", "main", "start", "argv"),
    [
        (Runtime.BUN, "index.ts", None, ("bun", "run", f"{SDK}/bun-server.mjs", "index.ts")),
        (
            Runtime.NODE,
            "index.js",
            None,
            ("node", "--experimental-strip-types", f"{SDK}/node-server.mjs", "index.js"),
        ),
        (Runtime.GO, "app", None, ("app",)),
        (Runtime.PYTHON_ASGI, "main:app", None, ("python3", "-m", "tako_sh", "asgi", "main:app")),
        (Runtime.PYTHON_WSGI, "main:app", None, ("python3", "-m", "tako_sh", "wsgi", "main:app")),
        (None, None, ["./serve", "--fast"], ("./serve", "--fast")),
        (None, "index.js", ["deno", "run", "{main}", "x{main}"], ("deno", "run", "index.js", "x{main}")),
        (Runtime.NODE, "index.js", ["mine"], ("mine",)),
    ],
    ids=["bun", "node", "go", "asgi", "wsgi", "start", "placeholder", "start wins"],
)
def test_with_nothing_on_disk_names_are_passed_as_they_are(
    tmp_path: Path, runtime: Runtime | None, main: str | None, start: list[str] | None, argv: tuple[str, ...]
) -> None:
    assert argv_of(tmp_path, runtime, main, start) == (*argv, "--instance", ID)


def test_files_that_exist_become_absolute(tmp_path: Path) -> None:
    main = program(tmp_path / "app/index.js")
    sdk = program(tmp_path / "install" / SDK / "node-server.mjs")
    program(tmp_path / "app" / SDK / "node-server.mjs")  # only the install directory counts
    assert argv_of(tmp_path, Runtime.NODE, "index.js")[2:4] == (sdk, main)
    assert argv_of(tmp_path, Runtime.GO, "index.js")[0] == main


def test_a_downloaded_runtime_of_the_highest_version_is_taken_before_path(tmp_path: Path) -> None:
    on_path = program(tmp_path / "bin/node")
    assert argv_of(tmp_path, Runtime.NODE, "x")[0] == on_path
    program(tmp_path / "runtimes/node/9.11.2/bin/node")
    program(tmp_path / "runtimes/node/22.1.0-rc1/bin/node")
    newest = program(tmp_path / "runtimes/node/22.1.0/bin/node")
    assert argv_of(tmp_path, Runtime.NODE, "x")[0] == newest
    bun = program(tmp_path / "runtimes/bun/1.3.14/bun")
    assert argv_of(tmp_path, Runtime.BUN, "x")[0] == bun


def test_python_is_the_apps_own_then_the_install_directorys_then_downloaded_then_on_path(tmp_path: Path) -> None:
    places = ["bin/python3", "runtimes/python/3.12.1/bin/python", "install/.venv/bin/python", "app/.venv/bin/python"]
    for place in places:
        expected = program(tmp_path / place)
        assert argv_of(tmp_path, Runtime.PYTHON_ASGI, "main:app")[0] == expected


@pytest.mark.parametrize(
    ("runtime", "main", "start", "message"),
    [
        (None, "main.py", None, "set spec.runtime, or spec.start"),
        (Runtime.NODE, None, None, "spec.main is needed with runtime node"),
        (None, None, ["node", "{main}"], "spec.start uses {main}, but spec.main is not set"),
    ],
)
def test_what_cannot_be_started_is_refused_with_what_to_set(
    tmp_path: Path, runtime: Runtime | None, main: str | None, start: list[str] | None, message: str
) -> None:
    with pytest.raises(Refused) as refused:
        argv_of(tmp_path, runtime, main, start)
    assert message in str(refused.value)
