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
    """Look at this process's capabilities, tools and cgroup. Changes nothing."""
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
    user = _app_user(name) if isolation.user_switch else None
    cgroup = _limited(isolation.cgroup_v2 / "tako" / name, limits) if isolation.cgroup_v2 else None
    return Confinement(user, cgroup, isolation.no_new_privs, isolation.rlimits)


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
    """Return the cgroup v2 directory below which ours may be made, or None, with what is in the way."""
    own = next((line[3:] for line in _lines("/proc/self/cgroup") if line.startswith("0::")), None)
    if own is None:
        missing.append("memory, CPU and process limits (no cgroup v2 is mounted)")
        return None
    directory = _CGROUP_ROOT / own.lstrip("/")
    lacking = _CONTROLLERS - set(" ".join(_lines(str(directory / "cgroup.controllers"))).split())
    if lacking:
        missing.append(f"memory, CPU and process limits (cgroup v2 lacks {', '.join(sorted(lacking))})")
        return None
    if not os.access(directory, os.W_OK):
        missing.append(f"memory, CPU and process limits ({directory} is not writable; delegate it to tako-server)")
        return None
    return directory


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


def _limited(cgroup: Path, limits: Limits) -> Path | None:
    """Make the cgroup with these limits; None when the kernel does not let us, which only loses the limits."""
    try:
        cgroup.mkdir(parents=True, exist_ok=True)
        for directory in (cgroup.parent.parent, cgroup.parent):
            wanted = " ".join(f"+{name}" for name in sorted(_CONTROLLERS))
            (directory / "cgroup.subtree_control").write_text(wanted)
        (cgroup / "memory.max").write_text(str(limits.memory_bytes))
        quota = int(limits.cpus * _CPU_PERIOD_MICROSECONDS)
        (cgroup / "cpu.max").write_text(f"{quota} {_CPU_PERIOD_MICROSECONDS}")
        (cgroup / "pids.max").write_text(str(limits.processes))
    except OSError:
        return None
    return cgroup
