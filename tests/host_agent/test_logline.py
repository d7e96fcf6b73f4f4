"""A line of ours can be taken apart again, whatever is in it."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tako.host_agent.logline import LogLine, server_text, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain-/:;,.~!#'", "plain-/:;,.~!#'"),
        ("two words", '"two words"'),
        ('a "quote"', '"a \\"quote\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("a=b", '"a=b"'),
        ("line\nend\r\t", '"line\\nend\\r\\t"'),
        ("bell\x07 delete\x7f next\x85", '"bell\\u{7} delete\\u{7f} next\\u{85}"'),
        ("paragraph\u2029", '"paragraph\\u{2029}"'),
        ("grün", '"grün"'),
        ("", '""'),
        ("-", '"-"'),
    ],
)
def test_a_value_is_quoted_unless_it_is_plain(value: str, text: str) -> None:
    assert shown(value) == text


GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "log_values.json").read_text())


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: repr(case["value"]))
def test_a_value_is_written_as_the_proxy_writes_it(case: dict[str, str]) -> None:
    assert shown(case["value"]) == case["written"]


@given(st.text())
def test_a_quoted_value_can_be_read_back(value: str) -> None:
    text = shown(value)
    assert not re.search(r"[\x00-\x1f\x7f\u2028\u2029]", text)
    if text.startswith('"'):
        short = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
        read = re.sub(
            r"\\(?:u\{([0-9a-f]+)\}|(.))",
            lambda found: chr(int(found[1], 16)) if found[1] else short[found[2]],
            text[1:-1],
        )
        assert read == value
    else:
        assert text == value


def test_a_line_has_its_level_its_message_and_the_fields_that_are_known() -> None:
    fields = {"exit": 3, "instance": None, "why": "no room"}
    assert server_text("WARN", "two\nlines ", fields) == 'WARN two\\nlines exit=3 why="no room"'


def test_only_the_proxys_own_record_of_a_request_is_one() -> None:
    record = LogLine.parse("2026-04-20T06:19:53.716Z [server] [proxy] INFO Request completed app=a/b")
    printed = LogLine.parse("2026-04-20T06:19:53.716Z [out] [proxy] INFO Request completed app=a/b")
    other = LogLine.parse("2026-04-20T06:19:53.716Z [server] [proxy] WARN Access records were dropped lines=1")
    assert [line.is_access_record for line in (record, printed, other) if line] == [True, False, False]
