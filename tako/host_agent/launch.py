"""Starting one process by the process contract: fds 0 to 4, directory, umask, limits, user.

A process never gets PDEATHSIG: instances outlive tako-server on purpose.
"""

import fcntl
import os
import resource
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tako.adapters import processes
from tako.adapters.files import file_error
from tako.host_agent.isolation import AppUser, Confinement
from tako.model.errors import Refused, TakoError
from tako.model.kinds.app import Limits
from tako.model.names import DeploymentId, InstanceId, ReleaseId

STDOUT, STDERR, ENVELOPE, READINESS = 1, 2, 3, 4

_SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
# What a pipe holds before its reader comes, and what an unprivileged process may ask for at most.
_PIPE_DEFAULT = 64 * 1024
_PIPE_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class LaunchOrder:
    """Everything that one process is started with."""

    id: InstanceId
    app: DeploymentId
    release: ReleaseId
    template: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: Path
    token: str = field(repr=False)
    envelope: bytes = field(repr=False)
    limits: Limits = field(default_factory=Limits)
    confinement: Confinement = field(default_factory=Confinement)
    role: str = "http"
    restarts: int = 0


@dataclass(frozen=True, slots=True)
class Launched:
    """A process just started; `readiness` is our end of its fd 4, None for a worker."""

    pid: int
    readiness: int | None


def launch(order: LaunchOrder, stdout: Path, stderr: Path) -> Launched:
    """Start the process; its output is appended to the two files.

    Raises `Refused` when it can never start as ordered, `RetryLater` when the host is short of something.
    """
    if not order.cwd.is_dir():
        raise Refused(f"cannot start the app: its directory {order.cwd} does not exist; check spec.appDir")
    with ExitStack() as ours:
        fds = {STDOUT: _append(stdout, ours), STDERR: _append(stderr, ours)}
        fds[ENVELOPE] = _filled_pipe(order.envelope, ours)
        readiness = None
        if order.role == "http":
            readiness, fds[READINESS] = os.pipe2(os.O_CLOEXEC)
            ours.callback(os.close, fds[READINESS])
        try:
            pid = processes.spawn(launcher(order), order.environment, fds)
        except (TakoError, OSError):
            if readiness is not None:
                os.close(readiness)
            raise
    return Launched(pid, readiness)


def launcher(order: LaunchOrder) -> tuple[str, ...]:
    """Return the command line that confines itself step by step and then becomes the app's.

    A shell does it because between fork and exec nothing of Python may run beside our threads, and because
    posix_spawn knows neither directory nor limits.
    """
    confinement = order.confinement
    steps = ['cd -- "$1" || exit 126', "umask 027"]
    if confinement.cgroup is not None:
        steps.append('echo $$ > "$2/cgroup.procs" || exit 126')
    if confinement.rlimits:
        steps.append(f"ulimit -n {_open_files(order.limits)}")
        # RLIMIT_NPROC counts every process of the user, so it is for a user that only runs this app.
        if confinement.user is not None:
            steps.append(f"ulimit -u {order.limits.processes} 2>/dev/null || ulimit -p {order.limits.processes}")
    steps += ["shift 2", 'exec "$@"']
    cgroup = str(confinement.cgroup or "")
    return (
        "/bin/sh",
        "-c",
        "; ".join(steps),
        "tako-launch",
        str(order.cwd),
        cgroup,
        *_privileges(confinement),
        *order.argv,
    )


def _privileges(confinement: Confinement) -> tuple[str, ...]:
    if not confinement.no_new_privs and confinement.user is None:
        return ()
    setpriv = shutil.which("setpriv", path=_SYSTEM_PATH)
    if setpriv is None:
        raise Refused("setpriv is missing on this host, and no process is started with less isolation than asked for")
    user = _user_options(confinement.user) if confinement.user else ()
    return (setpriv, "--no-new-privs", *user, "--")


def _user_options(user: AppUser) -> tuple[str, ...]:
    groups = ",".join(str(group) for group in user.groups)
    supplementary = f"--groups={groups}" if groups else "--clear-groups"
    # Without --inh-caps and --ambient-caps the capabilities of a non-root tako-server would pass to the app.
    return (f"--reuid={user.uid}", f"--regid={user.gid}", supplementary, "--inh-caps=-all", "--ambient-caps=-all")


def _open_files(limits: Limits) -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limits.open_files if hard == resource.RLIM_INFINITY else min(limits.open_files, hard)


def _append(path: Path, ours: ExitStack) -> int:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise file_error(f"cannot open {path} for what the app prints", error) from error
    ours.callback(os.close, fd)
    return fd


def _filled_pipe(content: bytes, ours: ExitStack) -> int:
    """Return the read end of a pipe that already holds `content` and is at its end after it."""
    if len(content) > _PIPE_MAX:
        raise Refused(f"secrets and storages are {len(content)} bytes together; a process takes at most {_PIPE_MAX}")
    read, write = os.pipe2(os.O_CLOEXEC)
    ours.callback(os.close, read)
    try:
        if len(content) > _PIPE_DEFAULT:
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_MAX)
        os.write(write, content)
    finally:
        os.close(write)
    return read
