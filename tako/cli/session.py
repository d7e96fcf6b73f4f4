"""What every command is given: the settings, the server, and where to print.

Results go to standard output, all else to standard error.
"""

import json
import os
import sys
import time
from typing import Any

from tako.cli.client import Client, Trace
from tako.cli.location import Location, locate
from tako.cli.settings import Settings

DEFAULT_NAMESPACE = "production"


class Session:
    """One run of one command."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.location: Location = locate(settings.api_socket, os.environ)
        self.client = Client.connect(self.location.path, trace=Transcript(self))
        self.reported = False

    def result(self, text: str) -> None:
        """Print lines of the result."""
        if text:
            sys.stdout.write(text if text.endswith("\n") else text + "\n")
            sys.stdout.flush()

    def result_json(self, value: Any, *, streaming: bool = False) -> None:
        """Print the machine-readable result: one document, or one per line of a stream."""
        self.reported = True
        self.result(json.dumps(value) if streaming else json.dumps(value, indent=4, ensure_ascii=False))

    def progress(self, text: str) -> None:
        """Say on standard error what is going on."""
        self._transcript("INFO", text) if self.settings.verbose else self._say(text)

    def warn(self, text: str) -> None:
        self._transcript("WARN", text) if self.settings.verbose else self._say(f"warning: {text}")

    def debug(self, text: str) -> None:
        if self.settings.verbose:
            self._transcript("DEBUG", text)

    def paint(self, text: str, style: str) -> str:
        """Colour `text` for a terminal; `style` is an SGR number."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.settings.color and text else text

    def _transcript(self, level: str, text: str) -> None:
        clock = "" if self.settings.plain else time.strftime("%H:%M:%S ")
        self._say(f"{clock}{level} {text}")

    def _say(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class Transcript(Trace):
    """Shows every request in verbose mode."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def asked(self, method: str, target: str, status: int) -> None:
        self._session.debug(f"{method} {target} -> {status}")
