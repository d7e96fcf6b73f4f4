"""Selectors: the grammar of Kubernetes, and a naive model of what it means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tako.api.selectors import SelectorInvalid, label_key_fault, label_value_fault, parse_fields, parse_labels

KEYS, VALUES = ["a", "b", "app.kubernetes.io/name"], ["x", "y", "", "7"]


@st.composite
def requirements(draw):
    """A requirement as text, and what it means."""
    key = draw(st.sampled_from(KEYS))
    value = draw(st.sampled_from(VALUES))
    several = draw(st.lists(st.sampled_from(["x", "y", "7"]), min_size=1, max_size=3))
    return draw(
        st.sampled_from(
            [
                (key, lambda labels: key in labels),
                (f"!{key}", lambda labels: key not in labels),
                (f"{key}={value}", lambda labels: key in labels and labels[key] == value),
                (f"{key} == {value}", lambda labels: key in labels and labels[key] == value),
                (f"{key}!={value}", lambda labels: key not in labels or labels[key] != value),
                (f"{key} in ({','.join(several)})", lambda labels: key in labels and labels[key] in several),
                (f"{key} notin ( {', '.join(several)})", lambda labels: not (key in labels and labels[key] in several)),
                (f"{key}>6", lambda labels: labels.get(key) == "7"),
                (f"{key}<6", lambda labels: False),
            ]
        )
    )  # fmt: skip


@given(
    st.lists(requirements(), min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)),
)
def test_a_label_selector_means_the_conjunction_of_its_requirements(parts, labels):
    selects = parse_labels(",".join(text for text, _ in parts))
    assert selects(labels) == all(meaning(labels) for _, meaning in parts)


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_selector_selects_everything(text):
    assert parse_labels(text)({})
    assert parse_fields(text, [])({})


def test_an_empty_place_in_a_set_is_the_empty_value():
    assert parse_labels("a in (x,)")({"a": ""})
    assert parse_labels("a in ()")({"a": ""})
    assert not parse_labels("a in (x,)")({})


@pytest.mark.parametrize(
    "text",
    [
        *("a=b,", ",a", "a b", "a=b c=d", "a in", "a in x", "a in (x", "a in (x y", "a in (x y)", "a in ((x))"),
        *("-a=b", "a=b/c", "a=-", "!", "a>b", "a=b=c", "UP/a"),
    ],
)
def test_a_selector_that_cannot_be_parsed_is_refused(text):
    with pytest.raises(SelectorInvalid):
        parse_labels(text)


@given(st.text("ab=!,()<> inot", max_size=12))
def test_any_text_is_parsed_or_refused(text):
    try:
        parse_labels(text)({})
    except SelectorInvalid:
        pass


DOC = {
    "metadata": {"name": "hello", "namespace": "production"},
    "spec": {"app": "a,b=c", "on": True, "instances": 3},
}
FIELDS = ["metadata.name", "metadata.namespace", ".spec.app", ".spec.on", ".spec.instances", ".spec.none"]


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("metadata.name=hello", True),
        ("metadata.name==hello,metadata.namespace=production", True),
        ("metadata.name=hello,metadata.namespace!=production", False),
        (r"spec.app=a\,b\=c", True),
        ("spec.on=true", True),
        ("spec.instances=3", True),
        ("spec.none=", True),
        ("spec.none!=x", True),
    ],
)
def test_field_selectors(text, selected):
    assert parse_fields(text, FIELDS)(DOC) is selected


def test_a_field_that_cannot_be_selected_by_is_refused_with_those_that_can():
    with pytest.raises(SelectorInvalid, match=r"field label not supported: spec.url; supported: metadata.name"):
        parse_fields("spec.url=x", ["metadata.name"])
    with pytest.raises(SelectorInvalid, match="can't understand"):
        parse_fields("metadata.name", ["metadata.name"])


@pytest.mark.parametrize("key", ["", "/a", "a/", "-a", "a" * 64, "A.b/c", "a b", "a/b/c"])
def test_a_label_key_out_of_form_has_a_fault(key):
    assert label_key_fault(key)


def test_labels_in_form_have_no_fault():
    assert label_key_fault("app.kubernetes.io/Name_1") is None
    assert label_value_fault("") is None
    assert label_value_fault("V1.0_a-b") is None
    assert label_value_fault("a b") is not None
