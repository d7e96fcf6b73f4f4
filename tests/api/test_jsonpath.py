"""JSON paths of printer columns, scale and selectable fields."""

import pytest

from tako.api.jsonpath import PathInvalid, compile_path

DOC = {
    "metadata": {"name": "hello", "labels": {"app.kubernetes.io/name": "x", "a.b": "dotted"}},
    "spec": {"hosts": ["a", "b", "c"], "replicas": 0},
    "status": {
        "conditions": [
            {"type": "Ready", "status": "True", "weight": 3, "ok": True},
            {"type": "Synced", "status": "False", "weight": 7},
        ]
    },
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        (".metadata.name", ["hello"]),
        ("{.metadata.name}", ["hello"]),
        ("$.metadata.name", ["hello"]),
        ("metadata.name", ["hello"]),
        (".metadata.none.deeper", []),
        (".spec.replicas", [0]),
        (".spec.hosts", [["a", "b", "c"]]),
        (".spec.hosts[0]", ["a"]),
        (".spec.hosts[-1]", ["c"]),
        (".spec.hosts[9]", []),
        (".spec.hosts[*]", ["a", "b", "c"]),
        (".spec.hosts[1:]", ["b", "c"]),
        (".spec.hosts[:-1]", ["a", "b"]),
        (r".metadata.labels.a\.b", ["dotted"]),
        (".metadata.labels['app.kubernetes.io/name']", ["x"]),
        ('.metadata.labels["a.b"]', ["dotted"]),
        (".status.conditions[?(@.type=='Ready')].status", ["True"]),
        ('.status.conditions[?( @.type == "Synced" )].status', ["False"]),
        (".status.conditions[?(@.type!='Ready')].status", ["False"]),
        (".status.conditions[?(@.weight>3)].type", ["Synced"]),
        (".status.conditions[?(@.weight<=3)].type", ["Ready"]),
        (".status.conditions[?(@.type>3)].type", []),
        (".status.conditions[?(@.ok==true)].type", ["Ready"]),
        (".status.conditions[?(@.ok)].type", ["Ready"]),
        (".status.conditions[*].type", ["Ready", "Synced"]),
        (".spec.hosts[?(@=='b')]", ["b"]),
        (".metadata.name[0]", []),
        (".", [DOC]),
    ],
)
def test_a_path_leads_to_its_values(path, values):
    assert compile_path(path)(DOC) == values


@pytest.mark.parametrize("path", ["..name", ".a[", ".a[0,1]", ".a[?(@.b==c)]", ".a[b]"])
def test_what_is_not_supported_is_refused(path):
    with pytest.raises(PathInvalid, match="unsupported JSON path"):
        compile_path(path)
