"""Rules of our kinds that no schema can say: checked before a document is stored, so that a fault changes nothing.

Pure; documents are those the schema has accepted, with its defaults. Each fault says what was given, why it cannot
be, and what is allowed. Who claims which route is decided in :mod:`tako.model.claims`.
"""

import re
from collections.abc import Sequence
from typing import Any

from tako.model import faults
from tako.model.claims import app_claims, claim_faults, route_claims
from tako.model.errors import FieldError
from tako.model.kinds.app import Runtime
from tako.model.names import name_fault
from tako.model.routes import parse_pattern

Document = dict[str, Any]

INSTANCES_PER_CPU = 2
# Set by the process contract in every instance; a value of the user's would break it or be overwritten.
RESERVED_VARIABLES = frozenset(
    {
        *("ENV", "HOST", "PORT", "TAKO_APP_NAME", "TAKO_BOOTSTRAP_DATA", "TAKO_BUILD", "TAKO_DATA_DIR"),
        *("TAKO_INSTANCE_ID", "TAKO_INTERNAL_SOCKET"),
    }
)
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tar.zst")
_PYTHON_RUNTIMES = (Runtime.PYTHON_ASGI, Runtime.PYTHON_WSGI)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PYTHON_MAIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def app_faults(
    app: Document, other_apps: Sequence[Document], routes: Sequence[Document] = (), *, cpus: int | None = None
) -> list[FieldError]:
    """Return everything that is wrong with an App.

    `other_apps` are those of every namespace, `routes` the Route objects; the app itself may be among them. `cpus` is
    how many this host has, which bounds the instances where the app says no bound.
    """
    spec = app["spec"]
    return [
        *_identity_faults(app),
        *_source_faults(spec["source"], "spec.source"),
        *_command_faults(spec, "spec"),
        *_directory_faults(spec, "spec"),
        *_variable_faults(spec.get("env") or {}),
        *_instance_faults(spec, cpus),
        *claim_faults(app_claims(app), [*other_apps, *routes]),
    ]


def route_faults(route: Document, other_routes: Sequence[Document], apps: Sequence[Document]) -> list[FieldError]:
    """Return everything that is wrong with a Route; what its own app claims is no conflict."""
    return [
        *_app_name_faults(route["spec"]["app"]),
        *claim_faults(route_claims(route), [*other_routes, *apps]),
    ]


def release_faults(release: Document) -> list[FieldError]:
    """Return everything that is wrong with a Release."""
    spec = release["spec"]
    found = _app_name_faults(spec["app"])
    if spec["version"] in (".", ".."):
        found.append(faults.invalid("spec.version", spec["version"], "becomes a directory's name; give another one"))
    return [*found, *_source_faults(spec["source"], "spec.source"), *_directory_faults(spec, "spec")]


def certificate_faults(certificate: Document) -> list[FieldError]:
    """Return everything that is wrong with a Certificate."""
    found, seen = [], set()
    for index, host in enumerate(certificate["spec"]["hosts"]):
        field = f"spec.hosts[{index}]"
        fault = _host_fault(host)
        if fault:
            found.append(faults.invalid(field, host, fault))
        elif host.lower() in seen:
            found.append(faults.duplicate(field, host))
        seen.add(host.lower())
    return found


def _host_fault(host: str) -> str | None:
    if "/" in host:
        return "has a path; a certificate is for host names, for example api.example.com or *.example.com"
    try:
        parse_pattern(host)
    except ValueError as error:
        return str(error)
    return None


def _identity_faults(app: Document) -> list[FieldError]:
    metadata = app["metadata"]
    found = []
    for field in ("name", "namespace"):
        value = metadata.get(field)
        if value is not None and (fault := name_fault(value)):
            found.append(faults.invalid(f"metadata.{field}", value, fault))
    return found


def _app_name_faults(name: str) -> list[FieldError]:
    fault = name_fault(name)
    return [faults.invalid("spec.app", name, fault)] if fault else []


