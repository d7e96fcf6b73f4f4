"""What tako-server is told on its command line."""

from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATA_DIR = Path("/opt/tako")


@dataclass(frozen=True, slots=True)
class Settings:
    """Ports are TCP ports; 0 for `api_port` serves no TCP API."""

    data_dir: Path
    http_port: int
    https_port: int
    api_port: int
    isolation: str
    server_name: str
    log_level: str
