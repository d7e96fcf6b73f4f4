"""Where this user's server is: written for the CLI, which otherwise looks below the default data directory."""

import json
import os
from pathlib import Path

from tako.adapters.files import replace_file
from tako.host_agent.layout import Layout
from tako.server.settings import DEFAULT_DATA_DIR

NAME = "local-server.json"


def user_data_dir() -> Path:
    """Return the CLI's data directory: TAKO_HOME, or XDG's."""
    if home := os.environ.get("TAKO_HOME"):
        return Path(home)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "tako"


def write(layout: Layout) -> None:
    """Name our socket; the latest server of this user wins."""
    if layout.data_dir == DEFAULT_DATA_DIR:
        return
    path = user_data_dir() / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"socket": str(layout.api_socket), "data_dir": str(layout.data_dir), "pid": os.getpid()})
    replace_file(path, f"{text}\n".encode())


def keep(layout: Layout) -> None:
    """Name our socket again where nobody does: another server of this user had its turn and has ended."""
    try:
        named = int(json.loads((user_data_dir() / NAME).read_text())["pid"])
        os.kill(named, 0)
    except (OSError, ValueError, KeyError, TypeError):
        write(layout)


def remove(layout: Layout) -> None:
    """Take the name away, unless another server has written its own."""
    path = user_data_dir() / NAME
    try:
        if json.loads(path.read_text()).get("pid") == os.getpid():
            path.unlink()
    except (OSError, ValueError):
        return
