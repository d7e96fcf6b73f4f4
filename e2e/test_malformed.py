"""What nginx and HAProxy do with malformed requests is what the golden table says of them, beside what ours does."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.host import eventually, free_ports
from e2e.malformed import Application, golden, try_case

NGINX = """
daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi;
  client_header_timeout 2s; client_body_timeout 2s; client_max_body_size 128m; lingering_timeout 1s;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{application};
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
    }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 2s
  timeout client 2s
  timeout server 2s
  timeout http-request 2s
frontend all
  bind 127.0.0.1:{port}
  default_backend application
backend application
  server one 127.0.0.1:{application}
"""


def version_of(program: str) -> str:
    """Major and minor of what is installed; empty when it is not."""
    found = shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if found is None:
        return ""
    said = subprocess.run([found, "-v"], capture_output=True, text=True, check=True)
    words = (said.stdout + said.stderr).replace("nginx/", " ").split()
    return next(".".join(word.split(".")[:2]) for word in words if word[0].isdigit())


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextmanager
def serving(program: str, root: Path, application: int) -> Iterator[int]:
    (port,) = free_ports(1)
    config = root / f"{program}.conf"
    template, argv = (NGINX, ["-c"]) if program == "nginx" else (HAPROXY, ["-db", "-q", "-f"])
    config.write_text(template.format(root=root, port=port, application=application))
    binary = shutil.which(program, path="/usr/sbin:/usr/local/sbin:/usr/bin") or program
    process = subprocess.Popen([binary, *argv, str(config)], stderr=subprocess.DEVNULL)
    try:
        eventually(f"{program} to listen", lambda: listens(port))
        yield port
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("program", ["nginx", "haproxy"])
def test_others_answer_as_the_golden_table_says(root: Path, program: str) -> None:
    document = golden()
    if version_of(program) != document[program]:
        pytest.skip(
            f"the table was recorded with {program} {document[program]}, here is {version_of(program) or 'none'}"
        )
    differing: dict[str, Any] = {}
    with Application() as application, serving(program, root, application.port) as port:
        for case in document["cases"]:
            expected = case.get(program, case["ours"])
            seen = try_case(port, application, case["send"]).document()
            if seen != expected:
                differing[case["name"]] = seen
    assert differing == {}


def test_every_difference_from_others_has_a_reason() -> None:
    unexplained = [
        case["name"] for case in golden()["cases"] if ("nginx" in case or "haproxy" in case) and not case.get("why")
    ]
    assert unexplained == []
