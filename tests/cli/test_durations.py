"""Durations as people write and read them."""

import pytest

from tako.cli.durations import parse_duration, show_age
from tako.cli.failure import CommandFailed


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("90", 90), ("1.5h", 5400)])
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "3x", "3s!", "-3s"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(CommandFailed, match="must be a duration such as 30s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (5, "5s"),
        (119, "119s"),
        (180, "3m"),
        (192, "3m12s"),
        (3600, "60m"),
        (11100, "3h5m"),
        (90000, "25h"),
        (700000, "8d"),
    ],
)
def test_an_age_is_written_as_kubectl_does(seconds: float, text: str) -> None:
    assert show_age(seconds) == text
