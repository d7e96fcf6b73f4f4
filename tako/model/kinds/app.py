"""App: one application in one environment."""

from enum import StrEnum

from pydantic import Field

from tako.model.kinds.kind import Document, Seen


class Runtime(StrEnum):
    """How `main` is started; see the process contract."""

    PYTHON_ASGI = "python-asgi"
    PYTHON_WSGI = "python-wsgi"
    NODE = "node"
    BUN = "bun"
    GO = "go"


class SourceIp(StrEnum):
    """Where the client's address is taken from."""

    AUTO = "auto"
    DIRECT = "direct"
    CLOUDFLARE_PROXY = "cloudflare-proxy"
    TRUSTED_PROXY = "trusted-proxy"


class Source(Document):
    """Where the files of a release come from: a directory or an archive on this host."""

    path: str | None = Field(
        default=None,
        description="Absolute path of a directory on the host; its contents are copied into a release. "
        "`tako apply` resolves a relative path against the file that names it.",
    )
    archive: str | None = Field(
        default=None,
        description="Absolute path of a .tar, .tar.gz or .tar.zst archive on the host.",
    )
    digest: str | None = Field(
        default=None,
        pattern=r"^sha256:[0-9a-f]{64}$",
        description="SHA-256 of the contents, written by `tako apply`; when it changes a new release is made. "
        "Without it the source is read again whenever the spec changes.",
    )


class Health(Document):
    """How an instance is asked whether it is well."""

    path: str = Field(
        default="/status",
        pattern=r"^/",
        description="Path asked for with Host `<app>.tako`; a 2xx that echoes the internal token is healthy.",
    )


class Rollout(Document):
    """How instances are replaced."""

    startup_timeout_seconds: int = Field(
        default=30, ge=1, le=600, description="How long an instance may take to report its port."
    )
    settle_seconds: float = Field(
        default=2,
        ge=0,
        le=300,
        description="How long a new instance must stay healthy before an old one goes.",
    )
    drain_timeout_seconds: int = Field(
        default=30, ge=0, le=3600, description="How long requests in flight may take to finish."
    )
    stop_timeout_seconds: int = Field(
        default=10,
        ge=0,
        le=3600,
        description="How long a process may take to exit after SIGTERM before SIGKILL.",
    )


class Limits(Document):
    """What one instance may use; enforced where the host allows it."""

    memory_bytes: int = Field(default=2 * 1024**3, ge=16 * 1024**2, description="cgroup memory.max, bytes.")
    cpus: float = Field(default=2, gt=0, le=1024, description="cgroup cpu.max, in cores.")
    processes: int = Field(default=512, ge=8, description="cgroup pids.max and RLIMIT_NPROC.")
    open_files: int = Field(default=4096, ge=64, description="RLIMIT_NOFILE.")


class AppSpec(Document):
    """What is wanted of an application in an environment."""

    source: Source = Field(description="The files to run.")
    runtime: Runtime | None = Field(
        default=None, description="How `main` is started. Either this or `start` is needed."
    )
    main: str | None = Field(
        default=None,
        description="Entry point: a file below the source, a module specifier, or `module:callable` for Python.",
    )
    start: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Explicit command; an element equal to `{main}` is replaced by main.",
    )
    app_dir: str | None = Field(default=None, description="Working directory below the source; default its root.")
    install_dir: str | None = Field(
        default=None,
        description="Directory below the source that holds the lock file; default the app directory.",
    )
    env: dict[str, str] = Field(default_factory=dict, description="Environment variables of every instance.")
    instances: int = Field(
        default=1,
        ge=0,
        description="Instances to keep running; 0 starts one on demand and stops it when idle.",
    )
    max_instances: int | None = Field(
        default=None, ge=1, description="More are refused. Default: two for each CPU of the host."
    )
    max_connections: int | None = Field(
        default=None,
        ge=1,
        description="Requests at all instances of the app at once; more wait, as they do for an instance that starts. "
        "Default: no limit.",
    )
    idle_timeout_seconds: int = Field(
        default=300,
        ge=1,
        description="With fewer requests than this apart an instance above `instances` is stopped.",
    )
    routes: list[str] = Field(
        default_factory=list,
        description="Host names with an optional path: `api.example.com`, `*.example.com/admin/*`.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    source_ip: SourceIp = Field(default=SourceIp.AUTO, description="Where the client's address is taken from.")
    health: Health = Field(default_factory=Health, description="How an instance is probed.")
    rollout: Rollout = Field(default_factory=Rollout, description="How instances are replaced.")
    limits: Limits = Field(default_factory=Limits, description="What one instance may use.")


class AppStatus(Seen):
    """What is seen of an application."""

    instances: int | None = Field(default=None, description="Processes that exist, in any state.")
    ready_instances: int | None = Field(default=None, description="Processes that take requests.")
    ready_of: str | None = Field(default=None, description="Ready instances of wanted ones, such as 2/3.")
    selector: str | None = Field(default=None, description="Label selector of the app's instances.")
    release: str | None = Field(default=None, description="Version that serves requests.")
    wanted_release: str | None = Field(default=None, description="Version that is being rolled out, or serves.")
    url: str | None = Field(default=None, description="The first address of the app.")
    urls: list[str] | None = Field(default=None, description="Every address of the app.")
    last_error: str | None = Field(default=None, description="The most recent failure, with the process's last output.")
