"""Rules of our kinds: what is refused, and what the message says to do."""

import pytest

from tako.model.rules import app_faults, certificate_faults, release_faults, route_faults


def app(name="hello", namespace="production", /, **spec):
    base = {"source": {"path": "/srv/hello"}, "runtime": "python-asgi", "main": "app:app"}
    merged = {key: value for key, value in {**base, **spec}.items() if value is not None}
    return {"kind": "App", "metadata": {"name": name, "namespace": namespace}, "spec": merged}


def route(pattern, app_name="hello", namespace="production", name="r"):
    return {
        "kind": "Route",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"app": app_name, "pattern": pattern},
    }


def messages(found):
    return [f"{fault.field}: {fault.message}" for fault in found]


@pytest.mark.parametrize(
    "good",
    [
        app(),
        app(main="pkg.web:create.app", runtime="python-wsgi"),
        app(runtime="node", main="src/server.js", appDir="web", installDir="."),
        app(runtime="bun", main="@scope/web/server"),
        app(runtime="go", main="bin/server"),
        app(runtime=None, main=None, start=["./serve", "--port", "0"]),
        app(runtime=None, main="serve.sh", start=["/bin/sh", "{main}"]),
        app(runtime="python-asgi", main="serve.py", start=["python3", "{main}"]),
        app(source={"archive": "/srv/a.tar.zst"}),
        app(source={"path": "/srv/a", "digest": "sha256:00"}),
        app(env={"LOG_LEVEL": "debug", "_x9": ""}),
        app(instances=4, maxInstances=4),
        app(instances=0),
        app("a" * 63),
        app(routes=["a.localhost", "*.localhost", "a.localhost/api/*"]),
    ],
)
def test_a_good_app_has_no_fault(good):
    assert app_faults(good, [], cpus=2) == []


BAD_APPS = [
    (app("a" * 64), "metadata.name", "is 64 characters long; at most 63"),
    (app("Hello"), "metadata.name", "must begin with a lowercase letter"),
    (app("hello", "9"), "metadata.namespace", "must begin with a lowercase letter"),
    (app(source={}), "spec.source", "give path, a directory on this host, or archive"),
    (app(source={"path": "/a", "archive": "/b.tar"}), "spec.source.archive", "spec.source.path is given too"),
    (app(source={"path": "./web"}), "spec.source.path", '"./web": must be an absolute path'),
    (app(source={"archive": "/a.zip"}), "spec.source.archive", "must end with one of .tar, .tar.gz, .tar.zst"),
    (app(runtime=None, main=None), "spec.runtime", "python-asgi, python-wsgi, node, bun, go"),
    (app(main=None), "spec.main", "needs an entry point, for example app:app"),
    (app(main=""), "spec.main", "needs an entry point"),
    (app(main="app.py"), "spec.main", "must be module:callable for runtime python-asgi"),
    (app(runtime="node", main="/etc/x.js"), "spec.main", "must be relative to the source, not absolute"),
    (app(runtime="node", main="a/../../x.js"), "spec.main", "may not leave the source by '..'"),
    (app(runtime=None, main=None, start=["x", "{main}"]), "spec.main", "the start command names {main}"),
    (app(runtime=None, main="../x", start=["x", "{main}"]), "spec.main", "may not leave the source"),
    (app(appDir="../other"), "spec.appDir", "may not leave the source by '..'"),
    (app(installDir="/usr"), "spec.installDir", "must be relative to the source"),
    (app(env={"PORT": "80"}), "spec.env.PORT", "PORT is set by Tako in every instance"),
    (app(env={"A-B": "1"}), "spec.env.A-B", "only letters, digits and '_'"),
    (app(env={"A": "\0"}), "spec.env.A", "NUL"),
    (app(instances=5, maxInstances=4), "spec.instances", "less than or equal to 4 (spec.maxInstances)"),
    (app(instances=5), "spec.instances", "less than or equal to 4 (2 for each of 2 CPUs; set spec.maxInstances"),
    (app(routes=["https://a.b"]), "spec.routes[0]", "is a URL"),
    (app(routes=["/api/*"]), "spec.routes[0]", "has no host name"),
    (app(routes=["a.b", "A.b/"]), "spec.routes[1]", 'Duplicate value: "A.b/": means the same as a.b at spec.routes[0]'),
]


