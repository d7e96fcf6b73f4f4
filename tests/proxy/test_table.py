from hypothesis import given
from hypothesis import strategies as st

from tako.model.control import Challenge, Delta, Endpoint, Policies, Table, TableApp, TableCertificate
from tako.model.names import DeploymentId
from tako.proxy.table import Claim, TableContent, changes_between, compile_table, contested, render_change

SHOP, BLOG = DeploymentId("shop", "production"), DeploymentId("blog", "staging")


def entry(app: DeploymentId, *instances: str) -> TableApp:
    return TableApp(app=str(app), endpoints=tuple(Endpoint(instance=name, addr="127.0.0.1:1") for name in instances))


def certificate(*names: str) -> TableCertificate:
    return TableCertificate(names=names, chain_path=f"/{names[0]}.pem", key_path="/key.pem", fingerprint="f")


APPS = [entry(SHOP, "b", "a", "c"), entry(BLOG), entry(DeploymentId("api", "production"), "z")]
CLAIMS = [
    Claim.declare(SHOP, "Shop.localhost/", since="2026-01-02T00:00:00Z"),
    Claim.declare(SHOP, "shop.localhost/cart/*", since="2026-01-02T00:00:00Z"),
    Claim.declare(BLOG, "*.localhost", since="2026-01-01T00:00:00Z"),
    Claim.declare(BLOG, "shop.localhost", since="2026-01-03T00:00:00Z"),
]
CERTIFICATES = [certificate("shop.localhost"), certificate("*.localhost", "localhost")]


@given(st.permutations(APPS), st.permutations(CLAIMS), st.permutations(CERTIFICATES))
def test_the_table_does_not_depend_on_the_order_of_the_facts(
    apps: list[TableApp], claims: list[Claim], certificates: list[TableCertificate]
) -> None:
    assert compile_table(apps, claims, certificates) == compile_table(APPS, CLAIMS, CERTIFICATES)


@given(st.permutations(["a", "b", "c"]))
def test_the_order_of_an_apps_instances_does_not_make_another_table(instances: list[str]) -> None:
    assert compile_table([entry(SHOP, *instances)], []) == compile_table([entry(SHOP, "a", "b", "c")], [])


def test_a_route_two_apps_claim_stays_with_the_one_that_had_it_first() -> None:
    content = compile_table(APPS, CLAIMS)
    routes = {(route.host, route.path): route.app for route in content.routes}
    assert routes[("shop.localhost", None)] == "shop/production"
    assert contested(CLAIMS) == {CLAIMS[3]: CLAIMS[0]}


def test_an_app_that_declares_one_route_twice_is_in_no_conflict() -> None:
    twice = [Claim.declare(SHOP, "a.localhost"), Claim.declare(SHOP, "A.localhost/*")]
    assert not contested(twice)
    assert len(compile_table(APPS, twice).routes) == 1


def test_a_route_keeps_the_text_it_was_declared_with() -> None:
    (route,) = compile_table(APPS, [Claim.declare(SHOP, "Shop.Localhost/cart/")]).routes
    assert (route.host, route.path, route.pattern) == ("shop.localhost", "/cart", "Shop.Localhost/cart/")


def test_a_route_to_an_app_without_an_entry_is_not_served() -> None:
    assert compile_table([], [Claim.declare(SHOP, "shop.localhost")]).routes == ()


def test_a_change_of_instances_is_a_delta_of_the_apps_that_changed() -> None:
    old, new = compile_table([entry(SHOP, "a"), entry(BLOG)], []), compile_table([entry(BLOG), entry(SHOP, "b")], [])
    assert render_change((7, old), 8, new) == Delta(base=7, generation=8, apps=(entry(SHOP, "b"),))


def test_anything_else_that_changes_is_a_whole_table() -> None:
    base = compile_table(APPS, CLAIMS, CERTIFICATES)
    others = [
        compile_table(APPS[:2], CLAIMS, CERTIFICATES),
        compile_table(APPS, CLAIMS[1:], CERTIFICATES),
        compile_table(APPS, CLAIMS, CERTIFICATES[1:]),
        compile_table(APPS, CLAIMS, CERTIFICATES, Policies(https_port=8443)),
        compile_table(APPS, CLAIMS, CERTIFICATES, default_certificate=certificate("localhost")),
        compile_table(APPS, CLAIMS, CERTIFICATES, challenges=[Challenge(token="t", key_authorization="t.k")]),
        TableContent(),
    ]
    for other in others:
        assert changes_between(base, other) is None
        assert isinstance(render_change((1, base), 2, other), Table)
    assert isinstance(render_change(None, 2, base), Table)


@given(st.lists(st.sampled_from(["a", "b", "c"]), unique=True), st.lists(st.sampled_from(["b", "c", "d"]), unique=True))
def test_a_delta_applied_to_its_base_equals_the_table(before: list[str], after: list[str]) -> None:
    base = compile_table([entry(SHOP, *before), entry(BLOG)], CLAIMS)
    content = compile_table([entry(SHOP, *after), entry(BLOG)], CLAIMS)
    delta = render_change((1, base), 2, content)
    assert isinstance(delta, Delta)
    replaced = {changed.app: changed for changed in delta.apps}
    assert tuple(replaced.get(held.app, held) for held in base.apps) == content.apps
