"""Every proxy is told the same, in a form that it accepts."""

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bench.proxy import contenders
from bench.proxy.contenders import CONTENDERS, OTHER_HOSTS, Contender, Setting
from tako.certs import self_signed
from tako.model.control import Table


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    held, _ = self_signed.hold(tmp_path / "certs", ("localhost", "*.test"), datetime.now(UTC))
    return Setting(
        directory=tmp_path,
        port=4443,
        metrics_port=4444,
        upstream_port=4445,
        certificate=held.chain_path,
        key=held.key_path,
        public=tmp_path / "public",
        connections=5000,
    )


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda each: each.name)
def test_a_configuration_names_every_host_and_port_and_leaves_nothing_open(
    contender: Contender, setting: Setting
) -> None:
    contender.prepare(setting)
    written = "".join(path.read_text() for path in setting.directory.iterdir() if path.is_file())
    assert "@{" not in written
    for expected in ("4443", "4445", str(setting.access_log), *OTHER_HOSTS):
        # tako-proxyd is told its own port on the command line.
        assert expected in written or expected in str(contender.prepare(setting))


@pytest.mark.parametrize(
    ("name", "check"),
    [
        ("nginx", ["nginx", "-t", "-e", "error.log", "-c", "nginx.conf"]),
        ("HAProxy", ["haproxy", "-c", "-f", "haproxy.cfg"]),
        ("Caddy", ["caddy", "adapt", "--config", "Caddyfile", "--adapter", "caddyfile"]),
    ],
)
def test_the_proxy_accepts_its_configuration(name: str, check: list[str], setting: Setting) -> None:
    if shutil.which(check[0]) is None:
        pytest.skip(f"{check[0]} is not installed; `make bench-proxy` installs it")
    (contender,) = (each for each in CONTENDERS if each.name == name)
    contender.prepare(setting)
    argv = [str(setting.directory / word) if (setting.directory / word).is_file() else word for word in check]
    argv = [str(setting.directory / "error.log") if word == "error.log" else word for word in argv]
    done = subprocess.run(argv, cwd=setting.directory, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_is_one_that_tako_server_could_send(setting: Setting) -> None:
    table = contenders.table(setting)
    assert Table.model_validate_json(table.model_dump_json()) == table
    assert len(table.routes) == len(table.apps) == 201


def test_a_template_that_wants_what_nobody_knows_is_refused(setting: Setting) -> None:
    with pytest.raises(KeyError, match="colour"):
        contenders.render("listen @{colour} $host ring@@records", setting)
    assert contenders.render("@{port} $host ring@@records", setting) == "4443 $host ring@records"
