"""What Prometheus is told of this host: gathers it from every part when it is asked for."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from prometheus_client.core import Metric

from tako.host_agent.views import AppView
from tako.model.control import Stats
from tako.model.kinds import HOST
from tako.proxy.measured import NOTHING, Measured
from tako.server.metrics import HostMeasured, families
from tako.server.passes import LoopLag, Passes
from tako.server.scrape import MetricsEndpoint

if TYPE_CHECKING:
    from tako.server.host import Host


class Monitor:
    """Counts, and the endpoint they are served at. With `--metrics-port 0` there is no endpoint and nobody is asked."""

    def __init__(self, host: "Host") -> None:
        self.passes = Passes()
        self.connections = 0
        self._host = host
        self._lag = LoopLag()
        port = host.settings.metrics_port
        self._endpoint = None if port is None else MetricsEndpoint(port, self.observe)

    async def open(self) -> None:
        """Serve; again where a port was taken before."""
        if self._endpoint is not None:
            await self._endpoint.open()

    async def start(self) -> None:
        await self.open()
        if self._endpoint is not None:
            self._lag.start()

    async def close(self) -> None:
        self._lag.stop()
        if self._endpoint is not None:
            await self._endpoint.close()

    @property
    def port(self) -> int | None:
        """Return the port that is served, None while there is none."""
        return self._endpoint.port if self._endpoint else None

    @property
    def fault(self) -> str:
        return self._endpoint.fault if self._endpoint else ""

    def count(self, stats: Stats) -> None:
        self.connections = stats.connections

    async def server_name(self) -> str:
        """Return the label of every metric: what the Host document says, or config.json, or the host's name."""
        host, settings = self._host, self._host.settings
        doc = await host.world.find(HOST, None, settings.server_name)
        declared = doc["spec"].get("serverName") if doc else None
        return declared or settings.config.server_name or settings.server_name

    async def observe(self) -> Callable[[], list[Metric]]:
        """Look at everything now; what is returned makes metrics of it, in any thread."""
        host = self._host
        proxy = host.proxy
        measured = await proxy.measure() if proxy else Measured(NOTHING, is_fresh=False)
        declared = host.declared()
        views = host.agent.views()
        seen = HostMeasured(
            proxy=measured,
            connections=self.connections,
            proxy_restarts=proxy.seen.restarts if proxy else 0,
            views={app: views.get(app) or AppView(app) for app in sorted({*declared, *views}, key=str)},
            cold_starts=host.agent.cold_starts(),
            passes=dict(self.passes.results),
            pass_durations=dict(self.passes.durations),
            api_requests=dict(host.api.requests),
            loop_lag=self._lag.seen,
        )
        return partial(families, await self.server_name(), seen)
