import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tako.model.routes import RoutePattern, most_specific, parse_pattern, same_claim

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "routes.json").read_text())
CASES = [
    pytest.param(case["patterns"], request, id=f"{case['name']}: {request['host']}{request['path']}")
    for case in GOLDEN
    for request in case["requests"]
]

# Few labels and segments, so that patterns meet each other and the requests.
LABELS = st.sampled_from(["a", "b", "ab"])
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
HOSTS = st.builds(lambda wild, name: ("*." if wild else "") + name, st.booleans(), NAMES)
SEGMENTS = st.sampled_from(["x", "y", "xy"])
PATHS = st.lists(SEGMENTS, max_size=3).map(lambda parts: "".join("/" + part for part in parts))
PATTERNS = st.builds(lambda host, path, end: host + path + end, HOSTS, PATHS, st.sampled_from(["", "/", "/*"]))
REQUEST_PATHS = st.builds(lambda path, slash: (path + slash) or "/", PATHS, st.sampled_from(["", "/"]))


@pytest.mark.parametrize(("patterns", "request_"), CASES)
def test_the_golden_cases_are_decided_as_written(patterns: list[str], request_: dict[str, str]) -> None:
    for order in itertools.permutations(patterns):
        winner = most_specific(map(parse_pattern, order), request_["host"], request_["path"])
        assert (str(winner) if winner else None) == request_["wins"]


@given(PATTERNS)
def test_a_normalised_pattern_parses_to_itself(text: str) -> None:
    pattern = parse_pattern(text)
    assert parse_pattern(str(pattern)) == pattern


def naive_winner(texts: list[str], host: str, path: str) -> str | None:
    """The rule of the specification, written by splitting into parts instead of comparing texts."""
    wanted = [part for part in path.split("/") if part]
    best: tuple[tuple[int, ...], str] | None = None
    for text in texts:
        pattern_host, _, rest = text.partition("/")
        segments = [part for part in rest.split("/") if part]
        prefix = not rest.rstrip("/") or segments[-1] == "*"
        segments = [part for part in segments if part != "*"]
        labels, given_labels = pattern_host.split("."), host.split(".")
        if labels[0] == "*":
            labels = labels[1:]
            host_ok = len(given_labels) > len(labels) and given_labels[-len(labels) :] == labels
        else:
            host_ok = labels == given_labels
        path_ok = wanted[: len(segments)] == segments if prefix else wanted == segments
        if host_ok and path_ok:
            rank = (not pattern_host.startswith("*"), len(labels), len(segments), not prefix)
            if best is None or rank > best[0]:
                best = (rank, text)
    return best[1] if best else None


@given(st.lists(PATTERNS, max_size=8), NAMES, REQUEST_PATHS)
def test_the_most_specific_pattern_wins_as_in_a_naive_model(texts: list[str], host: str, path: str) -> None:
    expected = naive_winner(texts, host, path)
    winner = most_specific(map(parse_pattern, texts), host, path)
    assert winner == (parse_pattern(expected) if expected else None)


@given(PATTERNS, PATTERNS, NAMES, REQUEST_PATHS)
def test_two_patterns_that_match_one_request_are_ordered_unless_they_claim_the_same(
    one: str, other: str, host: str, path: str
) -> None:
    a, b = parse_pattern(one), parse_pattern(other)
    if a.matches(host, path) and b.matches(host, path):
        assert (a.specificity == b.specificity) == same_claim(a, b)


@given(HOSTS, PATHS, NAMES, REQUEST_PATHS)
def test_a_slash_at_the_end_changes_nothing(host: str, path: str, name: str, asked: str) -> None:
    assert parse_pattern(host + path + "/") == parse_pattern(host + path)
    pattern = parse_pattern(host + path)
    assert pattern.matches(name, asked) == pattern.matches(name, asked.rstrip("/") + "/")


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_with_a_message(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except ValueError as refusal:
        assert str(refusal)
    else:
        assert parse_pattern(str(pattern)) == pattern


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("/api/*", "no host name"),
        ("https://example.com", "leave out 'https'"),
        ("example.com:8443/x", "port"),
        ("*", "only as the whole first label"),
        ("a.*.com", "only as the whole first label"),
        ("a*.example.com", "only as the whole first label"),
        ("example.com/a*", "after the last slash"),
        ("example.com/*/b", "after the last slash"),
        ("example.com/a?b=1", "query"),
        ("example.com/a b", "space"),
        ("example.com/ä", "percent-encoded"),
        ("example.com//a", "empty"),
        ("example.com/a/../b", "'..'"),
        ("exa_mple.com", "allowed are"),
        ("-a.example.com", "either end"),
        ("a..example.com", "empty part"),
        ("*..example.com", "empty part"),
        ("bücher.example", "punycode"),
        ("a" * 64 + ".com", "DNS allows 63"),
        (".".join(["a" * 60] * 5), "DNS allows 253"),
    ],
)
def test_a_faulty_pattern_is_refused_with_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".+") as refusal:
        parse_pattern(text)
    assert said in str(refusal.value)


def test_case_and_the_roots_dot_do_not_make_another_route() -> None:
    assert parse_pattern("Example.COM./API") == RoutePattern("example.com", "/API")
