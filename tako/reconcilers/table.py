"""What the proxy is to forward by, from resources and processes. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from tako.host_agent.layout import Layout
from tako.host_agent.views import AppView
from tako.model.conditions import is_true
from tako.model.control import Challenge, Endpoint, Policies, TableApp, TableCertificate
from tako.model.kinds import InstanceState
from tako.model.kinds.app import SourceIp
from tako.model.names import DeploymentId, ReleaseId
from tako.proxy.table import TableContent, compile_table
from tako.reconcilers.route import claims

Doc = dict[str, Any]

_IN_TABLE = {
    InstanceState.HEALTHY: "active",
    # Not chosen, but what is in flight to it may still end well.
    InstanceState.UNHEALTHY: "draining",
    InstanceState.DRAINING: "draining",
}


def table_content(
    apps: Iterable[Doc],
    views: dict[DeploymentId, AppView],
    releases: Iterable[Doc],
    routes: Iterable[Doc],
    certificates: Iterable[Doc],
    default_certificate: TableCertificate | None,
    policies: Policies,
    layout: Layout,
    challenges: Iterable[Challenge] = (),
) -> TableContent:
    """Return the table for these documents and processes.

    Apps that are being deleted, or that nobody declares any more, still drain in it: only the proxy knows when
    their last request has ended.
    """
    public_dirs = {
        (doc["metadata"]["namespace"], doc["metadata"]["name"]): doc["status"]["publicDir"]
        for doc in releases
        if "publicDir" in doc.get("status", {})
    }
    declared = tuple(_app(doc, views, public_dirs, layout) for doc in apps)
    names = {app.app for app in declared}
    undeclared = (TableApp(app=str(app), endpoints=_endpoints(view)) for app, view in views.items() if view.instances)
    return compile_table(
        apps=(*declared, *(app for app in undeclared if app.app not in names)),
        routes=claims(routes),
        certificates=tuple(_certificate(doc) for doc in certificates if is_true(doc, "Ready")),
        default_certificate=default_certificate,
        policies=policies,
        challenges=challenges,
    )


def served_release(view: AppView) -> ReleaseId | None:
    """Return the release that an app's files are served from: the wanted one as soon as an instance of it serves."""
    if not view.given_up and any(one.release == view.wanted_release for one in view.healthy):
        return view.wanted_release
    return view.settled_release


def uses_cloudflare(apps: Iterable[Doc]) -> bool:
    """Tell whether any route believes what Cloudflare's proxies say."""
    believing = (SourceIp.AUTO, SourceIp.CLOUDFLARE_PROXY)
    return any(doc["spec"].get("routes") and doc["spec"].get("sourceIp", SourceIp.AUTO) in believing for doc in apps)


def _app(
    doc: Doc, views: dict[DeploymentId, AppView], public_dirs: Mapping[tuple[str, str], str], layout: Layout
) -> TableApp:
    app = DeploymentId(doc["metadata"]["name"], doc["metadata"]["namespace"])
    view = views.get(app, AppView(app))
    return TableApp(
        app=str(app),
        endpoints=_endpoints(view),
        source_ip=doc["spec"].get("sourceIp", "auto"),
        public_dir=public_dirs.get((app.environment, f"{app.app}-{served_release(view)}")),
        max_connections=doc["spec"].get("maxConnections", 0),
        access_log=str(layout.app(app).access_log),
    )


def _endpoints(view: AppView) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(instance=one.id, addr=f"127.0.0.1:{one.port}", state=_IN_TABLE[one.state])
        for one in view.instances
        if one.state in _IN_TABLE and one.port is not None
    )


def _certificate(doc: Doc) -> TableCertificate:
    status = doc["status"]
    return TableCertificate(
        names=tuple(doc["spec"]["hosts"]),
        chain_path=f"{status['path']}/fullchain.pem",
        key_path=f"{status['path']}/privkey.pem",
        fingerprint=status["fingerprint"],
    )