@pytest.mark.parametrize(("bad", "field", "words"), BAD_APPS, ids=[f"{case[1]}: {case[2][:30]}" for case in BAD_APPS])
def test_a_fault_names_the_field_and_what_is_allowed(bad, field, words):
    (fault,) = app_faults(bad, [], cpus=2)
    assert fault.field == field
    assert words in fault.message


def test_every_fault_of_an_app_is_told_at_once():
    found = app_faults(app(source={}, main="x", env={"PORT": "1"}, routes=["*"]), [])
    assert [fault.field for fault in found] == ["spec.source", "spec.main", "spec.env.PORT", "spec.routes[0]"]


def test_a_route_that_another_app_claims_is_refused_with_its_name():
    other = app("shop", "staging", routes=["x.localhost", "www.example.com/api/"])
    (fault,) = app_faults(app(routes=["a.localhost", "WWW.example.com/api"]), [other])
    assert fault.field == "spec.routes[1]"
    assert fault.reason == "FieldValueDuplicate"
    assert 'already claimed by app "shop" in namespace "staging"' in fault.message


def test_a_more_specific_route_is_no_conflict():
    other = app("shop", routes=["*.example.com", "example.com", "example.com/a"])
    assert app_faults(app(routes=["a.example.com", "example.com/a/*", "example.com/b"]), [other]) == []


def test_an_app_does_not_conflict_with_itself_or_with_its_own_routes():
    mine = app(routes=["a.localhost"])
    assert app_faults(mine, [mine], [route("a.localhost")]) == []
    assert route_faults(route("a.localhost"), [route("a.localhost", name="again")], [mine]) == []


def test_the_same_name_in_another_namespace_is_another_app():
    assert len(app_faults(app(routes=["a.localhost"]), [app("hello", "staging", routes=["a.localhost"])])) == 1


def test_routes_and_apps_conflict_with_each_other():
    (fault,) = app_faults(app(routes=["a.localhost"]), [], [route("a.localhost", "shop", name="spare")])
    assert 'by app "shop" in namespace "production" (route "spare")' in fault.message
    (fault,) = route_faults(route("a.localhost", "shop"), [], [app(routes=["a.localhost"])])
    assert (fault.field, fault.reason) == ("spec.pattern", "FieldValueDuplicate")


def test_a_route_needs_a_pattern_and_an_app_that_can_be():
    assert [fault.field for fault in route_faults(route("*", "No"), [], [])] == ["spec.app", "spec.pattern"]


def test_a_stored_pattern_that_cannot_be_parsed_claims_nothing():
    assert app_faults(app(routes=["a.localhost"]), [app("old", routes=["*.*"])]) == []


def release(**spec):
    return {"metadata": {}, "spec": {"app": "hello", "version": "v1", "source": {"path": "/srv/a"}, **spec}}


def test_releases():
    assert release_faults(release()) == []
    assert messages(release_faults(release(version=".."))) == [
        'spec.version: Invalid value: "..": becomes a directory\'s name; give another one'
    ]
    assert [fault.field for fault in release_faults(release(app="A", appDir="..", source={}))] == [
        *("spec.app", "spec.source", "spec.appDir"),
    ]


@pytest.mark.parametrize(
    ("hosts", "fields"),
    [
        (["a.example.com", "*.example.com", "localhost"], []),
        (["a.example.com/x"], ["spec.hosts[0]"]),
        (["a b", "ok.example.com"], ["spec.hosts[0]"]),
        (["a.b", "A.B"], ["spec.hosts[1]"]),
        (["../etc"], ["spec.hosts[0]"]),
    ],
)
def test_certificates(hosts, fields):
    assert [fault.field for fault in certificate_faults({"spec": {"hosts": hosts}})] == fields
