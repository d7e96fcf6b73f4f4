"""What the proxy is to forward by, from resources and processes. Pure."""

from collections.abc import Iterable
from typing import Any

from tako.host_agent.views import AppView
from tako.model.conditions import is_true
from tako.model.control import Endpoint, Policies, TableApp, TableCertificate
from tako.model.kinds import InstanceState
from tako.model.names import DeploymentId
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
    routes: Iterable[Doc],
    certificates: Iterable[Doc],
    default_certificate: TableCertificate | None,
    policies: Policies,
) -> TableContent:
    """Return the table for these documents and processes.

    Apps that are being deleted, or that nobody declares any more, still drain in it: only the proxy knows when
    their last request has ended.
    """
    declared = tuple(_app(doc, views) for doc in apps)
    names = {app.app for app in declared}
    undeclared = (TableApp(app=str(app), endpoints=_endpoints(view)) for app, view in views.items() if view.instances)
    return compile_table(
        apps=(*declared, *(app for app in undeclared if app.app not in names)),
        routes=claims(routes),
        certificates=tuple(_certificate(doc) for doc in certificates if is_true(doc, "Ready")),
        default_certificate=default_certificate,
        policies=policies,
    )


def _app(doc: Doc, views: dict[DeploymentId, AppView]) -> TableApp:
    app = DeploymentId(doc["metadata"]["name"], doc["metadata"]["namespace"])
    source_ip = doc["spec"].get("sourceIp", "auto")
    return TableApp(app=str(app), endpoints=_endpoints(views.get(app)), source_ip=source_ip)


def _endpoints(view: AppView | None) -> tuple[Endpoint, ...]:
    return tuple(
        Endpoint(instance=one.id, addr=f"127.0.0.1:{one.port}", state=_IN_TABLE[one.state])
        for one in (view.instances if view else ())
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
