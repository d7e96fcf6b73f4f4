"""Messages between tako-server and tako-proxyd: JSON lines over a Unix socket that tako-server owns.

tako-proxyd connects, says :class:`Hello` and, when it already has listening sockets, attaches their file
descriptors (SCM_RIGHTS) in the order of ``Hello.listeners``. tako-server answers :class:`Welcome`; when the proxy had
none, the descriptors are attached to that. After that both sides send one JSON object a line, tagged by ``type``.

A table is a snapshot with a generation; :class:`Delta` replaces whole app entries and equals a table. The proxy
answers each with :class:`Ack`, or :class:`Reject` when it cannot be used, and then keeps what it had. Draining is a
state of an endpoint in the table, not an event, so that it survives a reconnect: for an endpoint whose ``state`` is
``draining`` the proxy sends :class:`Drained` once nothing is in flight, again after every reconnect.

Golden files in ``tests/golden/control`` are read by the Python and by the Rust tests.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, TypeAdapter

PROTOCOL = 0


class Message(BaseModel):
    """Base of what goes over the control socket: frozen, snake_case, unknown fields ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


# --- the table ---------------------------------------------------------------------------------------------------


class Endpoint(Message):
    """One instance as the proxy sees it. Only ``active`` ones are chosen for new requests."""

    instance: str
    addr: str  # "127.0.0.1:39417"
    state: Literal["active", "draining"] = "active"


class TableApp(Message):
    """Everything the proxy knows about one deployment, keyed by its deployment id ``app/env``."""

    app: str
    endpoints: tuple[Endpoint, ...] = ()
    # Requests that find no active endpoint wait, at most so many and so long, while the proxy says `wake`.
    max_waiters: int = 1000
    wait_timeout_ms: int = 30_000
    source_ip: Literal["auto", "direct", "cloudflare-proxy", "trusted-proxy"] = "auto"
    # Absolute directory whose files are served before the app is asked; None when the release has none.
    public_dir: str | None = None
    # Requests at the app's instances at once, over all workers; more wait like those without an instance. 0: no limit.
    max_connections: int = 0
    # File to which the proxy appends a line for each request that was matched to the app; None for no lines.
    access_log: str | None = None


class TableRoute(Message):
    """A route: ``host`` exact or ``*.suffix``; ``path`` None for all, ``/x`` exact, ``/x/*`` for a prefix."""

    host: str
    path: str | None = None
    app: str
    pattern: str  # as declared, for logs


class TableCertificate(Message):
    """PEM files for a set of names. ``fingerprint`` changes when the files do; keys never travel in a message."""

    names: tuple[str, ...]
    chain_path: str
    key_path: str
    fingerprint: str


class Challenge(Message):
    """What a certificate authority is answered at ``/.well-known/acme-challenge/{token}`` (RFC 8555, 8.3)."""

    token: str
    key_authorization: str


class Services(Message):
    """tako-server's own public endpoints: paths below ``/_tako/`` that the proxy forwards to a Unix socket.

    Any other path below ``/_tako/`` is answered 404, but for ``/_tako/storages/``, which is the app's.
    """

    socket: str
    # "/_tako/image" for that path alone, "/_tako/channels/*" for all below it.
    paths: tuple[str, ...]


class Timeouts(Message):
    """How long the proxy waits for others, in milliseconds; each is late by up to a quarter of a second."""

    # For the PROXY header, for the TLS handshake, and for HTTP/2's preface.
    handshake_ms: PositiveInt = 30_000
    # From the first byte of a request's head to its last; then 408.
    head_ms: PositiveInt = 30_000
    # Between two pieces of a request's body; then 408.
    body_ms: PositiveInt = 30_000
    # Between two requests.
    idle_ms: PositiveInt = 75_000
    # A client that takes nothing for so long is gone.
    send_ms: PositiveInt = 60_000
    # For an instance to take a connection.
    connect_ms: PositiveInt = 5_000
    # An instance that takes nothing for so long is broken; 504.
    upstream_send_ms: PositiveInt = 30_000
    # An instance that has the whole request and says nothing for so long is too slow; 504.
    upstream_read_ms: PositiveInt = 60_000


class Policies(Message):
    """What holds for every request."""

    # The port named in redirects to HTTPS; left out of the Location when it is 443.
    https_port: int = 443
    max_requests_per_ip: int = 2048
    trusted_cidrs: tuple[str, ...] = ()
    client_ip_headers: tuple[str, ...] = ()
    # Connections from `trusted_cidrs` and loopback may begin with a PROXY protocol header, version 1 or 2.
    proxy_protocol: bool = False
    # Peers whose CF-Connecting-IP is believed.
    cloudflare_cidrs: tuple[str, ...] = ()
    services: Services | None = None
    timeouts: Timeouts = Timeouts()


class Table(Message):
    """Down. The whole of what the proxy forwards by."""

    type: Literal["table"] = "table"
    generation: int
    policies: Policies = Policies()
    apps: tuple[TableApp, ...] = ()
    routes: tuple[TableRoute, ...] = ()
    certificates: tuple[TableCertificate, ...] = ()
    # Used when the SNI name is missing or unknown.
    default_certificate: TableCertificate | None = None
    challenges: tuple[Challenge, ...] = ()


