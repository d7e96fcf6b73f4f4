"""One host: the API, the agent, the proxy and the operator, wired to each other."""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tako import VERSION
from tako.api.background import run_in_background
from tako.api.server import ApiServer
from tako.host_agent.agent import HostAgent
from tako.host_agent.applog import AppLogs
from tako.host_agent.isolation import IsolationMode, detect
from tako.host_agent.layout import Layout
from tako.host_agent.processes import Processes
from tako.host_agent.removal import remove_unfinished
from tako.host_agent.rollout import Timing
from tako.host_agent.supervisor import Refusal
from tako.model.conditions import condition_of, is_true
from tako.model.control import Policies, Stats, TableCertificate
from tako.model.crd import custom_resource_definition
from tako.model.errors import Refused
from tako.model.kinds import APP, CERTIFICATE, INSTANCE, KINDS, RELEASE, ROUTE, Kind
from tako.model.names import DeploymentId, InstanceId
from tako.proxy.cloudflare import CloudflareRanges
from tako.proxy.listeners import Ports
from tako.proxy.process import find_binary
from tako.proxy.proxyd import Handlers, Proxy
from tako.proxy.table import TableContent
from tako.reconcilers.app import observe_app, reconcile_app, retire_app
from tako.reconcilers.certificate import reconcile_certificate
from tako.reconcilers.host import HostSeen, publish_host, ranges_fault
from tako.reconcilers.instance import remove_instance
from tako.reconcilers.mirror import MIRRORED, Mirror
from tako.reconcilers.operator import Handler, Operator
from tako.reconcilers.release import reconcile_release, remove_release
from tako.reconcilers.route import reconcile_route
from tako.reconcilers.table import table_content, uses_cloudflare
from tako.reconcilers.workqueue import WorkQueue
from tako.reconcilers.world import Doc, World
from tako.server import admission, extensions, pointer
from tako.server.monitor import Monitor
from tako.server.publisher import Publisher
from tako.server.settings import Settings

log = logging.getLogger(__name__)

RESYNC_SECONDS = 10.0
# A production install that failed is not cheap to try again; a certificate only has to be there.
SLOW_RESYNC_EVERY = 6
STOP_SECONDS = 45.0
# The Host counts apps, instances and tables; in a burst it is enough to count now and then.
HOST_STATUS_SECONDS = 0.3


