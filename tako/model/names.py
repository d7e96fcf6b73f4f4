"""Names and identities: applications, environments, releases, instances."""

import re
from dataclasses import dataclass
from typing import NewType

InstanceId = NewType("InstanceId", str)
ReleaseId = NewType("ReleaseId", str)

# Wide enough for DNS labels and environment variables alike; the limit is DNS's.
NAME_PATTERN = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
VERSION_PATTERN = r"^[A-Za-z0-9._-]{1,128}$"
DEFAULT_ENVIRONMENT = "production"
# The published SDKs use the nanoid alphabet; this subset of it also makes a Kubernetes object name.
INSTANCE_ID_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
INSTANCE_ID_LENGTH = 8

_NAME = re.compile(NAME_PATTERN)


@dataclass(frozen=True, slots=True, order=True)
class DeploymentId:
    """An application in an environment: ``{app}/{env}``, the resource `app` in namespace `env`."""

    app: str
    environment: str

    @classmethod
    def parse(cls, text: str) -> "DeploymentId":
        """Read ``app/env``; a name without a slash means the environment ``production``."""
        app, _, environment = text.partition("/")
        return cls(app, environment or DEFAULT_ENVIRONMENT)

    def __str__(self) -> str:
        return f"{self.app}/{self.environment}"

    @property
    def internal_host(self) -> str:
        """The Host under which an instance answers its internal endpoints."""
        return f"{self.app}.tako"


def name_fault(name: str) -> str | None:
    """Say what is wrong with an app or environment name, or None."""
    if _NAME.fullmatch(name):
        return None
    if len(name) > 63:
        return f"is {len(name)} characters long; at most 63 are allowed, because it becomes part of a DNS name"
    return (
        "must begin with a lowercase letter, end with a letter or digit, "
        "and contain only a-z, 0-9 and '-' (for example my-app)"
    )
