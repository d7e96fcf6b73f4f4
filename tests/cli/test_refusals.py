"""What the server refuses is told as field, given, allowed."""

import pytest

from tako.cli.client import RequestFailed
from tako.cli.refusals import explain_cause, explain_refusal


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ('Invalid value: "a b": must be a host name', 'spec.x: given "a b": must be a host name'),
        (
            "Invalid value: -1: spec.x in body should be greater than or equal to 0",
            "spec.x: given -1: should be greater than or equal to 0",
        ),
        (
            'Unsupported value: "nod": supported values: "node", "bun"',
            'spec.x: given "nod": supported values: "node", "bun"',
        ),
        ('Duplicate value: "a"', 'spec.x: given "a": is there twice'),
        ('Invalid value: "say: \\"x\\"": no', 'spec.x: given "say: \\"x\\"": no'),
        ("Required value", "spec.x: Required value"),
    ],
)
def test_a_cause_names_the_field_what_was_given_and_what_is_allowed(message: str, told: str) -> None:
    assert explain_cause({"field": "spec.x", "message": message}) == told


def test_every_cause_has_a_line_with_its_place() -> None:
    causes = [{"field": "spec.a", "message": "Required value"}, {"field": "spec.b", "message": "Required value"}]
    failed = RequestFailed({"code": 422, "reason": "Invalid", "message": "…", "details": {"causes": causes}})
    assert explain_refusal(failed, "app.yaml (document 1, App/x)").splitlines() == [
        "app.yaml (document 1, App/x): spec.a: Required value",
        "app.yaml (document 1, App/x): spec.b: Required value",
    ]


def test_a_field_of_somebody_else_tells_whose_it_is_and_the_way_out() -> None:
    cause = {
        "reason": "FieldManagerConflict",
        "field": ".spec.instances",
        "message": 'conflict with "kubectl-edit" using tako.sh/v1',
    }
    failed = RequestFailed({"code": 409, "reason": "Conflict", "message": "…", "details": {"causes": [cause]}})
    assert explain_refusal(failed) == (
        'spec.instances: was set by "kubectl-edit"; take it over with --force-conflicts, or leave it out of the file'
    )


def test_what_is_not_found_is_told_with_the_namespace_that_was_searched() -> None:
    status = {"code": 404, "reason": "NotFound", "message": 'apps.tako.sh "x" not found'}
    failed = RequestFailed(status, "/apis/tako.sh/v1/namespaces/production/apps/x?dryRun=All")
    assert explain_refusal(failed) == 'apps.tako.sh "x" not found in namespace production'


@pytest.mark.parametrize(
    ("field", "message", "told"),
    [
        ("spec.routes", 'must be of type array: "string"', 'spec.routes: given "x": must be of type array'),
        ("spec.env.A", 'must be of type string: "integer"', "spec.env.A: given 1: must be of type string"),
        ("spec.list[1]", 'must be of type string: "integer"', "spec.list[1]: given 7: must be of type string"),
        (
            "spec.gone",
            'must be of type string: "integer"',
            "spec.gone: given a value of type integer: must be of type string",
        ),
    ],
)
def test_of_a_wrong_type_the_value_is_told(field: str, message: str, told: str) -> None:
    document = {"spec": {"routes": "x", "env": {"A": 1}, "list": ["a", 7]}}
    cause = {"field": field, "message": f'Invalid value: "string": {field} in body {message}'}
    assert explain_cause(cause, document) == told
