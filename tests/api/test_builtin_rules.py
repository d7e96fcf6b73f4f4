"""Rules of the built-in kinds."""

import copy

from tako.api.builtin_rules import faults
from tako.api.registry import CRDS
from tako.model.crd import custom_resource_definition
from tako.model.kinds import KINDS


def crd_with(**changes):
    crd = copy.deepcopy(custom_resource_definition(KINDS[0]))
    crd["spec"]["versions"][0].update(changes)
    return crd


def fields(crd):
    return [fault.field for fault in faults(CRDS, crd)]


def test_our_own_crds_can_be_served():
    assert [fields(custom_resource_definition(kind)) for kind in KINDS] == [[]] * len(KINDS)


def test_a_schema_that_cannot_be_compiled_is_refused_before_it_is_stored():
    bad = {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}
    assert fields(crd_with(schema={"openAPIV3Schema": bad})) == [
        "spec.versions[0].schema.openAPIV3Schema.properties[a].pattern"
    ]


def test_a_column_that_cannot_be_shown_is_refused():
    columns = [{"name": "A", "type": "string", "jsonPath": "..a"}]
    assert fields(crd_with(additionalPrinterColumns=columns)) == [
        "spec.versions[0].additionalPrinterColumns[0].jsonPath"
    ]
