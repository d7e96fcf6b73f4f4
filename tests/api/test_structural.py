"""Schemas of CRDs: which are refused, and that every one that is not can be used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tako.api.schema import Schema
from tako.api.structural import column_faults, schema_faults
from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS


def of(**member):
    return {"type": "object", "properties": {"a": member}}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_our_own_schemas_are_structural(kind):
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    assert schema_faults(version["schema"]["openAPIV3Schema"], "s") == []
    assert column_faults(version["additionalPrinterColumns"], "c") == []


BAD = [
    ("x", "s", "must be of type object"),
    ({"type": "string"}, "s.type", "must be object at the root"),
    ({"properties": {}}, "s.type", "Required value"),
    (of(), "s.properties[a].type", "must not be empty for specified object fields"),
    (of(type="text"), "s.properties[a].type", 'supported values: "array", "boolean"'),
    (of(type="string", pattern="("), "s.properties[a].pattern", "missing )"),
    (of(type="string", pattern=3), "s.properties[a].pattern", "must be a regular expression"),
    (of(type="string", enum="a"), "s.properties[a].enum", "must be of type array"),
    (of(type="object", required="a"), "s.properties[a].required", "must be a list of names"),
    (of(type="integer", minimum="1"), "s.properties[a].minimum", "must be of type number"),
    (of(type="array"), "s.properties[a].items", "must be specified"),
    (of(type="array", items=of()), "s.properties[a].items.properties[a].type", "must not be empty"),
    (of(type="array", items={"type": "string"}, uniqueItems=True), "s.properties[a].uniqueItems", "list-type: set"),
    (of(**{"type": "string", "$ref": "#/x"}), "s.properties[a].$ref", "$ref is not supported"),
    (of(type="object", additionalProperties=False), "s.properties[a].additionalProperties", "must not be false"),
    (
        of(type="object", properties={"x": {"type": "string"}}, additionalProperties=True),
        *("s.properties[a].additionalProperties", "must not be used together with properties"),
    ),
    (
        of(**{"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}),
        *("s.properties[a].x-kubernetes-list-map-keys", "must not be empty"),
    ),
    (
        of(**{"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "bag"}),
        *("s.properties[a].x-kubernetes-list-type", 'supported values: "atomic", "set", "map"'),
    ),
    (of(**{"type": "string", "x-kubernetes-list-type": "set"}), "s.properties[a].type", "must be array"),
    (of(type="integer", default="x"), "s.properties[a].default", "must be of type integer"),
    (of(type="string", anyOf={}), "s.properties[a].anyOf", "must be of type array"),
    (of(type="string", anyOf=[{"pattern": "["}]), "s.properties[a].anyOf[0].pattern", "regular expression"),
]


@pytest.mark.parametrize(("schema", "field", "words"), BAD, ids=[f"{case[1]}: {case[2]}" for case in BAD])
def test_a_schema_that_cannot_be_used_is_refused(schema, field, words):
    (fault,) = schema_faults(schema, "s")
    assert fault.field == field
    assert words in fault.message


def test_a_default_may_rely_on_the_defaults_inside_it():
    inner = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "default": 1}}}
    assert schema_faults({"type": "object", "properties": {"a": {**inner, "default": {}}}}, "s") == []


def test_a_column_that_cannot_be_followed_is_refused():
    (fault,) = column_faults([{"jsonPath": ".a"}, {"jsonPath": "..a"}], "c")
    assert fault.field == "c[1].jsonPath"


words = st.sampled_from(["object", "array", "string", "integer", "^a", "(", "set", "map", "a", ""])
scraps = st.recursive(
    words | st.integers(-1, 3) | st.booleans() | st.none(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("type", "properties", "items", "additionalProperties", "required", "enum", "pattern", "default"),
                    *("minimum", "maxLength", "multipleOf", "anyOf", "not", "nullable", "format", "a"),
                    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-int-or-string"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(scraps, scraps)
def test_every_schema_that_passes_compiles_and_runs(schema, value):
    document = {"type": "object", "properties": {"a": schema}}
    if schema_faults(document, "s") == []:
        compiled = Schema(document)
        pruned, _ = compiled.prune({"a": value})
        compiled.validate(compiled.default(pruned))
