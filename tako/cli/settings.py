"""The global options, taken out of the command line wherever they stand."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tako.cli.failure import CommandFailed

_FLAGS = {"--json": "json", "--ci": "ci", "--verbose": "verbose", "-v": "verbose"}
_SOCKET = "--api-socket"


class Settings(NamedTuple):
    json: bool = False
    ci: bool = False
    verbose: bool = False
    api_socket: str | None = None
    color: bool = False

    @property
    def plain(self) -> bool:
        """No colours, no line that is drawn over: `--ci`, and `--json` which implies it."""
        return self.ci or self.json


def take_settings(words: Sequence[str], environment: Mapping[str, str], terminal: bool) -> tuple[Settings, list[str]]:
    """Return the global options and the words that are left for the command."""
    found: dict[str, bool] = {}
    api_socket = None
    rest: list[str] = []
    pending = iter(words)
    for word in pending:
        if word == "--":
            rest += [word, *pending]
        elif word in _FLAGS:
            found[_FLAGS[word]] = True
        elif word == _SOCKET:
            api_socket = next(pending, None)
            if api_socket is None:
                raise CommandFailed(f"{_SOCKET} needs the path of the server's socket", 2)
        elif word.startswith(f"{_SOCKET}="):
            api_socket = word.partition("=")[2]
        else:
            rest.append(word)
    settings = Settings(api_socket=api_socket, **found)
    color = terminal and not settings.plain and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return settings._replace(color=color), rest
