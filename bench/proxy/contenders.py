"""The proxies: how each is told the same things; their commands."""

import json
import os
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tako.model.control import Endpoint, Policies, Table, TableApp, TableCertificate, TableRoute

HERE = Path(__file__).parent
PROXYD = HERE.parents[1] / "proxyd"
WORKERS = 2
# With the one that is asked for, as many as a busy host may have.
OTHER_HOSTS = tuple(f"app-{number}.test" for number in range(200))
# All load comes from one address: the limit per client is there, and is not reached. nginx takes no more than 65,535.
CLIENT_LIMIT = 60_000


@dataclass(frozen=True, slots=True)
class Setting:
    """What a proxy is to do. `directory` is its own."""

    directory: Path
    port: int
    metrics_port: int
    upstream_port: int
    certificate: Path
    key: Path
    public: Path
    connections: int  # to the application at once, and not more from clients

    @property
    def access_log(self) -> Path:
        return self.directory / "access.log"


class _Template(string.Template):
    """`@{name}`, because `$` is the configurations' own."""

    delimiter = "@"
    idpattern = "(?!)"
    braceidpattern = "[a-z_]+"


def render(template: str, setting: Setting) -> str:
    """Return a configuration; `KeyError` names what it wants and nobody knows."""
    values = {name: getattr(setting, name) for name in (*Setting.__dataclass_fields__, "access_log")} | {
        "workers": WORKERS,
        "limit": CLIENT_LIMIT,
        # nginx's workers run as another user by default, who may not read a temporary directory.
        "user": "user root root;" if os.geteuid() == 0 else "",
        "other_hosts": " ".join(OTHER_HOSTS),
        "other_sites": ", ".join(f"https://{host}:{setting.port}" for host in OTHER_HOSTS),
        # Each connection has one to the application; the kernel does not share them out evenly.
        "worker_connections": round(setting.connections * 2 / WORKERS * 1.4) + 512,
        "kept": setting.connections + 64,
        "maxconn": setting.connections + 100,
        "bundle": setting.directory / "bundle.pem",
        "map": setting.directory / "hosts.map",
    }
    return _Template(template).substitute(values)


def table(setting: Setting) -> Table:
    """Return what tako-server would say of the same routes."""
    hosts = ("localhost", *OTHER_HOSTS)
    certificate = TableCertificate(
        names=("localhost", "*.test"), chain_path=str(setting.certificate), key_path=str(setting.key), fingerprint="1"
    )
    return Table(
        generation=1,
        policies=Policies(https_port=setting.port, max_requests_per_ip=CLIENT_LIMIT),
        apps=tuple(_app(host, setting) for host in hosts),
        routes=tuple(TableRoute(host=host, app=f"{host}/production", pattern=host) for host in hosts),
        certificates=(certificate,),
        default_certificate=certificate,
    )


def _app(host: str, setting: Setting) -> TableApp:
    return TableApp(
        app=f"{host}/production",
        endpoints=(Endpoint(instance="one", addr=f"127.0.0.1:{setting.upstream_port}"),),
        public_dir=str(setting.public),
        access_log=str(setting.access_log),
    )


def _nginx(setting: Setting) -> list[str]:
    path = setting.directory / "nginx.conf"
    path.write_text(render((HERE / "nginx.conf").read_text(), setting))
    return ["nginx", "-e", str(setting.directory / "error.log"), "-c", str(path)]


def _haproxy(setting: Setting) -> list[str]:
    path = setting.directory / "haproxy.cfg"
    (setting.directory / "bundle.pem").write_bytes(setting.certificate.read_bytes() + setting.key.read_bytes())
    pools = {"localhost": "app"} | dict.fromkeys(OTHER_HOSTS, "others")
    (setting.directory / "hosts.map").write_text("".join(f"{host} {pool}\n" for host, pool in pools.items()))
    path.write_text(render((HERE / "haproxy.cfg").read_text(), setting))
    return ["haproxy", "-db", "-f", str(path)]


def _caddy(setting: Setting) -> list[str]:
    path = setting.directory / "Caddyfile"
    path.write_text(render((HERE / "Caddyfile").read_text(), setting))
    return ["caddy", "run", "--config", str(path), "--adapter", "caddyfile"]


def _proxyd(setting: Setting) -> list[str]:
    wanted = table(setting).model_dump(mode="json")
    (setting.directory / "table.json").write_text(json.dumps(wanted))
    argv = [str(PROXYD / "target" / "release" / "tako-proxyd"), "--state-dir", str(setting.directory)]
    return [*argv, "--threads", str(WORKERS), "--bind-https", f"127.0.0.1:{setting.port}", "--log-level", "warn"]


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    prepare: Callable[[Setting], list[str]]
    """Writes its configuration and returns its command."""
    serves_files: bool = True
    appends_records: bool = True


NGINX = Contender("nginx", _nginx)
TAKO = Contender("tako-proxyd", _proxyd)
CONTENDERS = (
    TAKO,
    NGINX,
    Contender("HAProxy", _haproxy, serves_files=False, appends_records=False),
    Contender("Caddy", _caddy),
)
