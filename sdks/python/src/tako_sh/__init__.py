"""What a Python application knows about where it runs: ``from tako_sh import tako``.

Importing this package costs next to nothing; the envelope of the process is read, and its
storage bindings are checked, when ``tako`` is first touched.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tako_sh.runtime import Runtime

    tako: Runtime

__all__ = ["tako"]


def __getattr__(name: str) -> "Runtime":
    if name != "tako":
        raise AttributeError(f"module 'tako_sh' has no attribute {name!r}")
    from tako_sh.runtime import runtime

    return runtime()
