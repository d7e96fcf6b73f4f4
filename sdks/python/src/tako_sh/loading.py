"""Finding the application that a command line names, and telling ASGI from WSGI."""

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

Interface = Literal["asgi", "wsgi"]


class AppNotFound(Exception):
    """The name does not lead to an application; the message says where it ends."""


def load_app(target: str) -> Callable[..., Any]:
    """Import ``module:callable``, or call the factory of ``module:factory()``.

    What the module raises while it is imported is not caught.
    """
    module_name, separator, path = target.partition(":")
    if not separator or not module_name or not path:
        raise AppNotFound(f"{target!r} is not of the form module:callable, for example main:app")
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found = _follow(importlib.import_module(module_name), path.removesuffix("()"))
    if path.endswith("()"):
        found = found()
    if not callable(found):
        raise AppNotFound(f"{target!r} is a {type(found).__name__}, which cannot be called")
    return found  # type: ignore[no-any-return]


def guess_interface(app: Callable[..., Any]) -> Interface:
    """Tell ASGI from WSGI: an ASGI application is a coroutine function, or takes three arguments."""
    call = app if inspect.isroutine(app) or inspect.isclass(app) else type(app).__call__
    if inspect.iscoroutinefunction(call):
        return "asgi"
    try:
        inspect.signature(app).bind(None, None)
    except (TypeError, ValueError):
        return "asgi"
    return "wsgi"


def _follow(module: Any, path: str) -> Any:
    found = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise AppNotFound(f"module {module.__name__!r} has no {path!r}") from None
    return found
