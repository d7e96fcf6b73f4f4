"""Server-side apply: what each manager wants, who owns what, and what happens when two want the same."""

import copy
import json
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tako.api.apply import LAST_APPLIED, ApplyConflicts, apply, track
from tako.api.fieldset import fields_of, show_field
from tako.api.managers import read_managers
from tako.api.patch import PatchInvalid, merge_patch
from tako.api.schema import Schema
from tako.model.crd import custom_resource_definition
from tako.model.kinds import APP

SCHEMA = Schema(custom_resource_definition(APP)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
T1, T2, T3 = "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z", "2026-01-01T00:00:03Z"


def app(metadata=None, **spec):
    meta = {"name": "hello", "namespace": "production", **(metadata or {})}
    return {"apiVersion": "tako.sh/v1", "kind": "App", "metadata": meta, "spec": spec}


def owners(doc, field):
    return {who.name for who, manager in read_managers(doc).items() if field in map(show_field, manager.paths)}


def without_managers(doc):
    return {**doc, "metadata": {key: value for key, value in doc["metadata"].items() if key != "managedFields"}}


def update(old, patch, manager, now=T2, subresource=None):
    return track(old, merge_patch(old, patch), manager, "Update", now, SCHEMA, subresource)


def test_the_first_apply_makes_the_document_and_owns_what_it_names():
    config = app(main="a:b", routes=["x.localhost"], env={"A": "1"})
    doc = apply(None, config, "ci", False, SCHEMA, T1)
    assert without_managers(doc) == config
    assert doc["metadata"]["managedFields"] == [
        {
            "manager": "ci",
            "operation": "Apply",
            "apiVersion": "tako.sh/v1",
            "time": T1,
            "fieldsType": "FieldsV1",
            "fieldsV1": {
                "f:spec": {"f:main": {}, "f:routes": {'v:"x.localhost"': {}}, "f:env": {"f:A": {}}},
            },
        }
    ]


def test_applying_the_same_again_changes_nothing_even_the_time():
    doc = apply(None, app(main="a:b", routes=["x", "y"]), "ci", False, SCHEMA, T1)
    stored = SCHEMA.default(doc)
    assert apply(stored, app(main="a:b", routes=["x", "y"]), "ci", False, SCHEMA, T2) == stored


def test_what_is_no_longer_named_goes_and_its_default_comes_back():
    doc = SCHEMA.default(apply(None, app(main="a:b", instances=3, env={"A": "1"}), "ci", False, SCHEMA, T1))
    doc = apply(doc, app(main="a:b"), "ci", False, SCHEMA, T2)
    assert "env" not in doc["spec"]
    assert "instances" not in doc["spec"]
    assert SCHEMA.default(doc)["spec"]["instances"] == 1
    assert doc["spec"]["health"] == {"path": "/status"}, "what nobody named stays"


def test_a_field_that_another_manager_set_is_a_conflict_that_names_it():
    doc = apply(None, app(instances=1), "ci", False, SCHEMA, T1)
    doc = update(doc, {"spec": {"instances": 5}}, "kubectl", T2, "scale")
    assert owners(doc, ".spec.instances") == {"kubectl"}
    with pytest.raises(ApplyConflicts) as caught:
        apply(doc, app(instances=2), "ci", False, SCHEMA, T3)
    manager = f'"kubectl" with subresource "scale" using tako.sh/v1 at {T2}'
    assert str(caught.value) == f"Apply failed with 1 conflict: conflict with {manager}: .spec.instances"
    assert caught.value.causes == [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": ".spec.instances"}
    ]


def test_several_conflicts_are_told_at_once():
    doc = apply(None, app(instances=1, main="a:b"), "one", False, SCHEMA, T1)
    with pytest.raises(ApplyConflicts) as caught:
        apply(doc, app(instances=2, main="c:d"), "two", False, SCHEMA, T2)
    assert str(caught.value) == 'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.instances\n- .spec.main'


def test_force_takes_the_field():
    doc = apply(None, app(instances=1, main="a:b"), "one", False, SCHEMA, T1)
    doc = apply(doc, app(instances=2), "two", True, SCHEMA, T2)
    assert doc["spec"]["instances"] == 2
    assert owners(doc, ".spec.instances") == {"two"}
    assert owners(doc, ".spec.main") == {"one"}


def test_two_who_agree_share_a_field_and_it_goes_with_the_last():
    doc = apply(None, app(main="a:b", routes=["x"]), "one", False, SCHEMA, T1)
    doc = apply(doc, app(main="a:b", routes=["x", "y"]), "two", False, SCHEMA, T1)
    assert owners(doc, '.spec.routes[="x"]') == {"one", "two"}
    doc = apply(doc, app(), "one", False, SCHEMA, T2)
    assert doc["spec"] == {"main": "a:b", "routes": ["x", "y"]}
    doc = apply(doc, app(routes=["y"]), "two", False, SCHEMA, T3)
    assert doc["spec"] == {"routes": ["y"]}


def test_conditions_of_two_managers_live_beside_each_other():
    def status(type_, value):
        condition = {"type": type_, "status": value, "reason": "R", "lastTransitionTime": T1}
        return {**app(), "status": {"conditions": [condition]}}

    doc = apply(app(), status("Ready", "True"), "one", False, SCHEMA, T1, "status")
    doc = apply(doc, status("Synced", "True"), "two", False, SCHEMA, T1, "status")
    doc = apply(doc, status("Ready", "False"), "one", False, SCHEMA, T2, "status")
    assert [(c["type"], c["status"]) for c in doc["status"]["conditions"]] == [("Ready", "False"), ("Synced", "True")]
    assert owners(doc, '.status.conditions[type="Synced"].status') == {"two"}


def test_an_object_that_nobody_applied_is_not_tracked():
    assert update(app(main="a:b"), {"spec": {"main": "c:d"}}, "kopf") == app(main="c:d")


def test_what_was_there_before_the_first_apply_belongs_to_nobody_else():
    with pytest.raises(ApplyConflicts, match=r'conflict with "before-first-apply" using tako\.sh/v1'):
        apply(app(main="a:b"), app(main="c:d"), "ci", False, SCHEMA, T1)
    doc = apply(app(main="a:b", instances=2), app(main="a:b", env={"A": "1"}), "ci", False, SCHEMA, T1)
    assert owners(doc, ".spec.instances") == {"before-first-apply"}


def test_kubectl_may_move_from_client_side_to_server_side_apply():
    annotation = {"annotations": {LAST_APPLIED: json.dumps(app(main="a:b"))}}
    live = app(annotation, main="a:b", instances=2)
    doc = apply(live, app(main="c:d"), "kubectl", False, SCHEMA, T1)
    assert doc["spec"]["main"] == "c:d"
    with pytest.raises(ApplyConflicts, match=r"\.spec\.instances"):
        apply(live, app(instances=3), "kubectl", False, SCHEMA, T1)


def test_a_client_may_move_or_reset_managers():
    doc = apply(None, app(main="a:b"), "one", False, SCHEMA, T1)
    (entry,) = doc["metadata"]["managedFields"]
    moved = update(doc, {"metadata": {"managedFields": [{**entry, "manager": "two"}]}}, "kubectl")
    assert owners(moved, ".spec.main") == {"two"}
    assert "managedFields" not in update(doc, {"metadata": {"managedFields": [{}]}}, "x")["metadata"]
    assert owners(update(doc, {"metadata": {"managedFields": None}}, "x"), ".spec.main") == {"one"}


def test_identity_and_what_the_server_writes_are_nobodys():
    live = app({"uid": "1", "generation": 3, "creationTimestamp": T1}, main="a:b")
    config = app({"creationTimestamp": None, "labels": {"a": "b"}}, main="a:b")
    doc = apply(live, config, "ci", False, SCHEMA, T1)
    assert (doc["metadata"]["uid"], doc["metadata"]["creationTimestamp"]) == ("1", T1)
    fields = {show_field(path) for manager in read_managers(doc).values() for path in manager.paths}
    assert fields == {".metadata.labels.a", ".spec.main"}


def test_a_configuration_with_managers_of_its_own_is_refused():
    with pytest.raises(PatchInvalid, match="must be nil"):
        apply(None, app({"managedFields": [{"manager": "x"}]}), "ci", False, SCHEMA, T1)


def test_fields_the_schema_does_not_know_are_owned_by_nobody():
    doc = apply(None, app(main="a:b", mian="x"), "ci", False, SCHEMA, T1)
    assert doc["spec"]["mian"] == "x", "it is for the caller to prune or to refuse"
    assert owners(doc, ".spec.mian") == set()


scraps = st.recursive(
    st.none() | st.integers() | st.text("fk:.", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["f:a", ".", "k:{", ""]), inner),
    max_leaves=5,
)
ENTRIES = st.dictionaries(st.sampled_from(["manager", "operation", "fieldsV1", "time", "subresource"]), scraps)