def _source_faults(source: Document, field: str) -> list[FieldError]:
    given = [member for member in ("path", "archive") if source.get(member) is not None]
    if not given:
        return [faults.required(field, "give path, a directory on this host, or archive, a .tar, .tar.gz or .tar.zst")]
    if len(given) == 2:
        return [faults.invalid(f"{field}.archive", source["archive"], f"{field}.path is given too; leave one out")]
    member = f"{field}.{given[0]}"
    text = source[given[0]]
    if "\0" in text or not text.startswith("/"):
        return [faults.invalid(member, text, "must be an absolute path; `tako apply` makes a relative one absolute")]
    if given[0] == "archive" and not text.endswith(ARCHIVE_SUFFIXES):
        return [faults.invalid(member, text, f"must end with one of {', '.join(ARCHIVE_SUFFIXES)}")]
    return []


def _command_faults(spec: Document, field: str) -> list[FieldError]:
    runtime, start, main = spec.get("runtime"), spec.get("start"), spec.get("main")
    found = []
    if runtime is None and start is None:
        known = ", ".join(Runtime)
        found.append(faults.required(f"{field}.runtime", f"give a runtime ({known}) with main, or a start command"))
    if start is not None and any("\0" in word for word in start):
        found.append(faults.invalid(f"{field}.start", start, "may not contain a NUL character"))
    if main:
        return found + _main_faults(main, f"{field}.main", runtime if start is None else None)
    if start is None and runtime is not None:
        found.append(
            faults.required(f"{field}.main", f"runtime {runtime} needs an entry point, {_main_example(runtime)}")
        )
    elif start is not None and "{main}" in start:
        found.append(faults.required(f"{field}.main", "the start command names {main}"))
    return found


def _main_faults(main: str, field: str, runtime: str | None) -> list[FieldError]:
    if runtime in _PYTHON_RUNTIMES:
        if _PYTHON_MAIN.fullmatch(main):
            return []
        return [faults.invalid(field, main, f"must be module:callable for runtime {runtime}, {_main_example(runtime)}")]
    return _inside_faults(main, field, "the source")


def _main_example(runtime: str) -> str:
    if runtime in _PYTHON_RUNTIMES:
        return "for example app:app or package.module:create.app"
    return "for example bin/server" if runtime == Runtime.GO else "for example src/server.js"


def _directory_faults(spec: Document, field: str) -> list[FieldError]:
    return [
        fault
        for member in ("appDir", "installDir")
        if spec.get(member)
        for fault in _inside_faults(spec[member], f"{field}.{member}", "the source")
    ]


def _inside_faults(path: str, field: str, root: str) -> list[FieldError]:
    """Refuse what would lead outside the directory it is meant to be in."""
    if path.startswith("/"):
        return [faults.invalid(field, path, f"must be relative to {root}, not absolute")]
    if ".." in path.split("/"):
        return [faults.invalid(field, path, f"may not leave {root} by '..'")]
    if "\0" in path:
        return [faults.invalid(field, path, "may not contain a NUL character")]
    return []


def _variable_faults(variables: dict[str, str]) -> list[FieldError]:
    found = []
    for name, value in variables.items():
        field = f"spec.env.{name}"
        if name in RESERVED_VARIABLES:
            found.append(faults.forbidden(field, f"{name} is set by Tako in every instance; use another name"))
        elif not _VARIABLE.fullmatch(name):
            rule = "a variable's name has only letters, digits and '_', and does not begin with a digit"
            found.append(faults.invalid(field, name, rule))
        elif "\0" in value:
            found.append(faults.invalid(field, value, "may not contain a NUL character"))
    return found


def _instance_faults(spec: Document, cpus: int | None) -> list[FieldError]:
    wanted, most = spec.get("instances", 1), spec.get("maxInstances")
    if most is not None:
        limit, source = most, "spec.maxInstances"
    elif cpus is not None:
        limit, source = (
            cpus * INSTANCES_PER_CPU,
            f"{INSTANCES_PER_CPU} for each of {cpus} CPUs; set spec.maxInstances for more",
        )
    else:
        return []
    if wanted <= limit:
        return []
    return [faults.invalid("spec.instances", wanted, f"must be less than or equal to {limit} ({source})")]
