"""docs/benchmarks.md has two writers: each replaces its own part and leaves the other's as it is."""

from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN = "<!-- written by make bench-proxy -->"
END = "<!-- end of what make bench-proxy writes -->"


def proxies_part(text: str) -> str:
    """Return what `make bench-proxy` wrote, with its markers; empty when there is nothing of it."""
    _, begin, rest = text.partition(BEGIN)
    part, end, _ = rest.partition(END)
    return f"{begin}{part}{end}\n" if end else ""


def with_other_parts(text: str, written: str) -> str:
    """Return `written` with the proxies' part of `text` after it."""
    part = proxies_part(text)
    return f"{written}\n{part}" if part else written


def with_proxies_part(text: str, section: str) -> str:
    """Return `text` with its proxies' part replaced, or added at the end."""
    part = f"{BEGIN}\n\n{section.strip()}\n\n{END}\n"
    old = proxies_part(text)
    return text.replace(old, part) if old else f"{text.rstrip()}\n\n{part}"


def write(text: str) -> None:
    DOCUMENT.write_text(text)


def read() -> str:
    return DOCUMENT.read_text() if DOCUMENT.exists() else ""
