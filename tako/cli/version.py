"""Which Tako this is: ``<base>-<sha7>``."""

import os

from tako import VERSION

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100,PTH120 - pathlib costs 5 ms


def version() -> str:
    """The version with the commit it was built from, where that is known."""
    commit = _read(os.path.join(_PACKAGE, "commit")) or _checked_out(os.path.dirname(_PACKAGE))  # noqa: PTH118,PTH120
    return f"{VERSION}-{commit[:7]}" if commit else VERSION


def _checked_out(root: str) -> str:
    """The commit of the working tree that this runs from, without starting git."""
    git = os.path.join(root, ".git")  # noqa: PTH118
    if (link := _read(git)).startswith("gitdir: "):
        git = os.path.join(root, link.removeprefix("gitdir: "))  # noqa: PTH118
    head = _read(os.path.join(git, "HEAD"))  # noqa: PTH118
    if not head.startswith("ref: "):
        return head
    name = head.removeprefix("ref: ")
    shared = os.path.join(git, _read(os.path.join(git, "commondir")) or ".")  # noqa: PTH118
    return _read(os.path.join(shared, name)) or _packed(_read(os.path.join(shared, "packed-refs")), name)  # noqa: PTH118


def _packed(refs: str, name: str) -> str:
    found = (line.split(" ")[0] for line in refs.splitlines() if line.endswith(f" {name}"))
    return next(found, "")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read().strip()
    except OSError:
        return ""