class Host:
    """Everything of one tako-server."""

    def __init__(self, settings: Settings, api: ApiServer) -> None:
        self.settings = settings
        self.api = api
        self.layout = Layout(settings.data_dir)
        isolation = detect(IsolationMode(settings.isolation))
        self.agent = HostAgent(
            self.layout,
            Processes(self.layout),
            AppLogs(self.layout),
            isolation,
            changed=self._processes_changed,
            refuse=self._refuse,
        )
        self.isolation = isolation
        self.mirror = Mirror(api.resources, self._document_changed)
        self.publisher = Publisher(
            self.layout.certs,
            self._table,
            self._policies,
            lambda: self.host_status.add_later(settings.server_name, HOST_STATUS_SECONDS),
        )
        self.world = World(
            resources=api.resources,
            agent=self.agent,
            layout=self.layout,
            mirror=self.mirror,
            https_port=settings.https_port,
            until_served=self.publisher.until_served,
        )
        self.monitor = Monitor(self)
        self.cloudflare = CloudflareRanges(
            self.layout.cloudflare_ranges, self.publish, source=settings.cloudflare_source
        )
        # kopf's calls and our own look at the same objects by the same counted verbs.
        counted = self.monitor.passes.counted
        self.verbs = {
            APP: counted("app", reconcile_app),
            RELEASE: counted("release", reconcile_release),
            ROUTE: counted("route", reconcile_route),
            CERTIFICATE: counted("certificate", reconcile_certificate),
        }
        self.apps = WorkQueue[DeploymentId]("app", self._passes_of(APP))
        self.releases = WorkQueue[DeploymentId]("release", self._passes_of(RELEASE))
        self.routes = WorkQueue[DeploymentId]("route", self._passes_of(ROUTE))
        self.certificates = WorkQueue[DeploymentId]("certificate", self._passes_of(CERTIFICATE))
        self.records = WorkQueue[DeploymentId]("instances of", self._record)
        self.host_status = WorkQueue[str]("host", self._publish_host)
        self.proxy: Proxy | None = None
        self.operator: Operator | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, settings: Settings) -> "Host":
        """Open the store and lock the data directory; Refused when another server has it."""
        crds = [custom_resource_definition(kind) for kind in KINDS]
        api = await ApiServer.open(settings.data_dir, admission.rules(), crds, VERSION)
        return cls(settings, api)

    async def start(self) -> None:
        """Adopt what runs, serve what is declared; returns once both have begun."""
        await self.mirror.start()
        await asyncio.to_thread(remove_unfinished, self.layout)
        await self.publisher.prepare()
        await asyncio.to_thread(self.cloudflare.load)
        self.agent.adopt()
        proxy = Proxy(
            self.layout.proxy,
            Ports(http=self.settings.http_port, https=self.settings.https_port),
            find_binary(),
            handlers=Handlers(
                on_wake=lambda app, waiting: self.agent.wake(DeploymentId.parse(app), waiting),
                on_drained=lambda app, one: self.agent.drained(DeploymentId.parse(app), InstanceId(one)),
                on_stats=self._count,
                on_connect_failed=lambda app, one, _: self.agent.suspect(DeploymentId.parse(app), InstanceId(one)),
            ),
        )
        declared = self.declared()
        for app in declared:
            # The first pass needs no operator: what was declared before is running again before kopf has looked.
            self.apps.add(app)
        self.agent.retire_undeclared(declared)
        await proxy.start()
        self.proxy = self.publisher.proxy = proxy
        self.world.https_port = self.https_port
        self.publish()
        extensions.install(self)
        await self.api.serve_unix(self.layout.api_socket)
        if self.settings.api_port:
            await self.api.serve_tls("127.0.0.1", self.settings.api_port)
        pointer.write(self.layout)
        await self.monitor.start()
        self.operator = self._operator()
        self.operator.start()
        self._tasks = [
            run_in_background(self.operator.watch_over(), "operator's watchdog"),
            run_in_background(self._resync(), "resync"),
            run_in_background(self._tell_when_proxy_serves(proxy), "first look at the proxy"),
        ]
        self.host_status.add(self.settings.server_name)

    async def stop_everything(self) -> None:
        """Finish requests and stop every instance, as stopping a service does."""
        # Nothing may be started again while it is being stopped.
        await self._stop_reconciling()
        if self.proxy is not None:
            await self.proxy.stop(drain_seconds=10.0)
        for app in self.agent.views():
            # The proxy is gone and has finished its requests: nobody is left to say that an instance is drained.
            self.agent.want(app, None, 0, Timing(drain=0.0))
        deadline = asyncio.get_running_loop().time() + STOP_SECONDS
        while not all(self.agent.is_empty(app) for app in self.agent.views()):
            if asyncio.get_running_loop().time() > deadline:
                log.error("some instances did not stop in %.0f s", STOP_SECONDS)
                return
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Let go of everything; what runs goes on."""
        await self._stop_reconciling()
        await self.monitor.close()
        await self.cloudflare.close()
        await self.records.close()
        await self.host_status.close()
        await self.mirror.close()
        if self.proxy is not None:
            self.proxy.detach()
        self.agent.close()
        self.agent.logs.close()
        await self.api.close()
        pointer.remove(self.layout)

    async def _stop_reconciling(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self.operator is not None:
            await self.operator.stop()
            self.operator = None
        for queue in (self.apps, self.releases, self.routes, self.certificates):
            await queue.close()

    # --- passes ---------------------------------------------------------------------------------------------

    def _passes_of(self, kind: Kind) -> Callable[[DeploymentId], Awaitable[None]]:
        return lambda one: self.verbs[kind](self.world, one.environment, one.app)

    async def _record(self, app: DeploymentId) -> None:
        await observe_app(self.world, app)

    async def _publish_host(self, name: str) -> None:
        views = self.agent.views()
        proxy = self.proxy.seen if self.proxy else None
        await publish_host(
            self.world,
            name,
            HostSeen(
                version=VERSION,
                pid=os.getpid(),
                proxy_pid=proxy.pid if proxy and proxy.is_connected else None,
                table_generation=proxy.generation or None if proxy else None,
                proxy_fault=proxy.fault if proxy else "",
                http_port=self.http_port,
                https_port=self.https_port,
                apps=sum(1 for _ in self.mirror.of(APP)),
                instances=sum(len(view.healthy) for view in views.values()),
                cpus=len(os.sched_getaffinity(0)),
                isolation=self.isolation_in_force(),
                missing_isolation=tuple(self.isolation.missing),
                metrics_port=self.monitor.port,
                metrics_fault=self.monitor.fault,
                policies=self._policies(),
                cloudflare_fault=ranges_fault(self.cloudflare.seen, time.time()),
                store_fault=str(self.api.store.last_error) if self.api.store.last_error else None,
                store_notice=self.api.notice,
            ),
        )

    async def _tell_when_proxy_serves(self, proxy: Proxy) -> None:
        """Publish the Host as soon as it is ready, not at the next look."""
        try:
            await proxy.settled(1)
        except Refused:
            pass  # that is what the Host will say
        self.host_status.add(self.settings.server_name)

    async def _resync(self) -> None:
        """Look again at what is not as it should be: a missing directory may have come back without an event."""
        for turn in itertools.count(1):
            await asyncio.sleep(RESYNC_SECONDS)
            # The store and not the mirror: what is declared must never look as if it were not.
            declared, _ = await self.api.resources.list(APP.group_resource)
            self.agent.retire_undeclared(map(_id, declared))
            for doc in declared:
                if not is_true(doc, "Ready"):
                    self.apps.add(_id(doc))
                    if (lost := lost_release(doc, self.mirror)) is not None:
                        self.releases.add(lost)
            if turn % SLOW_RESYNC_EVERY == 0:
                for doc in self.mirror.of(RELEASE):
                    if not is_true(doc, "Ready"):
                        self.releases.add(_id(doc))
                await self.publisher.renew()
                for doc in self.mirror.of(CERTIFICATE):
                    self.certificates.add(_id(doc))
            await self.monitor.open()
            self.cloudflare.look(in_use=uses_cloudflare(declared))
            self.host_status.add(self.settings.server_name)
            pointer.keep(self.layout)

    # --- news -----------------------------------------------------------------------------------------------

    def _processes_changed(self, app: DeploymentId) -> None:
        self.publish()
        self.records.add(app)

    def _document_changed(self, kind: Kind, doc: Doc) -> None:
        if kind in (RELEASE, ROUTE):
            self.apps.add(DeploymentId(doc["spec"]["app"], doc["metadata"]["namespace"]))
        if kind is ROUTE:
            # One that lost against another may win now; what became of that one is no event of its own.
            for route in self.mirror.of(ROUTE):
                if (told := condition_of(route, "Accepted")) is not None and told["status"] != "True":
                    self.routes.add(_id(route))
        if kind is CERTIFICATE:
            # It may have gone with the app that declared it, while another app has routes below the same host.
            for app in self.mirror.in_namespace(APP, doc["metadata"]["namespace"]):
                if any(
                    text.partition("/")[0].lower() in doc["spec"]["hosts"] for text in app["spec"].get("routes", [])
                ):
                    self.apps.add(_id(app))
        if kind in (APP, RELEASE, ROUTE, CERTIFICATE):
            self.publish()

    def _count(self, stats: Stats) -> None:
        self.monitor.count(stats)
        for one in stats.instances:
            app, instance = DeploymentId.parse(one.app), InstanceId(one.instance)
            self.agent.used(app, instance, one.in_flight, one.idle_ms / 1000, one.requests)

    def _refuse(self, app: DeploymentId, reason: Refusal) -> None:
        if self.proxy is not None:
            self.proxy.start_failed(str(app), reason)

    @property
    def http_port(self) -> int:
        return (self.proxy.http_port if self.proxy else None) or self.settings.http_port

    @property
    def https_port(self) -> int:
        """Return the port that is served; another than the one set when that was 0."""
        return (self.proxy.https_port if self.proxy else None) or self.settings.https_port

    def isolation_in_force(self) -> tuple[str, ...]:
        """Return the kinds of isolation this host gives."""
        kinds = {
            "users": self.isolation.user_switch,
            "cgroup-v2": self.isolation.cgroup_v2 is not None,
            "no-new-privileges": self.isolation.no_new_privs,
            "rlimits": self.isolation.rlimits,
        }
        return tuple(name for name, there in kinds.items() if there)

    def _operator_watches(self, group_resource: str) -> int:
        # One of them is the mirror's.
        ours = group_resource in {kind.group_resource for kind in MIRRORED}
        return self.api.store.feed.watched().get(group_resource, 0) - ours

    # --- the table ------------------------------------------------------------------------------------------

    def publish(self) -> None:
        """Give the proxy the table that follows from what is seen."""
        self.publisher.publish()

    def declared(self) -> list[DeploymentId]:
        """Return every app that there is a document of."""
        return [_id(doc) for doc in self.mirror.of(APP)]

    def _table(self, default_certificate: TableCertificate | None, policies: Policies) -> TableContent:
        return table_content(
            apps=self.mirror.of(APP),
            views=self.agent.views(),
            releases=self.mirror.of(RELEASE),
            routes=self.mirror.routes(),
            certificates=self.mirror.of(CERTIFICATE),
            default_certificate=default_certificate,
            policies=policies,
            layout=self.layout,
        )

    def _policies(self) -> Policies:
        trusted = self.settings.config.trusted_proxy
        return Policies(
            https_port=self.https_port,
            max_requests_per_ip=self.settings.max_requests_per_ip,
            trusted_cidrs=trusted.trusted_cidrs,
            client_ip_headers=trusted.client_ip_headers,
            proxy_protocol=trusted.proxy_protocol,
            cloudflare_cidrs=self.cloudflare.ranges,
        )

    def _operator(self) -> Operator:
        def on(work: Callable[[World, str, str], Awaitable[None]]) -> Handler:
            async def handle(namespace: str, name: str) -> None:
                await work(self.world, namespace, name)

            return handle

        return Operator(
            self.layout.api_socket,
            reconcile={kind.plural: on(work) for kind, work in self.verbs.items()},
            remove={
                APP.plural: on(retire_app),
                RELEASE.plural: on(remove_release),
                INSTANCE.plural: on(remove_instance),
            },
            watches=self._operator_watches,
        )


def _id(doc: Doc) -> DeploymentId:
    """Return name and namespace of any document of ours."""
    return DeploymentId(doc["metadata"]["name"], doc["metadata"]["namespace"])


def lost_release(app: Doc, mirror: Mirror) -> DeploymentId | None:
    """Return the wanted release of an app when its files were there and are not any more."""
    meta = app["metadata"]
    name = f"{meta['name']}-{app.get('status', {}).get('wantedRelease')}"
    release = mirror.find(RELEASE, meta["namespace"], name)
    if release is None or not is_true(release, "Ready") or Path(release["status"]["path"]).is_dir():
        return None
    return _id(release)
