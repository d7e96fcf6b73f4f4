"""How far this host lets one app be kept from another, and what of it is missing."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tako.model.kinds.app import Limits
from tako.model.names import DeploymentId


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
    raise NotImplementedError


def confine(isolation: Isolation, app: DeploymentId, limits: Limits) -> Confinement:
    """Make sure the app's user and cgroup exist and return what to start its instances under.

    Blocks for some 50 ms the first time an app gets a user. Raises `RetryLater` when the user cannot be made.
    """
    raise NotImplementedError
