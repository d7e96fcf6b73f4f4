"""What an App makes, and that planning twice makes nothing."""

from typing import Any

import pytest

from tako.model.kinds.app import AppSpec
from tako.model.names import ReleaseId
from tako.reconcilers.app_children import (
    RELEASES_KEPT,
    Create,
    Remove,
    Update,
    certificate_name,
    plan_children,
    release_version,
    stale_releases,
)

Doc = dict[str, Any]
VERSION, DIGEST = ReleaseId("0123456789ab"), "sha256:" + "a" * 64
NOTHING: dict[str, list[Doc]] = {"releases": [], "routes": [], "certificates": []}


def app(**spec: object) -> Doc:
    wanted = {"source": {"path": "/srv/shop"}, "start": ["./shop"], "routes": ["shop.localhost"], **spec}
    meta = {"name": "shop", "namespace": "production", "uid": "u1", "generation": 1}
    return {"apiVersion": "tako.sh/v1", "kind": "App", "metadata": meta, "spec": wanted}


def carried_out(seen: dict[str, list[Doc]], app_doc: Doc) -> dict[str, list[Doc]]:
    after = {plural: [dict(d) for d in docs] for plural, docs in seen.items()}
    for write in plan_children(app_doc, VERSION, DIGEST, seen):
        match write:
            case Create(kind, doc):
                after[kind.plural].append(doc)
            case Update(kind, name, spec):
                after[kind.plural] = [
                    {**d, "spec": spec} if d["metadata"]["name"] == name else d for d in after[kind.plural]
                ]
            case Remove(kind, name):
                after[kind.plural] = [d for d in after[kind.plural] if d["metadata"]["name"] != name]
    return after


def test_an_app_makes_a_release_a_route_and_a_certificate() -> None:
    seen = carried_out(NOTHING, app())
    assert [d["spec"]["version"] for d in seen["releases"]] == [VERSION]
    assert [d["spec"]["pattern"] for d in seen["routes"]] == ["shop.localhost"]
    assert [d["spec"]["hosts"] for d in seen["certificates"]] == [["shop.localhost"]]
    assert all(d["metadata"]["ownerReferences"][0]["uid"] == "u1" for docs in seen.values() for d in docs)


def test_planning_again_writes_nothing() -> None:
    shop = app(routes=["shop.localhost", "shop.localhost/api/*", "*.shop.localhost"])
    assert plan_children(shop, VERSION, DIGEST, carried_out(NOTHING, shop)) == ()


def test_a_route_that_is_not_declared_any_more_goes_with_its_certificate() -> None:
    seen = carried_out(NOTHING, app(routes=["a.localhost", "b.localhost"]))
    after = carried_out(seen, app(routes=["b.localhost"]))
    assert [d["spec"]["pattern"] for d in after["routes"]] == ["b.localhost"]
    assert [d["metadata"]["name"] for d in after["certificates"]] == ["b.localhost"]


def test_two_apps_below_one_host_share_its_certificate() -> None:
    other = {"metadata": {"name": "shop.localhost", "namespace": "production"}, "spec": {"hosts": ["shop.localhost"]}}
    assert carried_out({**NOTHING, "certificates": [other]}, app())["certificates"] == [other]


def test_a_child_somebody_changed_is_put_right() -> None:
    seen = carried_out(NOTHING, app())
    seen["routes"][0]["spec"] = {"app": "shop", "pattern": "elsewhere.localhost"}
    assert carried_out(seen, app())["routes"][0]["spec"]["pattern"] == "shop.localhost"


@pytest.mark.parametrize("field", [{"main": "other"}, {"start": ["./other"]}, {"appDir": "web"}, {"runtime": "node"}])
def test_what_is_prepared_beside_the_files_makes_another_version(field: dict[str, object]) -> None:
    def version(doc: Doc) -> str:
        return release_version(AppSpec.model_validate(doc["spec"]), DIGEST)

    assert version(app()) != version(app(**field))
    assert version(app()) == version(app(instances=3, env={"A": "b"}))


def test_old_releases_go_but_never_one_in_use() -> None:
    docs = [
        {
            "metadata": {"name": f"shop-{n}", "creationTimestamp": f"2026-01-01T00:00:{n:02}Z"},
            "spec": {"version": str(n)},
        }
        for n in range(RELEASES_KEPT + 3)
    ]
    assert set(stale_releases(docs, ["1"], "2026-01-02T00:00:00Z")) == {"shop-0", "shop-2"}
    assert stale_releases(docs[:3], ["1"], "2026-01-30T00:00:00Z") == ()
    assert set(stale_releases(docs[:3], ["1"], "2026-02-01T00:00:00Z")) == {"shop-0", "shop-2"}


def test_a_wildcard_has_a_name_that_an_object_may_have() -> None:
    assert certificate_name("*.example.com") == "wildcard.example.com"
