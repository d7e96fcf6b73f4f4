"""The programs that Tako is measured against and with, from the system's packages."""

import os
import shutil
import subprocess

# Program: its package in Debian and Ubuntu.
PROGRAMS = {
    "nginx": "nginx",
    "haproxy": "haproxy",
    "caddy": "caddy",
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "openssl": "openssl",
    "cc": "gcc",
    "ss": "iproute2",
}
# Where Debian has daemons; not on every user's path.
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def install_missing() -> None:
    """Install what is missing; `SystemExit` says what to do where that cannot be done."""
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", ""), *SBIN])
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"make bench-proxy needs packages that are not installed. As root: {' '.join(command)}")
    print(f"installing {', '.join(missing)}", flush=True)
    # The services are not wanted, only the programs.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    subprocess.run(["apt-get", "update", "-q"], env=environment, check=True)
    subprocess.run(command, env=environment, check=True)


def versions() -> dict[str, str]:
    """Return what each proxy and generator calls itself."""
    asked = {"nginx": ["nginx", "-v"], "HAProxy": ["haproxy", "-v"], "Caddy": ["caddy", "version"]}
    asked |= {"wrk": ["wrk", "-v"], "h2load": ["h2load", "--version"]}
    return {name: _first_version(argv) for name, argv in asked.items()}


def _first_version(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    words = (done.stdout + done.stderr).replace("/", " ").split()
    return next((word.removeprefix("debian-") for word in words if any(letter.isdigit() for letter in word)), "?")
