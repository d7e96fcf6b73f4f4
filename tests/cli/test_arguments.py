"""The quick reading of a command line and typer's agree, whatever people type."""

import contextlib
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tako.cli.arguments import Option, parameters, read_quickly, spread
from tako.cli.catalogue import COMMANDS, load
from tako.cli.grammar import read_with_typer


def flags_of(name: str) -> list[str]:
    return [flag for each in parameters(load(name)) if isinstance(each.mark, Option) for flag in each.mark.flags]


def read_slowly(name: str, words: list[str]) -> dict[str, Any] | None:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            read = read_with_typer([name, *words])
        except SystemExit:
            return None
    return None if read is None else read[1]


@st.composite
def command_lines(draw: st.DrawFn) -> tuple[str, list[str]]:
    name = draw(st.sampled_from(sorted(COMMANDS)))
    words = ["apps", "app/hello", "hello", "3", "-1", "json", "-", "--", "a=b", "", "--nope", "-nx", "-h"]
    flags = flags_of(name) or ["--nope"]
    word = st.one_of(
        st.sampled_from(words),
        st.sampled_from(flags),
        st.builds("{}={}".format, st.sampled_from(flags), st.sampled_from(words)),
    )
    return name, draw(st.lists(word, max_size=5))


@settings(max_examples=300, deadline=None)
@given(command_lines())
def test_what_is_read_quickly_is_what_typer_reads(line: tuple[str, list[str]]) -> None:
    name, words = line
    words = spread(load(name), words)
    quick = read_quickly(load(name), words)
    if quick is not None:
        assert quick == read_slowly(name, words)


@pytest.mark.parametrize(
    "line",
    [
        "get apps -A",
        "get app hello -o yaml -n staging",
        "get apps -o=wide --namespace=staging",
        "get instances -l tako.sh/app=hello -w",
        "describe app/hello -n production",
        "apply -f app.yaml -f more --wait --timeout 1m",
        "diff -f -",
        "delete app/hello --wait",
        "scale app/hello --instances 3",
        "wait app/hello --for=condition=Ready --timeout 30s",
        "logs app/hello -f --tail 10",
        "events -n production -w",
        "explain app.spec.routes --recursive",
        "kubeconfig",
    ],
)
def test_what_people_type_needs_no_typer(line: str) -> None:
    name, *words = line.split()
    words = spread(load(name), words)
    quick = read_quickly(load(name), words)
    assert quick is not None
    assert quick == read_slowly(name, words)


def test_lists_of_one_command_line_do_not_reach_the_next() -> None:
    delete = load("delete")
    assert read_quickly(delete, ["-f", "a.yaml"]) != read_quickly(delete, [])
    assert read_quickly(delete, []) == read_slowly("delete", [])


def test_every_command_has_help_and_every_option_says_what_it_does() -> None:
    for name in COMMANDS:
        assert load(name).__doc__, name
        for each in parameters(load(name)):
            assert each.mark.help, (name, each.name)
