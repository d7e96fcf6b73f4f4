"""Strategic merge: what kubectl sends for built-in kinds."""

import copy

import pytest

from tako.api.patch import PatchInvalid
from tako.api.strategic import strategic_merge

OWNERS = [{"uid": "1", "name": "a"}, {"uid": "2", "name": "b"}]

CASES = [
    (
        "members merge as in a merge patch",
        {"data": {"a": "1", "b": "2"}},
        {"data": {"a": None, "c": "3"}},
        {"data": {"b": "2", "c": "3"}},
    ),
    ("other lists are replaced", {"data": {"l": [1]}}, {"data": {"l": [2]}}, {"data": {"l": [2]}}),
    (
        "finalizers are a set",
        {"metadata": {"finalizers": ["a"]}},
        {"metadata": {"finalizers": ["b", "a"]}},
        {"metadata": {"finalizers": ["a", "b"]}},
    ),
    (
        "one value leaves a set",
        {"metadata": {"finalizers": ["a", "b"]}},
        {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
        {"metadata": {"finalizers": ["b"]}},
    ),
    (
        "the order is set",
        {"metadata": {"finalizers": ["a", "b"]}},
        {"metadata": {"$setElementOrder/finalizers": ["b", "a"]}},
        {"metadata": {"finalizers": ["b", "a"]}},
    ),
    (
        "owners merge by uid",
        {"metadata": {"ownerReferences": OWNERS}},
        {"metadata": {"ownerReferences": [{"uid": "2", "name": "c"}]}},
        {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}, {"uid": "2", "name": "c"}]}},
    ),
    (
        "one owner is deleted",
        {"metadata": {"ownerReferences": OWNERS}},
        {"metadata": {"ownerReferences": [{"uid": "1", "$patch": "delete"}]}},
        {"metadata": {"ownerReferences": [{"uid": "2", "name": "b"}]}},
    ),
    (
        "owners are replaced",
        {"metadata": {"ownerReferences": OWNERS}},
        {"metadata": {"ownerReferences": [{"uid": "3"}, {"$patch": "replace"}]}},
        {"metadata": {"ownerReferences": [{"uid": "3"}]}},
    ),
    ("a map is replaced", {"data": {"a": "1"}}, {"data": {"$patch": "replace", "b": "2"}}, {"data": {"b": "2"}}),
    ("a map is emptied", {"data": {"a": "1"}}, {"data": {"$patch": "delete"}}, {"data": {}}),
    (
        "only the named keys stay",
        {"data": {"a": "1", "b": "2"}},
        {"data": {"$retainKeys": ["b"]}},
        {"data": {"b": "2"}},
    ),
]


@pytest.mark.parametrize(("doc", "patch", "result"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_strategic_merge(doc, patch, result):
    before = copy.deepcopy(doc)
    assert strategic_merge(doc, patch) == result
    assert doc == before


def test_an_element_without_its_merge_key_is_refused():
    with pytest.raises(PatchInvalid, match="merge key 'uid'"):
        strategic_merge({}, {"metadata": {"ownerReferences": [{"name": "a"}]}})
