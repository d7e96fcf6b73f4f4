"""The command line of an instance, as the process contract has it. Looks at files, runs nothing."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from tako.model.errors import Refused
from tako.model.kinds.app import Runtime
from tako.model.names import InstanceId

_SDK = "node_modules/tako.sh/dist/entrypoints"


def http_argv(
    runtime: Runtime | None,
    main: str | None,
    start: Sequence[str] | None,
    *,
    app_dir: Path,
    install_dir: Path,
    runtimes: Path,
    instance: InstanceId,
    path: str | None = None,
) -> tuple[str, ...]:
    """Return the command line of an HTTP instance; `path` is the PATH that bare names are looked up in.

    Raises `Refused` when neither `start` nor `runtime` says how `main` is started.
    """
    if start:
        command = _resolved(start, main, app_dir, install_dir)
    elif runtime is None:
        raise Refused("nothing says how to start the app: set spec.runtime, or spec.start with a command")
    elif not main:
        raise Refused(f"spec.main is needed with runtime {runtime}: the file or module to start")
    elif runtime in (Runtime.PYTHON_ASGI, Runtime.PYTHON_WSGI):
        interface = runtime.removeprefix("python-")
        command = (find_python(app_dir, install_dir, runtimes, path), "-m", "tako_sh", interface, main)
    elif runtime is Runtime.GO:
        command = _resolved(["{main}"], main, app_dir, install_dir)
    else:
        command = _resolved(_javascript(runtime, runtimes, path), main, app_dir, install_dir)
    return (*command, "--instance", instance)


def find_python(app_dir: Path, install_dir: Path, runtimes: Path, path: str | None = None) -> str:
    """Return the interpreter for an app: its own virtual environment, a downloaded one, or python3 on PATH."""
    for directory in (app_dir, install_dir):
        own = directory / ".venv" / "bin" / "python"
        if own.exists():
            return str(own)
    return downloaded(runtimes, "python", "bin/python") or shutil.which("python3", path=path) or "python3"


def downloaded(runtimes: Path, tool: str, binary: str) -> str | None:
    """Return the binary of the highest version of `tool` below `runtimes`."""
    found = [path for path in runtimes.glob(f"{tool}/*/{binary}") if path.exists()]
    depth = len(Path(binary).parts)
    newest = max(found, key=lambda path: _version(path.parts[-depth - 1]), default=None)
    return str(newest) if newest else None


def _version(text: str) -> tuple[tuple[int, int, str], ...]:
    """Order versions by their numbers: 10.0.0 is higher than 9.9.9, and 1.0.0 than 1.0.0-rc1."""
    parts = text.replace("-", ".").split(".")
    return (*((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts), (1, -1, ""))


def _javascript(runtime: Runtime, runtimes: Path, path: str | None) -> tuple[str, ...]:
    if runtime is Runtime.BUN:
        bun = downloaded(runtimes, "bun", "bun") or shutil.which("bun", path=path) or "bun"
        return (bun, "run", f"{_SDK}/bun-server.mjs", "{main}")
    node = downloaded(runtimes, "node", "bin/node") or shutil.which("node", path=path) or "node"
    return (node, "--experimental-strip-types", f"{_SDK}/node-server.mjs", "{main}")


def _resolved(command: Sequence[str], main: str | None, app_dir: Path, install_dir: Path) -> tuple[str, ...]:
    return tuple(_argument(argument, main, app_dir, install_dir) for argument in command)


def _argument(argument: str, main: str | None, app_dir: Path, install_dir: Path) -> str:
    if argument == "{main}":
        if not main:
            raise Refused("spec.start uses {main}, but spec.main is not set")
        file = app_dir / main
        return str(file) if file.is_file() else main
    if argument.startswith("node_modules/") and (install_dir / argument).is_file():
        return str(install_dir / argument)
    return argument
