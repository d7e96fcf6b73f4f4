"""One line of an app's log, as text and as its parts."""

import re
from dataclasses import dataclass

_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")  # printable ASCII without the quote, the backslash and =
_TO_ESCAPE = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LINE = re.compile(r"(\S+) \[(out|err|server)\] \[([^\]]*)\] (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of an app's log. `source` is an instance id, or tako-server, proxy, images for stream server."""

    at: str
    stream: str  # out, err, server
    source: str
    text: str

    @property
    def is_access_record(self) -> bool:
        """Tell whether this is the proxy's record of one request."""
        return self.source == "proxy" and self.stream == "server" and self.text.startswith("INFO Request completed ")

    def __str__(self) -> str:
        return f"{self.at} [{self.stream}] [{self.source}] {self.text}"

    @classmethod
    def parse(cls, text: str) -> "LogLine | None":
        """Read a line without its newline; None when it is not one of ours."""
        found = _LINE.fullmatch(text)
        return cls(*found.groups()) if found else None


def server_text(level: str, message: str, fields: dict[str, str | int | float | None]) -> str:
    """Return ``LEVEL message key=value …`` on one line, without the fields that are None."""
    pairs = (f"{name}={shown(str(value))}" for name, value in fields.items() if value is not None)
    return " ".join([level, _one_line(message), *pairs]).rstrip()


def shown(value: str) -> str:
    """Return a field's value as it is written; tako-proxyd writes those of its records in the same way.

    One of plain characters stays as it is, any other is quoted, so that a line can be taken apart again whatever a
    client sent. An empty one is ``""``, and ``"-"`` is told from the ``-`` of a value that is missing.
    """
    if _PLAIN.fullmatch(value) and value != "-":
        return value
    return '"' + _TO_ESCAPE.sub(_escaped, value) + '"'


def _escaped(found: re.Match[str]) -> str:
    return _SHORT.get(found[0]) or f"\\u{{{ord(found[0]):x}}}"


def _one_line(message: str) -> str:
    return message.replace("\r", "").replace("\n", "\\n").rstrip()
