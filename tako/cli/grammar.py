"""The commands as a typer application: help, completion, and the words for a mistake.

Reads command lines exactly as :func:`tako.cli.arguments.read_quickly` does, from the same declarations; it calls no
command, it only returns what was asked for.
"""

import inspect
import os
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any

import typer

from tako.cli.arguments import Argument, Parameter, Values, parameters
from tako.cli.catalogue import COMMANDS, load

COMPLETING = "_TAKO_COMPLETE"  # set by the shell functions that typer installs
EPILOG = (
    "Before or after any command: --json, --ci, -v/--verbose, --api-socket PATH. "
    "The server is found by --api-socket, $TAKO_API_SOCKET, local-server.json, /opt/tako/api.sock, in this order."
)


def read_with_typer(words: Sequence[str]) -> tuple[str, Values] | None:
    """Return the command and its values; None when typer has answered itself, as with ``--help``.

    A mistake ends the process with typer's message and exit code 2.
    """
    asked: list[tuple[str, Values]] = []
    try:
        named = COMMANDS if COMPLETING in os.environ else words[:1]
        application(named, asked)(args=list(words), prog_name="tako")
    except SystemExit as ended:
        if ended.code:
            raise
    return asked[0] if asked else None


def application(named: Collection[str], asked: list[tuple[str, Values]]) -> typer.Typer:
    """Build the application; running it puts the command that was called, with its values, into `asked`.

    Only commands in `named` have their parameters.
    """
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Run applications on this host: declare them, look at them, follow them.",
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, entry in COMMANDS.items():
        # Of commands that are only listed the summary is enough, and loading them all takes long.
        command = load(name) if name in named else _unread
        app.command(name, help=command.__doc__, short_help=entry.summary)(_collector(name, command, asked))
    return app


def _unread() -> None:
    """Stands for a command that was not named."""


def _collector(name: str, command: Callable[..., Any], asked: list[tuple[str, Values]]) -> Callable[..., None]:
    """Return a function with the command's signature that notes its call."""
    declared = list(parameters(command))

    def collect(**values: Any) -> None:
        asked.append((name, {each.name: _plain(each, values[each.name]) for each in declared}))

    collect.__signature__ = inspect.Signature([_described(each) for each in declared])  # type: ignore[attr-defined]
    collect.__annotations__ = {each.name: _described(each).annotation for each in declared}
    return collect


def _described(parameter: Parameter) -> inspect.Parameter:
    mark = parameter.mark
    about: Any
    if isinstance(mark, Argument):
        about = typer.Argument(metavar=mark.metavar, help=mark.help)
    else:
        about = typer.Option(*mark.flags, help=mark.help, metavar=mark.metavar)
    default = inspect.Parameter.empty if parameter.required else parameter.default
    return inspect.Parameter(
        parameter.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[parameter.type, about],
    )


def _plain(parameter: Parameter, value: Any) -> Any:
    return list(value or []) if parameter.many else value
