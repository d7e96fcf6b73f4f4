"""OpenAPI v3: what kubectl looks for in it. The real kubectl reads it in the tests of the server."""

import json

import pytest

from tako.api.builtin_schemas import BUILTIN_SCHEMAS
from tako.api.openapi import PublishedKind, group_version_document, openapi_documents, openapi_index
from tako.api.schema import Schema
from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS


def published(kind):
    version = custom_resource_definition(kind)["spec"]["versions"][0]
    schema, subresources = version["schema"]["openAPIV3Schema"], tuple(version["subresources"])
    return PublishedKind("tako.sh", "v1", kind.name, kind.plural, kind.namespaced, schema, subresources)


NAMESPACE = PublishedKind("", "v1", "Namespace", "namespaces", False, BUILTIN_SCHEMAS["namespaces"], ("status",))
DOCUMENT = group_version_document([published(kind) for kind in KINDS], "1.0")
APP_MARK = {"group": "tako.sh", "version": "v1", "kind": "App"}


def operations():
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def test_the_path_of_a_resource_leads_to_its_kind():
    for path in ("/apis/tako.sh/v1/apps", "/apis/tako.sh/v1/namespaces/{namespace}/apps"):
        assert DOCUMENT["paths"][path]["get"]["x-kubernetes-group-version-kind"] == APP_MARK
    assert "/apis/tako.sh/v1/hosts/{name}" in DOCUMENT["paths"]
    assert "/apis/tako.sh/v1/namespaces/{namespace}/hosts" not in DOCUMENT["paths"]
    assert "/apis/tako.sh/v1/namespaces/{namespace}/apps/{name}/scale" in DOCUMENT["paths"]


def test_every_write_takes_field_validation_and_dry_run():
    for path, method, operation in operations():
        if method in ("post", "put", "patch"):
            names = {parameter["name"] for parameter in operation["parameters"]}
            assert {"fieldValidation", "dryRun", "fieldManager"} <= names, path


def test_a_strategic_merge_patch_is_offered_to_nobody():
    """kubectl then takes a merge patch for ours, and what it knows by heart for built-in kinds."""
    for _, method, operation in operations():
        if method == "patch":
            assert "application/strategic-merge-patch+json" not in operation["requestBody"]["content"]


def test_the_schema_of_a_kind_is_found_by_its_mark_and_its_references_lead_somewhere():
    schemas = DOCUMENT["components"]["schemas"]
    app = schemas["sh.tako.v1.App"]
    assert app["x-kubernetes-group-version-kind"] == [APP_MARK]
    assert list(app["properties"]) == ["apiVersion", "kind", "metadata", "spec", "status"]
    assert app["properties"]["spec"]["properties"]["routes"]["description"]
    text = json.dumps(DOCUMENT)
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.split('"')[0] in schemas


def test_the_index_names_each_group_version_by_its_contents():
    documents = openapi_documents([NAMESPACE, *(published(kind) for kind in KINDS)], "1.0")
    index = openapi_index(documents)
    assert sorted(index["paths"]) == ["api/v1", "apis/tako.sh/v1"]
    address = index["paths"]["api/v1"]["serverRelativeURL"]
    assert address.startswith("/openapi/v3/api/v1?hash=")
    changed = openapi_index({**documents, "api/v1": b"{}"})
    assert changed["paths"]["api/v1"]["serverRelativeURL"] != address
    assert changed["paths"]["apis/tako.sh/v1"] == index["paths"]["apis/tako.sh/v1"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_crds_are_valid_by_the_schema_of_crds(kind):
    schema = Schema(BUILTIN_SCHEMAS["customresourcedefinitions.apiextensions.k8s.io"])
    definition = custom_resource_definition(kind)
    assert schema.prune(definition) == (definition, [])
    assert schema.validate(definition) == []


def test_what_typed_clients_send_for_built_in_kinds_is_valid():
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "kopf-event-", "creationTimestamp": None},
        "involvedObject": {"kind": "App", "name": "hello"},
        "firstTimestamp": "2026-01-01T00:00:00.000000+00:00",
        "eventTime": None,
        **{"type": "Normal", "reason": "Started", "count": 1, "source": {"component": "kopf"}},
    }
    schema = Schema(BUILTIN_SCHEMAS["events"])
    assert schema.prune(event)[1] == []
    assert schema.validate(event) == []
