"""The resource kinds, one module each: what is wanted (spec) and what is seen (status).

Models read and write the camelCase of the wire (`by_alias`); field descriptions become the
documentation that `kubectl explain` and `tako explain` print.
"""

from tako.model.kinds.app import AppSpec, AppStatus
from tako.model.kinds.certificate import CertificateSpec, CertificateStatus
from tako.model.kinds.host import HostSpec, HostStatus
from tako.model.kinds.instance import InstanceSpec, InstanceState, InstanceStatus
from tako.model.kinds.kind import GROUP, VERSION, Column, Kind
from tako.model.kinds.release import ReleasePhase, ReleaseSpec, ReleaseStatus
from tako.model.kinds.route import RouteSpec, RouteStatus

APP = Kind(
    name="App",
    plural="apps",
    short_names=("ap",),
    spec=AppSpec,
    status=AppStatus,
    scale=(".spec.instances", ".status.instances", ".status.selector"),
    columns=(
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("Instances", ".status.readyOf"),
        Column("Release", ".status.release"),
        Column("URL", ".status.url"),
        Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", priority=1),
        Column("Message", ".status.conditions[?(@.type=='Ready')].message", priority=1),
    ),
    selectable_fields=(".spec.runtime",),
)
RELEASE = Kind(
    name="Release",
    plural="releases",
    short_names=("rel",),
    spec=ReleaseSpec,
    status=ReleaseStatus,
    columns=(
        Column("App", ".spec.app"),
        Column("Version", ".spec.version"),
        Column("Phase", ".status.phase"),
        Column("Size", ".status.sizeBytes", type="integer", priority=1),
    ),
    selectable_fields=(".spec.app",),
)
INSTANCE = Kind(
    name="Instance",
    plural="instances",
    short_names=("inst",),
    spec=InstanceSpec,
    status=InstanceStatus,
    columns=(
        Column("App", ".spec.app"),
        Column("State", ".status.state"),
        Column("Pid", ".status.pid", type="integer"),
        Column("Port", ".status.port", type="integer"),
        Column("Restarts", ".status.restarts", type="integer"),
        Column("Requests", ".status.requests", type="integer"),
        Column("Last Request", ".status.lastRequestTime", type="date", priority=1),
        Column("Release", ".spec.release", priority=1),
    ),
    selectable_fields=(".spec.app", ".status.state"),
)
ROUTE = Kind(
    name="Route",
    plural="routes",
    short_names=("rt",),
    spec=RouteSpec,
    status=RouteStatus,
    columns=(
        Column("Pattern", ".spec.pattern"),
        Column("App", ".spec.app"),
        Column("Accepted", ".status.conditions[?(@.type=='Accepted')].status"),
        Column("Reason", ".status.conditions[?(@.type=='Accepted')].reason", priority=1),
    ),
    selectable_fields=(".spec.app",),
)
CERTIFICATE = Kind(
    name="Certificate",
    plural="certificates",
    short_names=("cert", "certs"),
    spec=CertificateSpec,
    status=CertificateStatus,
    columns=(
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("Hosts", ".spec.hosts"),
        Column("Issuer", ".spec.issuer"),
        # As text: kubectl shows a date as the time since then, and one to come as <invalid>.
        Column("Not After", ".status.notAfter"),
    ),
)
HOST = Kind(
    name="Host",
    plural="hosts",
    namespaced=False,
    spec=HostSpec,
    status=HostStatus,
    columns=(
        Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
        Column("Apps", ".status.apps", type="integer"),
        Column("Instances", ".status.instances", type="integer"),
        Column("Version", ".status.version"),
        Column("Message", ".status.conditions[?(@.type=='Ready')].message", priority=1),
    ),
)

KINDS: tuple[Kind, ...] = (APP, RELEASE, INSTANCE, ROUTE, CERTIFICATE, HOST)

__all__ = [
    "APP",
    "CERTIFICATE",
    "GROUP",
    "HOST",
    "INSTANCE",
    "KINDS",
    "RELEASE",
    "ROUTE",
    "VERSION",
    "AppSpec",
    "AppStatus",
    "CertificateSpec",
    "CertificateStatus",
    "Column",
    "HostSpec",
    "HostStatus",
    "InstanceSpec",
    "InstanceState",
    "InstanceStatus",
    "Kind",
    "ReleasePhase",
    "ReleaseSpec",
    "ReleaseStatus",
    "RouteSpec",
    "RouteStatus",
]
