"""Global options stand anywhere; colours only where a person sees them."""

import pytest

from tako.cli.failure import CommandFailed
from tako.cli.settings import take_settings


@pytest.mark.parametrize("words", [["--json", "get", "apps"], ["get", "--json", "apps"], ["get", "apps", "--json"]])
def test_a_global_option_stands_before_or_after_the_command(words: list[str]) -> None:
    settings, rest = take_settings(words, {}, terminal=True)
    assert settings.json
    assert settings.plain
    assert rest == ["get", "apps"]


def test_the_socket_is_taken_with_its_value() -> None:
    assert take_settings(["get", "--api-socket", "/x", "apps"], {}, terminal=False)[0].api_socket == "/x"
    assert take_settings(["--api-socket=/x", "get"], {}, terminal=False)[0].api_socket == "/x"
    with pytest.raises(CommandFailed):
        take_settings(["get", "--api-socket"], {}, terminal=False)


def test_words_after_two_dashes_are_the_commands_own() -> None:
    assert take_settings(["get", "--", "--json"], {}, terminal=False)[1] == ["get", "--", "--json"]


@pytest.mark.parametrize(
    ("words", "environment", "terminal", "color"),
    [
        ([], {}, True, True),
        ([], {}, False, False),
        ([], {"NO_COLOR": "1"}, True, False),
        ([], {"TERM": "dumb"}, True, False),
        (["--ci"], {}, True, False),
        (["--json"], {}, True, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(
    words: list[str], environment: dict[str, str], terminal: bool, color: bool
) -> None:
    assert take_settings(words, environment, terminal)[0].color is color
