"""The CustomResourceDefinitions: what a real cluster demands of them, and that the files are those of the models."""

from pathlib import Path

import pytest
import yaml

from crds.generate import render
from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS

FILES = Path(__file__).parents[2] / "crds"
BY_NAME = {kind.name: kind for kind in KINDS}
# What Kubernetes' JSONSchemaProps knows and a structural schema may hold.
ALLOWED = {
    *("description", "type", "format", "default", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum"),
    *("exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems", "required", "properties", "items"),
    *("additionalProperties", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
}


def version_of(kind):
    return custom_resource_definition(kind)["spec"]["versions"][0]


def nodes(schema, path="", /):
    """Every schema of the tree with its path."""
    yield path, schema
    for name, member in schema.get("properties", {}).items():
        yield from nodes(member, f"{path}.{name}")
    for below in ("items", "additionalProperties"):
        if below in schema:
            yield from nodes(schema[below], f"{path}.{below}")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_file_is_what_the_model_says(kind):
    assert (FILES / f"{kind.plural}.yaml").read_text() == render(kind), "run python -m crds.generate"


def test_there_is_a_file_for_each_kind_and_no_other():
    assert {path.stem for path in FILES.glob("*.yaml")} == {kind.plural for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_schemas_are_structural(kind):
    for path, node in nodes(version_of(kind)["schema"]["openAPIV3Schema"]):
        assert node.get("type") in {"object", "array", "string", "integer", "number", "boolean"}, path
        assert set(node) <= ALLOWED, path
        assert node.get("default", 0) is not None, path
        assert not ("properties" in node and "additionalProperties" in node), path
        if node["type"] == "array":
            assert node["x-kubernetes-list-type"] in {"atomic", "set", "map"}, path
        for key in node.get("x-kubernetes-list-map-keys", []):
            assert key in node["items"]["required"], path
        for name in node.get("required", []):
            assert name in node["properties"], path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_of_ours_is_documented(kind):
    properties = version_of(kind)["schema"]["openAPIV3Schema"]["properties"]
    for part in ("spec", "status"):
        for path, node in nodes(properties[part], part):
            if not path.endswith(("items", "additionalProperties")):
                assert node.get("description"), path


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_selectable_fields_and_scale_paths_are_fields_of_the_schema(kind):
    version = version_of(kind)
    paths = dict(nodes(version["schema"]["openAPIV3Schema"]))
    for field in version.get("selectableFields", []):
        assert paths[field["jsonPath"]]["type"] in {"string", "integer", "boolean"}
    for path in version["subresources"].get("scale", {}).values():
        assert path in paths


def test_age_ends_what_is_always_shown():
    shown = [column for column in version_of(BY_NAME["App"])["additionalPrinterColumns"] if not column.get("priority")]
    assert [column["name"] for column in shown] == ["Ready", "Instances", "Release", "URL", "Age"]


def test_nested_defaults_take_effect_when_nothing_is_given():
    spec = version_of(BY_NAME["App"])["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["properties"]["health"]["default"] == {}
    assert spec["properties"]["health"]["properties"]["path"]["default"] == "/status"
    assert spec["required"] == ["source"]


def test_an_optional_part_is_absent_until_it_is_given():
    status = version_of(BY_NAME["Instance"])["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert "default" not in status["properties"]["exit"]


def test_optional_enumerations_keep_their_values():
    spec = version_of(BY_NAME["App"])["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert spec["runtime"]["enum"] == ["python-asgi", "python-wsgi", "node", "bun", "go"]
    assert spec["limits"]["properties"]["cpus"] | {"description": ""} == {
        "description": "",
        "type": "number",
        "format": "double",
        "default": 2,
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1024,
    }


def test_the_files_are_yaml_that_says_what_the_model_says():
    for kind in KINDS:
        assert yaml.safe_load((FILES / f"{kind.plural}.yaml").read_text()) == custom_resource_definition(kind)
