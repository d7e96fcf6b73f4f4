"""One line of an app's log, as text and as its parts."""

import re
from dataclasses import dataclass

_LINE = re.compile(r"(\S+) \[(out|err|server)\] \[([^\]]*)\] (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an app's log. `source` is an instance id, or tako-server, proxy, images for stream server."""

    at: str
    stream: str  # out, err, server
    source: str
    text: str

    def __str__(self) -> str:
        return f"{self.at} [{self.stream}] [{self.source}] {self.text}"

    @classmethod
    def parse(cls, text: str) -> "LogLine | None":
        """Read a line without its newline; None when it is not one of ours."""
        found = _LINE.fullmatch(text)
        return cls(*found.groups()) if found else None


def server_text(level: str, message: str, fields: dict[str, str | int | float | None]) -> str:
    """Return ``LEVEL message key=value …`` on one line, without the fields that are None."""
    parts = [level, message, *(f"{name}={value}" for name, value in fields.items() if value is not None)]
    return " ".join(parts).replace("\r", "").replace("\n", "\\n").rstrip()
