"""The production install of a release: what its package manager brings, when it did not come with it."""

import asyncio
import os
import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tako.host_agent.argv import downloaded, find_python
from tako.host_agent.isolation import AppUser
from tako.host_agent.layout import Layout
from tako.model.errors import Refused
from tako.model.kinds.app import Runtime
from tako.model.kinds.release import ReleaseSpec

TIMEOUT_SECONDS = 600.0
_TAIL_BYTES = 4000

# By lock file, in the order in which they are looked for.
_MANAGERS: tuple[tuple[str, str], ...] = (
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
    ("package-lock.json", "npm"),
)
_COMMANDS: Mapping[str, str] = {
    "bun": "bun install --production",
    "npm": "npm ci --omit=dev || npm install --omit=dev",
    "pnpm": "pnpm install --prod",
    "yarn": "yarn install --production",
}


async def install(spec: ReleaseSpec, release: Path, layout: Layout, owner: AppUser | None) -> None:
    """Run the install of the release's runtime, where one is due; Refused with the tail of its output."""
    if spec.start is not None or spec.runtime is None:
        return
    directory = release / (spec.install_dir or spec.app_dir or "")
    command = _command(spec.runtime, directory, layout)
    if command is None:
        return
    await _run(command, directory, _path(layout), owner)


def _command(runtime: Runtime, directory: Path, layout: Layout) -> str | None:
    if runtime in (Runtime.NODE, Runtime.BUN):
        if not (directory / "package.json").exists() or (directory / "node_modules").exists():
            return None
        found = (manager for lock, manager in _MANAGERS if (directory / lock).exists())
        return _COMMANDS[next(found, "bun" if runtime is Runtime.BUN else "npm")]
    if runtime in (Runtime.PYTHON_ASGI, Runtime.PYTHON_WSGI):
        if not (directory / "requirements.txt").exists() or (directory / ".venv").exists():
            return None
        # Packages that the interpreter has already, our SDK among them, stay visible.
        python = shlex.quote(find_python(directory, directory, layout.runtimes))
        make = f"{python} -m venv --system-site-packages .venv"
        return f"{make} && .venv/bin/python -m pip install --quiet -r requirements.txt"
    return None


def _path(layout: Layout) -> str:
    tools = [Path(found).parent for found in _downloaded_tools(layout)]
    return os.pathsep.join([*map(str, tools), os.environ.get("PATH", os.defpath)])


def _downloaded_tools(layout: Layout) -> Sequence[str]:
    binaries = (("bun", "bun"), ("node", "bin/node"))
    return [found for tool, binary in binaries if (found := downloaded(layout.runtimes, tool, binary))]


async def _run(command: str, directory: Path, path: str, owner: AppUser | None) -> None:
    home = directory / ".install-home"
    home.mkdir(exist_ok=True)
    if owner is not None:
        os.chown(home, owner.uid, owner.gid)
    process = await asyncio.create_subprocess_shell(
        command,
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": path, "HOME": str(home), **_passed_on()},
        start_new_session=True,
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=owner.groups if owner else None,
    )
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            output, _ = await _output(process)
    except TimeoutError:
        raise Refused(f"`{command}` did not finish within {TIMEOUT_SECONDS:.0f} s in {directory}") from None
    finally:
        # Caches of a package manager are thousands of files.
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
    if process.returncode != 0:
        tail = output[-_TAIL_BYTES:].decode("utf-8", "replace").strip()
        raise Refused(f"`{command}` exited with {process.returncode}; its last output:\n{tail}")


async def _output(process: asyncio.subprocess.Process) -> tuple[bytes, bytes]:
    """Return what it prints until it ends. Whoever stops waiting, also by stopping the server, ends it."""
    try:
        return await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise


def _passed_on() -> dict[str, str]:
    # Where packages come from and through which proxy is the host's business; nothing else of our environment is.
    prefixes = ("PIP_", "NPM_CONFIG_", "npm_config_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return {name: value for name, value in os.environ.items() if name.startswith(prefixes)}