# --- down: tako-server to tako-proxyd ------------------------------------------------------------------------------


class Welcome(Message):
    """Down, once. ``listeners`` names the descriptors attached; empty when the proxy brought its own.

    A name is ``http/0``, ``http/1``, …, ``https/0``, …: sockets of one port, one for each worker thread (SO_REUSEPORT).
    """

    type: Literal["welcome"] = "welcome"
    protocol: int = PROTOCOL
    listeners: tuple[str, ...] = ()


class Delta(Message):
    """Down. Replaces these app entries of the table with generation ``base``; the result has ``generation``."""

    type: Literal["delta"] = "delta"
    base: int
    generation: int
    apps: tuple[TableApp, ...]


class StartFailed(Message):
    """Down. Those who wait for ``app`` are answered.

    ``startup_failed`` is 502, ``startup_timeout`` 504, ``unavailable`` 503.
    """

    type: Literal["start_failed"] = "start_failed"
    app: str
    reason: Literal["startup_failed", "startup_timeout", "unavailable"] = "startup_failed"


class LogLevel(Message):
    """Down. How much the proxy writes to its own log."""

    type: Literal["log_level"] = "log_level"
    level: Literal["error", "warn", "info", "debug"]


class Measure(Message):
    """Down. Answered by :class:`Metrics`."""

    type: Literal["measure"] = "measure"


class Shutdown(Message):
    """Down. Stop accepting, finish what is in flight for at most so long, say :class:`Metrics`, exit 0.

    Without a time it ends with its last connection, be that a WebSocket that stays for days. The nearest of several
    times holds.
    """

    type: Literal["shutdown"] = "shutdown"
    drain_ms: int | None = None


# --- up: tako-proxyd to tako-server --------------------------------------------------------------------------------


class Hello(Message):
    """Up, first. ``generation`` is that of the table it serves by (0: none), maybe read from disk."""

    type: Literal["hello"] = "hello"
    protocol: int = PROTOCOL
    pid: int
    version: str
    generation: int
    listeners: tuple[str, ...] = ()
    # It was told to shut down and still has connections: not to be given listeners.
    finishing: bool = False


class Ack(Message):
    """Up. From here on every new request is decided by this generation."""

    type: Literal["ack"] = "ack"
    generation: int


class Reject(Message):
    """Up. The table or delta was not applied; ``error`` says why. The server answers with a whole table."""

    type: Literal["reject"] = "reject"
    generation: int
    error: str


class Wake(Message):
    """Up. Requests wait for ``app``, which has no active endpoint. Repeated each second while they wait."""

    type: Literal["wake"] = "wake"
    app: str
    waiting: int


class Drained(Message):
    """Up. Nothing is in flight to this draining endpoint."""

    type: Literal["drained"] = "drained"
    app: str
    instance: str


class ConnectFailed(Message):
    """Up. The instance refused a connection; the host agent probes it at once. At most one a second per instance."""

    type: Literal["connect_failed"] = "connect_failed"
    app: str
    instance: str
    error: str


class InstanceStats(Message):
    """Counts of one endpoint since the proxy started; ``idle_ms`` since its last request *finished*."""

    app: str
    instance: str
    in_flight: int
    requests: int
    idle_ms: int


class Stats(Message):
    """Up, each second while something changed and at least every ten."""

    type: Literal["stats"] = "stats"
    connections: int
    instances: tuple[InstanceStats, ...] = ()


# Upper bounds in seconds of a histogram's buckets, but for the last, which has none.
LATENCY_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Histogram(Message):
    """Observations by bucket (not cumulative), one more than :data:`LATENCY_BOUNDS`, and their sum in microseconds."""

    counts: tuple[int, ...]
    sum_us: int


class AppMetrics(Message):
    """Counts of one app's proxied requests since the proxy started; ``active`` are those in progress.

    ``statuses`` is keyed by class, ``2xx`` to ``5xx``. ``duration`` is a request from its head to the end of its
    response; ``upstream`` from sending it to an instance to the head of the response.
    """

    app: str
    statuses: dict[str, int]
    duration: Histogram
    upstream: Histogram
    active: int


class TlsFailures(Message):
    """Handshakes for which there was no certificate but the default: no name was asked for, or an unknown one."""

    no_sni: int
    cert_missing: int


class Metrics(Message):
    """Up. The answer to :class:`Measure`, and the last word of a proxy that ends."""

    type: Literal["metrics"] = "metrics"
    apps: tuple[AppMetrics, ...] = ()
    tls_failures: TlsFailures


Down = Annotated[
    Welcome | Table | Delta | StartFailed | LogLevel | Measure | Shutdown,
    Field(discriminator="type"),
]
Up = Annotated[
    Hello | Ack | Reject | Wake | Drained | ConnectFailed | Stats | Metrics,
    Field(discriminator="type"),
]
DOWN: TypeAdapter[Down] = TypeAdapter(Down)
UP: TypeAdapter[Up] = TypeAdapter(Up)
