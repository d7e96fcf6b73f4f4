"""The `tako` console script: chooses the command, runs it, turns what happened into words and an exit code.

Starting is kept as quick as kubectl's: a command's module and typer are imported only when they are needed.
Exit codes: 0 done, 1 failed, 2 the command line is wrong (for `diff`: any error), 130 interrupted.
"""

import os
import sys
from collections.abc import Sequence

# `typing` costs 2 ms; type checkers take a constant of this name for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from tako.cli.arguments import Values
    from tako.cli.settings import Settings

CANCELLED = 130


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main(sys.argv[1:]))


def main(words: Sequence[str]) -> int:
    if list(words) == ["--version"]:
        from tako.cli.version import version

        print(version())
        return 0
    try:
        return _run(words)
    except KeyboardInterrupt:
        sys.stderr.write("\nOperation cancelled\n")
        return CANCELLED
    except BrokenPipeError:
        # The reader, such as `head`, has had enough; a second error while flushing at exit would only puzzle.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(words: Sequence[str]) -> int:
    from tako.cli.failure import CommandFailed
    from tako.cli.settings import Settings, take_settings

    settings = Settings(json="--json" in words)
    try:
        settings, rest = take_settings(words, os.environ, sys.stdout.isatty())
        asked = _read(settings, rest)
        return 0 if asked is None else _execute(settings, *asked)
    except CommandFailed as failed:
        _report(settings, str(failed), failed.hint)
        return failed.exit_code


def _read(settings: "Settings", words: Sequence[str]) -> "tuple[str, Values] | None":
    """Return the command and its values; None when the question was answered by reading it, as with --help."""
    from tako.cli.arguments import read_quickly, spread
    from tako.cli.catalogue import COMMANDS, load

    name = words[0] if words else ""
    if name in COMMANDS:
        command = load(name)
        words = [name, *spread(command, words[1:])]
        values = None if "_TAKO_COMPLETE" in os.environ else read_quickly(command, words[1:])
        if values is not None:
            return name, values
    return _read_slowly(settings, words)


def _read_slowly(settings: "Settings", words: Sequence[str]) -> "tuple[str, Values] | None":
    from tako.cli.grammar import read_with_typer

    if not settings.json:
        return read_with_typer(words)
    # A program that asked for JSON gets typer's words inside the JSON error.
    import contextlib
    import io

    from tako.cli.failure import CommandFailed

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return read_with_typer(words)
    except SystemExit as ended:
        usage, _, mistake = said.getvalue().strip().rpartition("Error: ")
        raise CommandFailed(mistake, int(ended.code or 0), usage.strip()) from ended


def _execute(settings: "Settings", name: str, values: "Values") -> int:
    from tako.cli.catalogue import load
    from tako.cli.client import RequestFailed, ServerUnreachable
    from tako.cli.failure import CommandFailed
    from tako.cli.session import Session

    session = Session(settings)
    error_code = 2 if name == "diff" else 1
    try:
        code = load(name)(session, **values)
    except ServerUnreachable as failed:
        from tako.cli.location import explain_unreachable

        message, hint = explain_unreachable(session.location, failed.cause)
        raise CommandFailed(message, error_code, hint) from failed
    except RequestFailed as failed:
        from tako.cli.refusals import explain_refusal

        raise CommandFailed(explain_refusal(failed), error_code) from failed
    if settings.json and not session.reported:
        session.result_json({"ok": code == 0, "command": name})
    return code


def _report(settings: "Settings", message: str, hint: str) -> None:
    if settings.json:
        import json

        text = f"{message}\n{hint}" if hint else message
        print(json.dumps({"ok": False, "error": {"message": text}}, ensure_ascii=False))
    for line in message.splitlines():
        # What is indented goes on with the fault above it.
        sys.stderr.write(f"{line}\n" if line.startswith(" ") else f"error: {line}\n")
    if hint:
        sys.stderr.write(f"{hint}\n")