@given(scraps | st.lists(ENTRIES | scraps, max_size=3))
def test_managers_that_a_client_made_up_harm_nobody(claimed):
    doc = apply(None, app(main="a:b"), "one", False, SCHEMA, T1)
    written = update(doc, {"metadata": {"managedFields": claimed}, "spec": {"main": "c:d"}}, "x")
    assert without_managers(written) == app(main="c:d")
    again = apply(written, app(main="e:f"), "one", True, SCHEMA, T3)
    assert owners(again, ".spec.main") == {"one"}


# --- laws ---------------------------------------------------------------------------------------------------------

MANAGERS = st.sampled_from(["one", "two", "three"])
NUMBERS = st.integers(0, 2)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "instances": NUMBERS,
        "main": st.sampled_from(["a:b", "c:d"]),
        "env": st.dictionaries(st.sampled_from("ABC"), st.sampled_from("12"), min_size=1),
        "health": st.fixed_dictionaries({"path": st.sampled_from(["/a", "/b"])}),
        "routes": st.lists(st.sampled_from("xyz"), min_size=1, unique=True),
        "start": st.lists(st.sampled_from("pq"), min_size=1, max_size=2),
    },
)
STEPS = st.lists(st.tuples(st.sampled_from(["apply", "update"]), MANAGERS, CONFIGS), min_size=1, max_size=8)


