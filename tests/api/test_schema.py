"""Schemas: what is pruned, what is filled in, what is refused and with which words."""

import copy
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tako.api.schema import Schema
from tako.model.crd import custom_resource_definition
from tako.model.kinds import APP

APP_SCHEMA = custom_resource_definition(APP)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def app(**spec):
    return {
        "apiVersion": "tako.sh/v1",
        "kind": "App",
        "metadata": {"name": "hello", "namespace": "production", "labels": {"a": "b"}},
        "spec": {"source": {"path": "/srv/hello"}, "runtime": "python-asgi", "main": "app:app", **spec},
    }


def field(**schema):
    return Schema({"type": "object", "properties": {"v": schema}})


def test_unknown_fields_are_taken_out_and_named():
    doc = app(rouets=["a"], health={"path": "/", "interval": 3})
    doc["metadata"]["lables"] = {}
    doc["metadata"]["ownerReferences"] = [{"uid": "1", "nmae": "x"}]
    doc["extra"] = 1
    pruned, unknown = Schema(APP_SCHEMA).prune(doc)
    assert sorted(unknown) == [
        *("extra", "metadata.lables", "metadata.ownerReferences[0].nmae", "spec.health.interval", "spec.rouets"),
    ]
    assert pruned["spec"] == {**app()["spec"], "health": {"path": "/"}}
    assert "rouets" in doc["spec"], "the document given is not changed"


def test_maps_and_preserved_parts_keep_what_they_have():
    doc = app(env={"ANY": "thing"})
    assert Schema(APP_SCHEMA).prune(doc) == (doc, [])
    preserving = field(
        type="object", **{"x-kubernetes-preserve-unknown-fields": True}, properties={"n": {"type": "object"}}
    )
    assert preserving.prune({"v": {"any": {"a": 1}, "n": {"gone": 1}}}) == (
        {"v": {"any": {"a": 1}, "n": {}}},
        ["v.n.gone"],
    )
    embedded = field(type="object", **{"x-kubernetes-embedded-resource": True})
    assert embedded.prune({"v": {"kind": "A", "metadata": {"name": "x"}, "no": 1}})[1] == ["v.no"]


def test_defaults_fill_what_is_absent_at_every_depth():
    filled = Schema(APP_SCHEMA).default(app(rollout={"settleSeconds": 5}))
    assert filled["spec"]["instances"] == 1
    assert filled["spec"]["health"] == {"path": "/status"}
    assert filled["spec"]["rollout"]["settleSeconds"] == 5
    assert filled["spec"]["rollout"]["drainTimeoutSeconds"] == 30
    assert "routes" not in filled["spec"]
    assert "status" not in filled


def test_a_null_counts_as_absent_unless_it_may_be_there():
    assert Schema(APP_SCHEMA).default(app(instances=None))["spec"]["instances"] == 1
    assert field(type="integer", default=3, nullable=True).default({"v": None}) == {"v": None}


def test_defaults_are_put_into_items_and_values():
    inner = {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}}
    assert field(type="array", items=inner).default({"v": [{}, {"n": 2}]}) == {"v": [{"n": 1}, {"n": 2}]}
    assert field(type="object", additionalProperties=inner).default({"v": {"a": {}}}) == {"v": {"a": {"n": 1}}}


def test_a_default_is_not_shared_between_documents():
    schema = Schema(APP_SCHEMA)
    schema.default(app())["spec"]["health"]["path"] = "/changed"
    assert schema.default(app())["spec"]["health"]["path"] == "/status"


def test_a_valid_document_has_no_faults():
    schema = Schema(APP_SCHEMA)
    assert schema.validate(schema.default(app(routes=["a.localhost"], env={"A": "b"}, limits={"cpus": 0.5}))) == []


CLOUD = '"cloudflare-proxy", "trusted-proxy"'
TYPE = 'Invalid value: "{0}": {field} in body must be of type {1}: "{0}"'
# Document, field, message.
APP_FAULTS = [
    (app(instances="3"), "spec.instances", TYPE, "string", "integer"),
    (app(instances=True), "spec.instances", TYPE, "boolean", "integer"),
    (app(main=None), "spec.main", TYPE, "null", "string"),
    (app(routes="a.b"), "spec.routes", TYPE, "string", "array"),
    (app(env={"A": 1}), "spec.env.A", TYPE, "integer", "string"),
    ({"spec": "x"}, "spec", TYPE, "string", "object"),
    (app(instances=-1), "spec.instances", "Invalid value: -1: {field} in body should be greater than or equal to 0"),
    (app(health={"path": "x"}), "spec.health.path", "Invalid value: \"x\": {field} in body should match '^/'"),
    (app(limits={"cpus": 0}), "spec.limits.cpus", "Invalid value: 0: {field} in body should be greater than 0"),
    (app(start=[]), "spec.start", "Invalid value: []: {field} in body should have at least 1 items"),
    (app(sourceIp="x"), "spec.sourceIp", 'Unsupported value: "x": supported values: "auto", "direct", {0}', CLOUD),
    (app(routes=["a.b", "a.b"]), "spec.routes[1]", 'Duplicate value: "a.b"'),
    ({"spec": {}}, "spec.source", "Required value"),
    ({}, "spec", "Required value"),
]
REASONS = {
    **{"Invalid": "FieldValueInvalid", "Unsupported": "FieldValueNotSupported"},
    **{"Duplicate": "FieldValueDuplicate", "Required": "FieldValueRequired"},
}


