"""What tako-server is told on its command line, in its environment and in its configuration file."""

from dataclasses import dataclass, field
from pathlib import Path

from tako.proxy.cloudflare import SOURCE
from tako.server.config import DEFAULT_MAX_REQUESTS_PER_IP, ServerConfig

DEFAULT_DATA_DIR = Path("/opt/tako")


@dataclass(frozen=True, slots=True)
class Settings:
    """Ports are TCP ports. An `api_port` of 0 serves no TCP API; a `metrics_port` is None for no metrics, 0 for any."""

    data_dir: Path
    http_port: int
    https_port: int
    api_port: int
    isolation: str
    server_name: str
    log_level: str
    metrics_port: int | None = None
    max_requests_per_ip: int = DEFAULT_MAX_REQUESTS_PER_IP
    # Where Cloudflare publishes the addresses of its proxies; None: they are never fetched.
    cloudflare_source: str | None = SOURCE
    config: ServerConfig = field(default_factory=ServerConfig)
