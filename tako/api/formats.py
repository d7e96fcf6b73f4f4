"""Formats and patterns of strings, as OpenAPI and Go's regular expressions mean them."""

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime

_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
# A `$` or `\z` outside brackets; alternatives that swallow what merely looks like one come first.
_GO_END = re.compile(r"\\z|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    r"""Compile a pattern of Go's RE2; there `$` is the end of the text, to Python also before a last newline."""
    return re.compile(_GO_END.sub(lambda found: r"\Z" if found[0] in ("$", r"\z") else found[0], pattern))


def _is_date_time(text: str) -> bool:
    return bool(_DATE_TIME.fullmatch(text)) and _parses(datetime.fromisoformat, text[:19].upper())


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except (ValueError, binascii.Error):
        return False
    return True


# Any other format is an annotation, as it is in Kubernetes.
STRING_FORMATS: dict[str, Callable[[str], bool]] = {
    "date-time": _is_date_time,
    "date": lambda text: len(text) == 10 and _parses(date.fromisoformat, text),
    "byte": lambda text: _parses(lambda value: base64.b64decode(value, validate=True), text),
    "uuid": lambda text: len(text) == 36 and _parses(uuid.UUID, text),
    "ipv4": lambda text: _parses(ipaddress.IPv4Address, text),
    "ipv6": lambda text: _parses(ipaddress.IPv6Address, text),
    "cidr": lambda text: "/" in text and _parses(ipaddress.ip_network, text),
}
INTEGER_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
