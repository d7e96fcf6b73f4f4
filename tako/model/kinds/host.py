"""Host: this machine. There is one, named by the server."""

from pydantic import Field

from tako.model.kinds.kind import Document, Seen


class HostSpec(Document):
    """Server settings that may change while it runs."""

    server_name: str | None = Field(default=None, description="Label in metrics; default the host name.")


class TrustedProxySeen(Document):
    """What config.json says of front proxies."""

    proxy_protocol: bool = Field(description="Whether their connections begin with a PROXY protocol header.")
    trusted_cidrs: list[str] = Field(description="Their addresses.")
    client_ip_headers: list[str] = Field(description="Headers in which they name the client, in order.")


class HostStatus(Seen):
    """What is seen.

    Conditions: Ready, ProxyReady, StoreReady, Isolation (what the host lacks is in its message), MetricsServed,
    CloudflareRanges (there only while the list is old).
    """

    version: str | None = Field(default=None, description="Version of tako-server.")
    pid: int | None = Field(default=None, description="Process id of tako-server.")
    proxy_pid: int | None = Field(default=None, description="Process id of tako-proxyd.")
    table_generation: int | None = Field(default=None, description="Generation that tako-proxyd has acknowledged.")
    http_port: int | None = Field(default=None, description="Port that redirects to HTTPS.")
    https_port: int | None = Field(default=None, description="Port that serves.")
    apps: int | None = Field(default=None, description="Apps declared.")
    instances: int | None = Field(default=None, description="Processes that take requests.")
    cpus: int | None = Field(default=None, description="CPUs that instances may use.")
    isolation: list[str] | None = Field(default=None, description="Kinds of isolation in force.")
    metrics_port: int | None = Field(default=None, description="Loopback port that serves metrics; absent for none.")
    max_requests_per_ip: int | None = Field(
        default=None, description="Requests of one client at once; more are answered 429."
    )
    trusted_proxy: TrustedProxySeen | None = Field(
        default=None, description="Front proxies that are believed; absent when none is."
    )
