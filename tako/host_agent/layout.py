"""Where everything of a host lives below its data directory. Only paths and the modes they are made with."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tako.model.names import DeploymentId, ReleaseId, name_fault


@dataclass(frozen=True, slots=True)
class AppDirs:
    """The directories of one app in one environment."""

    root: Path

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    def release(self, version: ReleaseId | str) -> Path:
        """The directory of one release; `version` has been checked against its pattern by the API."""
        return self.releases / version

    @property
    def current(self) -> Path:
        """Symlink to the release that serves."""
        return self.root / "current"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def current_log(self) -> Path:
        """The lines of all instances and of Tako; the older ones are in `previous_log`."""
        return self.logs / "current.log"

    @property
    def previous_log(self) -> Path:
        return self.logs / "previous.log"

    @property
    def spool(self) -> Path:
        """What instances print, as they print it, until it is in the log."""
        return self.logs / "spool"

    @property
    def access_log(self) -> Path:
        """The proxy's spool file: a line for each request that was matched to the app."""
        return self.spool / "proxy.access"

    @property
    def data_app(self) -> Path:
        """The app's own files; survive every release."""
        return self.root / "data" / "app"

    @property
    def data_tako(self) -> Path:
        return self.root / "data" / "tako"

    @property
    def instances(self) -> Path:
        """One record for each process; see :mod:`tako.host_agent.records`."""
        return self.data_tako / "instances"

    def make(self, owner: tuple[int, int] | None = None) -> None:
        """Create what is missing. Modes are the process contract's, whatever the umask says.

        With `owner` (uid, gid) the app's own user may pass through to its releases, and owns its data.
        """
        for path, mode in (
            (self.root, 0o750),
            (self.releases, 0o750),
            (self.logs, 0o750),
            (self.spool, 0o750),
            (self.root / "data", 0o710),
            (self.data_app, 0o2770),
            (self.data_tako, 0o700),
            (self.instances, 0o700),
        ):
            if not path.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                path.chmod(mode)
        if owner is not None:
            uid, gid = owner
            for path in (self.root, self.releases, self.root / "data"):
                os.chown(path, -1, gid)
            os.chown(self.data_app, uid, gid)


@dataclass(frozen=True, slots=True)
class Layout:
    """The data directory of one host."""

    data_dir: Path

    def app(self, app: DeploymentId) -> AppDirs:
        return AppDirs(self.data_dir / "apps" / app.app / app.environment)

    def apps(self) -> Iterator[DeploymentId]:
        """Every app that has a directory here; files and names of somebody else are passed over."""
        for path in sorted(self.data_dir.glob("apps/*/*")):
            if path.is_dir() and not name_fault(path.name) and not name_fault(path.parent.name):
                yield DeploymentId(path.parent.name, path.name)

    @property
    def runtimes(self) -> Path:
        """Downloaded runtimes: ``{tool}/{version}/``."""
        return self.data_dir / "runtimes"

    @property
    def tmp(self) -> Path:
        """On the same file system as the releases, so that a finished one is moved by rename."""
        return self.data_dir / "tmp"

    @property
    def certs(self) -> Path:
        """``{domain}/fullchain.pem``, ``privkey.pem`` and ``issuer``."""
        return self.data_dir / "certs"

    @property
    def proxy(self) -> Path:
        """The control socket, the last table and the log of tako-proxyd."""
        return self.data_dir / "proxy"

    @property
    def cloudflare_ranges(self) -> Path:
        """The addresses of Cloudflare's proxies as they were fetched last."""
        return self.data_dir / "cloudflare-ranges.json"

    @property
    def api_socket(self) -> Path:
        return self.data_dir / "api.sock"

    @property
    def internal_socket(self) -> Path:
        return self.data_dir / "internal.sock"
