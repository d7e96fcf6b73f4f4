"""Fields: which there are, how FieldsV1 writes them, merging and taking away by them."""

import pytest

from tako.api.fieldset import decode_fields, encode_fields, fields_of, merge_fields, show_field, without_fields

CONDITIONS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["type"],
    "items": {"type": "object", "properties": {"type": {"type": "string"}, "status": {"type": "string"}}},
}
NODE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "health": {"type": "object", "properties": {"path": {"type": "string"}}},
        "env": {"type": "object", "additionalProperties": {"type": "string"}},
        "routes": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "start": {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}},
        "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
        "conditions": CONDITIONS,
    },
}
DOC = {
    "name": "x",
    "health": {"path": "/"},
    "env": {"A": "1"},
    "routes": ["a", "b"],
    "start": ["x", "y"],
    "whole": {"a": "b"},
    "conditions": [{"type": "Ready", "status": "True"}],
}


def shown(doc):
    return {show_field(path) for path in fields_of(doc, NODE)}


def test_the_fields_of_a_document():
    assert shown(DOC) == {
        *(".name", ".health.path", ".env.A", '.routes[="a"]', '.routes[="b"]', ".start", ".whole"),
        *('.conditions[type="Ready"]', '.conditions[type="Ready"].type', '.conditions[type="Ready"].status'),
    }
    assert shown({"health": {}, "routes": []}) == {".health", ".routes"}
    assert shown({"unknown": {"a": [1]}}) == {".unknown.a"}


def test_fields_v1_as_kubernetes_writes_it():
    encoded = encode_fields(fields_of({"routes": ["a"], "conditions": DOC["conditions"], "name": "x"}, NODE))
    assert encoded == {
        "f:name": {},
        "f:routes": {'v:"a"': {}},
        "f:conditions": {'k:{"type":"Ready"}': {".": {}, "f:type": {}, "f:status": {}}},
    }
    assert decode_fields(encode_fields(fields_of(DOC, NODE))) == set(fields_of(DOC, NODE))


@pytest.mark.parametrize(
    ("live", "config", "merged"),
    [
        (["a", "b"], ["b", "c"], ["a", "b", "c"]),
        (["a", "b"], ["b", "a"], ["b", "a"]),
        (["a", "b", "c"], ["c", "b"], ["a", "c", "b"]),
        (["x", "a", "y"], ["a", "n"], ["x", "a", "y", "n"]),
        ([], ["a"], ["a"]),
        (["a"], [], ["a"]),
    ],
)
def test_sets_merge_in_the_order_of_the_configuration(live, config, merged):
    result = merge_fields({"routes": live}, {"routes": config}, NODE)
    assert result == {"routes": merged}
    assert merge_fields(result, {"routes": config}, NODE) == result


def test_map_lists_merge_by_key_and_atomic_values_are_replaced():
    config = {
        "conditions": [{"type": "Ready", "status": "False"}, {"type": "New"}],
        "start": ["z"],
        "whole": {"c": "d"},
    }
    merged = merge_fields(DOC, config, NODE)
    assert merged["conditions"] == [{"type": "Ready", "status": "False"}, {"type": "New"}]
    assert (merged["start"], merged["whole"], merged["name"]) == (["z"], {"c": "d"}, "x")


def gone(*texts):
    return {path for path in fields_of(DOC, NODE) if show_field(path) in texts}


def test_what_becomes_empty_by_taking_away_goes_too():
    left = without_fields(DOC, NODE, gone(".health.path", ".env.A", '.routes[="a"]', '.routes[="b"]'), set())
    assert left == {key: DOC[key] for key in ("name", "start", "whole", "conditions")}
    kept = without_fields(DOC, NODE, gone(".health.path"), {("f:health",)})
    assert kept["health"] == {}


def test_an_element_that_stays_keeps_the_key_it_is_found_by():
    taken = gone('.conditions[type="Ready"].type', '.conditions[type="Ready"].status')
    assert without_fields(DOC, NODE, taken, set())["conditions"] == [{"type": "Ready"}]
    assert "conditions" not in without_fields(DOC, NODE, gone('.conditions[type="Ready"]'), set())
