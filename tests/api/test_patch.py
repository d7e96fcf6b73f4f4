"""Patches: the tables of RFC 7386 and RFC 6902, and the laws that hold for any document."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tako.api.patch import PatchInvalid, PatchTestFailed, clone, json_patch, merge_patch, same

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab~/", max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.text("ab/~", max_size=2), values, max_size=4)

# RFC 7386, appendix A: original, patch, result.
RFC_7386 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("doc", "patch", "result"), RFC_7386)
def test_merge_patch_does_what_the_rfc_shows(doc, patch, result):
    assert merge_patch(doc, patch) == result


@given(objects, objects)
def test_a_merge_patch_applied_twice_changes_nothing_more(doc, patch):
    once = merge_patch(doc, patch)
    assert same(merge_patch(once, patch), once)


@given(objects, objects)
def test_a_merge_patch_leaves_its_document_alone(doc, patch):
    before = copy.deepcopy(doc)
    merge_patch(doc, patch)
    assert doc == before


# RFC 6902, appendix A: name, original, operations, result.
RFC_6902 = [
    ("A1 add a member", {"foo": "bar"}, [("add", "/baz", "qux")], {"baz": "qux", "foo": "bar"}),
    ("A2 add an element", {"foo": ["bar", "baz"]}, [("add", "/foo/1", "qux")], {"foo": ["bar", "qux", "baz"]}),
    ("A3 remove a member", {"baz": "qux", "foo": "bar"}, [("remove", "/baz")], {"foo": "bar"}),
    ("A4 remove an element", {"foo": ["bar", "qux", "baz"]}, [("remove", "/foo/1")], {"foo": ["bar", "baz"]}),
    ("A5 replace", {"baz": "qux", "foo": "bar"}, [("replace", "/baz", "boo")], {"baz": "boo", "foo": "bar"}),
    (
        "A6 move a value",
        {"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}},
        [("move", "/foo/waldo", "/qux/thud")],
        {"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}},
    ),
    ("A7 move an element", {"foo": ["a", "b", "c"]}, [("move", "/foo/1", "/foo/2")], {"foo": ["a", "c", "b"]}),
    ("A8 test", {"baz": "qux", "foo": ["a", 2]}, [("test", "/baz", "qux"), ("test", "/foo/1", 2)], None),
    ("A10 add a nested object", {"foo": "bar"}, [("add", "/child", {"a": {}})], {"foo": "bar", "child": {"a": {}}}),
    ("A14 escapes", {"/": 9, "~1": 10}, [("test", "/~01", 10)], None),
    ("A16 append", {"foo": ["bar"]}, [("add", "/foo/-", ["abc"])], {"foo": ["bar", ["abc"]]}),
    ("replace everything", {"a": 1}, [("replace", "", {"b": 2})], {"b": 2}),
    ("copy is not shared", {"a": [1]}, [("copy", "/a", "/b"), ("add", "/b/-", 2)], {"a": [1], "b": [1, 2]}),
    ("absent equals null", {}, [("test", "/a", None)], {}),
]


def operations(shorthand):
    def operation(op, path, *rest):
        if op in ("move", "copy"):
            return {"op": op, "from": path, "path": rest[0]}
        return {"op": op, "path": path, **({"value": rest[0]} if rest else {})}

    return [operation(*parts) for parts in shorthand]


@pytest.mark.parametrize(("doc", "ops", "result"), [case[1:] for case in RFC_6902], ids=[case[0] for case in RFC_6902])
def test_json_patch_does_what_the_rfc_shows(doc, ops, result):
    assert json_patch(doc, operations(ops)) == (doc if result is None else result)


@pytest.mark.parametrize(
    ("doc", "op", "code", "words"),
    [
        ({}, {"op": "remove", "path": "/a"}, 422, "/a does not exist"),
        ({}, {"op": "replace", "path": "/a/b", "value": 1}, 422, "/a does not exist"),
        ({}, {"op": "add", "path": "/a/b", "value": 1}, 422, "/a does not exist"),
        ({"a": []}, {"op": "add", "path": "/a/1", "value": 1}, 422, "only 0 elements"),
        ({"a": [1]}, {"op": "remove", "path": "/a/01"}, 422, "not an index"),
        ({"a": [1]}, {"op": "remove", "path": "/a/-"}, 422, "not an index"),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a", "path": "/a/b"}, 422, "into itself"),
        ({}, {"op": "remove", "path": ""}, 422, "whole document"),
        ({}, {"op": "increase", "path": "/a"}, 400, 'unexpected op "increase"'),
        ({}, {"op": "add", "path": "/a"}, 400, "needs a value"),
        ({}, {"op": "add", "path": "a", "value": 1}, 400, "begin with '/'"),
        ({}, {"op": "add", "value": 1}, 400, "needs 'path'"),
        ({}, "add", 400, "must be an object"),
    ],
)
def test_an_operation_that_does_not_fit_says_why(doc, op, code, words):
    with pytest.raises(PatchInvalid) as caught:
        json_patch(doc, [op])
    assert words in str(caught.value)
    assert caught.value.code == code


def test_a_patch_that_is_no_list_is_malformed():
    with pytest.raises(PatchInvalid) as caught:
        json_patch({}, {"op": "add"})
    assert caught.value.code == 400


def test_a_failed_test_names_what_was_expected_and_found():
    with pytest.raises(PatchTestFailed, match='expected "7", found "8"') as caught:
        json_patch({"metadata": {"resourceVersion": "8"}}, operations([("test", "/metadata/resourceVersion", "7")]))
    assert caught.value.code == 422


def test_true_is_not_one():
    with pytest.raises(PatchTestFailed):
        json_patch({"a": True}, operations([("test", "/a", 1)]))
    assert same(1, 1.0)


@given(objects, st.text("ab/~", max_size=2), values)
def test_what_was_added_can_be_tested_and_removed(doc, key, value):
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    before = clone(doc)
    result = json_patch(doc, operations([("add", pointer, value), ("test", pointer, value), ("remove", pointer)]))
    assert result == {k: v for k, v in before.items() if k != key}
    assert doc == before
