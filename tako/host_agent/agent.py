"""The host agent: one supervisor per app, and the parts of the host they share."""

import asyncio
import logging
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path

from tako.host_agent import settled
from tako.host_agent.applog import AppLogs
from tako.host_agent.argv import http_argv
from tako.host_agent.coldstarts import ColdStarts
from tako.host_agent.environment import envelope, http_environment, new_token
from tako.host_agent.isolation import AppUser, Isolation, app_user, confine
from tako.host_agent.launch import LaunchOrder
from tako.host_agent.layout import Layout
from tako.host_agent.processes import Processes, Running
from tako.host_agent.removal import remove_app
from tako.host_agent.rollout import Timing
from tako.host_agent.supervisor import Refusal, Supervisor
from tako.host_agent.template import Template
from tako.host_agent.views import AppView
from tako.model.errors import Refused, TakoError
from tako.model.kinds.app import Runtime
from tako.model.names import INSTANCE_ID_ALPHABET, INSTANCE_ID_LENGTH, DeploymentId, InstanceId

log = logging.getLogger(__name__)


class HostAgent:
    """Everything that runs on this host, app by app."""

    def __init__(
        self,
        layout: Layout,
        processes: Processes,
        logs: AppLogs,
        isolation: Isolation,
        *,
        changed: Callable[[DeploymentId], None],
        refuse: Callable[[DeploymentId, Refusal], None],
    ) -> None:
        self.logs = logs
        self._layout = layout
        self._processes = processes
        self._isolation = isolation
        self._changed = changed
        self._refuse = refuse
        self._supervisors: dict[DeploymentId, Supervisor] = {}
        self._moved = asyncio.Event()  # set at the next change, and then replaced
        self._drains: set[asyncio.Task[None]] = set()

    # --- wanted ---------------------------------------------------------------------------------------------

    def want(self, app: DeploymentId, template: Template | None, instances: int, timing: Timing) -> None:
        """Declare what runs for an app; None drains and stops everything."""
        if template is not None:
            self.logs.watch(app)
        self._supervisor(app).want(template, instances, timing)

    def rescale(self, app: DeploymentId, instances: int, timing: Timing) -> None:
        """Run another number of what an app runs already, or of its last good release; nothing when it has none."""
        self._supervisor(app).rescale(instances, timing)

    def retire(self, app: DeploymentId, instance: InstanceId) -> bool:
        """Replace one instance; False when it is not there."""
        supervisor = self._supervisors.get(app)
        return supervisor is not None and supervisor.retire(instance)

    async def until_gone(self, app: DeploymentId, instance: InstanceId) -> None:
        """Wait until one instance's process has ended."""
        while any(one.id == instance for one in self.view(app).instances):
            await self._next_change()

    async def until_empty(self, app: DeploymentId) -> None:
        """Wait until no process of the app is left."""
        while not self.is_empty(app):
            await self._next_change()

    async def forget_app(self, app: DeploymentId) -> None:
        """Remove everything this host has of an app whose processes are gone, its data too."""
        if supervisor := self._supervisors.pop(app, None):
            supervisor.close()
        await asyncio.to_thread(remove_app, self._layout, app)

    # --- seen -----------------------------------------------------------------------------------------------

    def view(self, app: DeploymentId) -> AppView:
        supervisor = self._supervisors.get(app)
        return supervisor.view() if supervisor else AppView(app)

    def views(self) -> dict[DeploymentId, AppView]:
        return {app: supervisor.view() for app, supervisor in self._supervisors.items()}

    def cold_starts(self) -> dict[DeploymentId, ColdStarts]:
        """Return what is counted of starts by requests; to be read, not to be kept."""
        return {app: supervisor.cold_starts for app, supervisor in self._supervisors.items()}

    def is_empty(self, app: DeploymentId) -> bool:
        supervisor = self._supervisors.get(app)
        return supervisor is None or supervisor.empty

    def owner_of(self, app: DeploymentId) -> AppUser | None:
        """Return the user that an app's files belong to; None where every app runs as the server's own."""
        return app_user(self._isolation, app)

    @property
    def missing_isolation(self) -> tuple[str, ...]:
        return tuple(self._isolation.missing)

    # --- start and stop -------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Take over what an earlier server started, and end what nobody recorded."""
        self.logs.start()
        for running in self._processes.adopt():
            self.logs.watch(running.record.app)
            self._supervisor(running.record.app).adopt(running)
        for record in self._processes.dead_records():
            # It ended while no server ran; the supervisor starts another, and its last lines are in the log.
            self.tell(record.app, "ERROR", "The process ended while tako-server was away.", instance=record.id)
            self.forget(record.app, record.id)
        for orphan in self._processes.orphans():
            log.warning("stopping pid %d: it is an instance of ours that no record names", orphan.pid)
            orphan.kill()

    def retire_undeclared(self, declared: Iterable[DeploymentId]) -> None:
        """Stop the processes of apps that are not declared (any more); those that stop already go on doing so."""
        known = set(declared)
        for app, supervisor in self._supervisors.items():
            if app not in known and not supervisor.empty:
                log.warning("stopping the instances of %s: the app is not declared", app)
                supervisor.want(None, 0, Timing())

    def close(self) -> None:
        """Let go of every process; they run on."""
        for supervisor in self._supervisors.values():
            supervisor.close()

    # --- from the proxy -------------------------------------------------------------------------------------

    def wake(self, app: DeploymentId, waiting: int) -> None:
        if supervisor := self._supervisors.get(app):
            supervisor.wake(waiting)

    def drained(self, app: DeploymentId, instance: InstanceId) -> None:
        if supervisor := self._supervisors.get(app):
            supervisor.drained(instance)

    def used(self, app: DeploymentId, instance: InstanceId, in_flight: int, idle_seconds: float, requests: int) -> None:
        if supervisor := self._supervisors.get(app):
            supervisor.used(instance, in_flight, idle_seconds, requests)

    def suspect(self, app: DeploymentId, instance: InstanceId) -> None:
        if supervisor := self._supervisors.get(app):
            supervisor.suspect(instance)

    # --- what supervisors ask (Outlet) ----------------------------------------------------------------------

    def spawn(self, template: Template, restarts: int) -> Running:
        """Start one process; Refused when the release is not there to be run."""
        release = Path(template.path)
        app_dir = release / (template.app_dir or "")
        if not app_dir.is_dir():
            raise Refused(f"{app_dir} does not exist; it is made again from the source, if that has not changed")
        install_dir = release / template.install_dir if template.install_dir else app_dir
        instance = InstanceId(
            "".join(secrets.choice(INSTANCE_ID_ALPHABET) for _ in range(INSTANCE_ID_LENGTH)),
        )
        token = new_token()
        dirs = self._layout.app(template.app)
        runtime = Runtime(template.runtime) if template.runtime else None
        limits = template.resource_limits
        order = LaunchOrder(
            id=instance,
            app=template.app,
            release=template.release,
            template=template.hash,
            argv=http_argv(
                runtime,
                template.main,
                template.start,
                app_dir=app_dir,
                install_dir=install_dir,
                runtimes=self._layout.runtimes,
                instance=instance,
            ),
            environment=http_environment(
                template.app,
                template.release,
                runtime,
                template.env,
                data_app=dirs.data_app,
                internal_socket=self._layout.internal_socket,
                inherited=os.environ,
            ),
            cwd=app_dir,
            token=token,
            envelope=envelope(token),
            limits=limits,
            confinement=confine(self._isolation, template.app, limits),
            restarts=restarts,
        )
        return self._processes.spawn(order)

    def forget(self, app: DeploymentId, instance: InstanceId) -> None:
        self._processes.forget(instance)
        task = asyncio.get_running_loop().create_task(self.logs.drained(app, instance))
        self._drains.add(task)
        task.add_done_callback(self._drains.discard)

    def changed(self, app: DeploymentId) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
        self._changed(app)

    def refuse(self, app: DeploymentId, reason: Refusal) -> None:
        self._refuse(app, reason)

    def settled(self, template: Template) -> None:
        try:
            settled.remember(self._layout, template)
        except (OSError, TakoError) as error:
            self.tell(template.app, "ERROR", f"The good release cannot be remembered for a rollback: {error}")

    def tell(self, app: DeploymentId, level: str, message: str, **fields: str | int | None) -> None:
        self.logs.server_line(app, "tako-server", level, message, **fields)

    # --------------------------------------------------------------------------------------------------------

    async def _next_change(self) -> None:
        await self._moved.wait()

    def _supervisor(self, app: DeploymentId) -> Supervisor:
        if app not in self._supervisors:
            supervisor = Supervisor(app, self)
            try:
                if (template := settled.recall(self._layout, app)) is not None:
                    supervisor.fall_back_on(template)
            except (OSError, KeyError, TypeError, ValueError) as error:
                log.warning("%s: the remembered last good release is not used: %s", app, error)
            self._supervisors[app] = supervisor
        return self._supervisors[app]