@pytest.mark.parametrize("case", APP_FAULTS, ids=lambda case: case[1])
def test_what_is_wrong_is_said_as_kubernetes_says_it(case):
    doc, name, message, *words = case
    (error,) = Schema(APP_SCHEMA).validate(doc)
    assert (error.field, error.message) == (name, message.format(*words, field=name))
    assert error.reason == ("FieldValueTypeInvalid" if message is TYPE else REASONS[message.split()[0]])


def test_every_fault_is_reported_at_once():
    assert {error.field for error in Schema(APP_SCHEMA).validate(app(instances=-1, main=3, runtime="x"))} == {
        *("spec.instances", "spec.main", "spec.runtime"),
    }


def test_conditions_are_unique_by_type():
    condition = {"type": "Ready", "status": "True", "reason": "A", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    (error,) = Schema(APP_SCHEMA).validate({**app(), "status": {"conditions": [condition, condition]}})
    assert (error.field, error.message) == ("status.conditions[1]", 'Duplicate value: {"type":"Ready"}')


VALUES = [
    (
        {"type": "string", "format": "date-time"},
        ["2026-01-02T03:04:05Z", "2026-01-02t03:04:05.1+02:00"],
        ["2026-01-02", "2026-13-02T03:04:05Z"],
    ),
    ({"type": "string", "format": "date"}, ["2026-01-02"], ["2026-02-30", "20260102"]),
    ({"type": "string", "format": "byte"}, ["aGk=", ""], ["a", "###="]),
    ({"type": "string", "format": "ipv4"}, ["127.0.0.1"], ["::1"]),
    ({"type": "string", "format": "made-up"}, ["anything"], []),
    ({"type": "string", "pattern": "^a$"}, ["a"], ["a\n", "ab"]),
    ({"type": "string", "pattern": r"^[$^]\$$"}, ["$$", "^$"], ["a$"]),
    ({"type": "string", "minLength": 1, "maxLength": 2}, ["é", "ab"], ["", "abc"]),
    ({"type": "integer"}, [1, 2.0, -3], [1.5, "1", True]),
    ({"type": "integer", "format": "int32"}, [2**31 - 1], [2**31]),
    ({"type": "number", "multipleOf": 0.5}, [1.5, 0], [1.2]),
    ({"type": "number", "maximum": 3, "exclusiveMaximum": True}, [2.9], [3, float("nan")]),
    ({"type": "boolean"}, [True], [0, "true"]),
    ({"x-kubernetes-int-or-string": True}, [1, "1"], [1.5, None, []]),
    ({"type": "string", "nullable": True, "enum": ["a"]}, [None, "a"], ["b"]),
    ({"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer"}}, [{"a": 1}], [{}, {"a": "b"}]),
    ({"type": "string", "anyOf": [{"pattern": "^a"}, {"minLength": 3}]}, ["a", "xyz"], ["x"]),
    ({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, [{"a": 1}], [{}, {"a": 1, "b": 1}]),
    ({"type": "integer", "not": {"enum": [13]}, "allOf": [{"minimum": 2}]}, [12], [13, 1]),
    ({"x-kubernetes-preserve-unknown-fields": True}, [1, "x", None, {"a": []}], []),
]


@pytest.mark.parametrize(("schema", "good", "bad"), VALUES, ids=[str(case[0])[:50] for case in VALUES])
def test_values(schema, good, bad):
    compiled = field(**schema)
    for value in good:
        assert compiled.validate({"v": value}) == [], value
    for value in bad:
        assert len(compiled.validate({"v": value})) == 1, value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
SPEC_FIELDS = [*APP_SCHEMA["properties"]["spec"]["properties"], "unknown"]
documents = st.fixed_dictionaries(
    {},
    optional={
        "spec": json_values | st.dictionaries(st.sampled_from(SPEC_FIELDS), json_values, max_size=5),
        "metadata": json_values | st.dictionaries(st.sampled_from(["name", "labels", "x"]), json_values, max_size=3),
        "status": json_values,
        "other": json_values,
    },
)


@given(documents)
def test_pruning_and_defaulting_again_change_nothing(doc):
    schema, before = Schema(APP_SCHEMA), copy.deepcopy(doc)
    pruned, _ = schema.prune(doc)
    assert schema.prune(pruned) == (pruned, [])
    filled = schema.default(pruned)
    assert schema.default(filled) == filled
    assert schema.prune(filled) == (filled, [])
    schema.validate(doc)
    assert doc == before


def test_a_write_costs_less_than_a_millisecond_of_schema():
    schema, doc = Schema(APP_SCHEMA), app(routes=["a.b", "c.d"], env={f"K{n}": "v" for n in range(10)})

    def once():
        start = time.perf_counter()
        schema.validate(schema.default(schema.prune(doc)[0]))
        return time.perf_counter() - start

    assert min(once() for _ in range(50)) < 0.001
