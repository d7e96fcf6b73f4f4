"""How far this host lets one app be kept from another, and what of it is missing."""

import grp
import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tako.model.errors import RetryLater
from tako.model.kinds.app import Limits
from tako.model.names import DeploymentId

# The group by which every app reaches the internal socket.
SHARED_GROUP = "tako-app"
_CGROUP_ROOT = Path("/sys/fs/cgroup")
_CONTROLLERS = frozenset({"cpu", "memory", "pids"})
_APPS, _SERVER_LEAF = "tako", "tako-server"
_CPU_PERIOD_MICROSECONDS = 100_000
# Bits of the capability sets in /proc, from linux/capability.h.
_CAP_CHOWN, _CAP_SETGID, _CAP_SETUID = 0, 6, 7


class IsolationMode(StrEnum):
    """What the operator asked for."""

    AUTO = "auto"  # whatever the host allows; what it does not is named
    OFF = "off"  # instances run as the server's own user


@dataclass(frozen=True, slots=True)
class AppUser:
    """The user an app's processes run as."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Confinement:
    """What one app's instances are started under; the default is nothing but the server's own user."""

    user: AppUser | None = None
    cgroup: Path | None = None
    no_new_privs: bool = False
    rlimits: bool = True


@dataclass(frozen=True, slots=True)
class Isolation:
    """What this host allows; `missing` says for a person what is not, and is empty when mode is off."""

    user_switch: bool = False
    cgroup_v2: Path | None = None
    no_new_privs: bool = False
    rlimits: bool = True
    missing: list[str] = field(default_factory=list)


def detect(mode: IsolationMode = IsolationMode.AUTO) -> Isolation:
    """Look at this process's capabilities and tools, and divide its cgroup where that can be done."""
    if mode is IsolationMode.OFF:
        return Isolation(missing=["users, privileges and cgroups (tako-server was started with --isolation off)"])
    missing: list[str] = []
    privileges = shutil.which("setpriv") is not None
    if not privileges:
        missing.append("no-new-privileges (setpriv of util-linux is not installed)")
    user_switch = _user_switch(privileges, missing)
    return Isolation(user_switch, _own_cgroup(missing), privileges, True, missing)


def confine(isolation: Isolation, app: DeploymentId, limits: Limits) -> Confinement:
    """Make sure the app's user and cgroup exist and return what to start its instances under.

    Blocks for some 50 ms the first time an app gets a user. Raises `RetryLater` when the user cannot be made.
    """
    name = user_name(app)
    cgroup = _limited(isolation, isolation.cgroup_v2 / _APPS / name, limits) if isolation.cgroup_v2 else None
    return Confinement(app_user(isolation, app), cgroup, isolation.no_new_privs, isolation.rlimits)


def app_user(isolation: Isolation, app: DeploymentId) -> AppUser | None:
    """Make sure the app's user exists; None where every app runs as the server's own. Blocks as `confine` does."""
    return _app_user(user_name(app)) if isolation.user_switch else None


def user_name(app: DeploymentId) -> str:
    """Return the name of an app's user, the same on every host."""
    return f"tako-{hashlib.sha256(str(app).encode()).hexdigest()[:16]}"


def _user_switch(privileges: bool, missing: list[str]) -> bool:
    effective = _effective_capabilities()
    able = all(effective >> bit & 1 for bit in (_CAP_CHOWN, _CAP_SETGID, _CAP_SETUID))
    if not able:
        missing.append("a user for each app (tako-server lacks CAP_SETUID, CAP_SETGID or CAP_CHOWN)")
    elif shutil.which("useradd") is None:
        missing.append("a user for each app (useradd is not installed)")
    return able and privileges and shutil.which("useradd") is not None


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _own_cgroup(missing: list[str]) -> Path | None:
    """Return the cgroup v2 directory below which ours are made, or None, with what is in the way."""
    own = next((line[3:] for line in _lines("/proc/self/cgroup") if line.startswith("0::")), None)
    if own is None:
        missing.append("memory, CPU and process limits (no cgroup v2 is mounted)")
        return None
    directory = _CGROUP_ROOT / own.lstrip("/")
    if directory.name == _SERVER_LEAF:
        directory = directory.parent  # an earlier run in this process made room already
    lacking = _CONTROLLERS - set(" ".join(_lines(str(directory / "cgroup.controllers"))).split())
    if lacking:
        missing.append(f"memory, CPU and process limits (cgroup v2 lacks {', '.join(sorted(lacking))})")
        return None
    fault = _make_room(directory)
    if fault is not None:
        missing.append(f"memory, CPU and process limits ({fault})")
        return None
    return directory


def _make_room(directory: Path) -> str | None:
    """Hand the controllers down to cgroups of ours; says what is in the way, or None.

    A cgroup with processes of its own cannot hand them down, so the server moves into a leaf beside its apps. It
    moves nobody else: what shares its cgroup is not ours to move.
    """
    strangers = set(_lines(str(directory / "cgroup.procs"))) - {str(os.getpid())}
    if strangers:
        return f"tako-server shares {directory} with other processes; run it as a service with Delegate=yes"
    try:
        leaf = directory / _SERVER_LEAF
        leaf.mkdir(exist_ok=True)
        (leaf / "cgroup.procs").write_text(str(os.getpid()))
        apps = directory / _APPS
        apps.mkdir(exist_ok=True)
        for parent in (directory, apps):
            (parent / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(_CONTROLLERS)))
    except OSError as error:
        return f"{directory} cannot be divided: {error.strerror}; run tako-server as a service with Delegate=yes"
    return None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _app_user(name: str) -> AppUser:
    shared = _group(SHARED_GROUP)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        _run("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "--user-group", name)
        entry = pwd.getpwnam(name)
    return AppUser(name, entry.pw_uid, entry.pw_gid, (shared,))


def _group(name: str) -> int:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        _run("groupadd", "--system", name)
        return grp.getgrnam(name).gr_gid


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode != 0:
        raise RetryLater(f"`{' '.join(command)}` exited with {done.returncode}: {done.stderr.strip()}", 10.0)


def _limited(isolation: Isolation, cgroup: Path, limits: Limits) -> Path | None:
    """Make the cgroup with these limits; None, and named as missing, when the kernel does not let us."""
    try:
        cgroup.mkdir(exist_ok=True)
        (cgroup / "memory.max").write_text(str(limits.memory_bytes))
        quota = int(limits.cpus * _CPU_PERIOD_MICROSECONDS)
        (cgroup / "cpu.max").write_text(f"{quota} {_CPU_PERIOD_MICROSECONDS}")
        (cgroup / "pids.max").write_text(str(limits.processes))
    except OSError as error:
        told = f"memory, CPU and process limits of {cgroup.name} ({error.strerror})"
        if told not in isolation.missing:
            isolation.missing.append(told)
        return None
    return cgroup