def leaves(spec):
    return {path: value for path, value in fields_of({"spec": spec}, SCHEMA.document).items() if path != ("f:spec",)}


class Model:
    """Each field by itself: its value, and the managers that want it."""

    def __init__(self):
        self.values, self.owners, self.wanted = {}, defaultdict(set), defaultdict(set)

    def apply(self, manager, spec):
        wanted, me = leaves(spec), (manager, "Apply")
        for path in self.wanted[me] - wanted.keys():
            self.owners[path].discard(me)
            if not self.owners[path]:
                self.values.pop(path, None)
        for path, value in wanted.items():
            self._set(path, value, me)
        self.wanted[me] = set(wanted)

    def update(self, manager, spec):
        for path, value in leaves(spec).items():
            if self.values.get(path) != value:
                self._set(path, value, (manager, "Update"))

    def _set(self, path, value, who):
        if self.values.get(path) != value:
            self.owners[path].clear()
        self.values[path] = value
        self.owners[path].add(who)


def play(steps):
    model, doc = Model(), None
    for verb, manager, spec in [("apply", "zero", {}), *steps]:
        if verb == "apply":
            doc = apply(doc, app({"labels": {manager: "x"}}, **copy.deepcopy(spec)), manager, True, SCHEMA, T1)
            model.apply(manager, spec)
        else:
            kept = (doc.get("spec") or {}).get("routes", [])
            routes = [*kept, *(route for route in spec.get("routes", []) if route not in kept)]
            patch = {**spec, **({"routes": routes} if routes else {})}
            doc = update(doc, {"spec": patch}, manager)
            model.update(manager, spec)
    return model, doc


@given(STEPS)
@settings(deadline=None)
def test_a_field_goes_exactly_when_nobody_wants_it_any_more(steps):
    model, doc = play(steps)
    assert leaves(doc.get("spec") or {}) == model.values


@given(STEPS)
@settings(deadline=None)
def test_each_field_has_the_owners_that_set_its_value(steps):
    model, doc = play(steps)
    seen = defaultdict(set)
    for who, manager in read_managers(doc).items():
        for path in manager.paths:
            if path[0] == "f:spec" and len(path) > 1:
                seen[path].add((who.name, who.operation))
    assert dict(seen) == {path: who for path, who in model.owners.items() if who and path in model.values}


@given(STEPS, CONFIGS)
@settings(deadline=None)
def test_applying_twice_is_applying_once(steps, spec):
    _, doc = play(steps)
    once = apply(doc, app(**spec), "one", True, SCHEMA, T2)
    before = copy.deepcopy(once)
    assert apply(once, app(**spec), "one", False, SCHEMA, T3) == once
    assert once == before


@given(STEPS, CONFIGS)
@settings(deadline=None)
def test_without_force_nothing_of_others_ever_changes(steps, spec):
    _, doc = play(steps)
    others = {who: manager for who, manager in read_managers(doc).items() if who.name != "new"}
    try:
        after = apply(doc, app(**spec), "new", False, SCHEMA, T2)
    except ApplyConflicts:
        return
    assert {who: manager for who, manager in read_managers(after).items() if who.name != "new"} == others
    fields, now = leaves(doc.get("spec") or {}), leaves(after.get("spec") or {})
    assert all(now[path] == value for path, value in fields.items())
