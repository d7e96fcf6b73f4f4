"""What a person can do about an App that is not ready. Pure: from what is seen to sentences."""

from typing import TYPE_CHECKING

from tako.cli.client import Document
from tako.cli.conditions import condition

if TYPE_CHECKING:
    from tako.cli.app_page import Family


def advise(family: "Family", *, source_exists: bool) -> list[str]:
    """Return what to do, most likely cause first; nothing when the app is ready."""
    routes = _routes(family)
    if (condition(family.app, "Ready") or {}).get("status") == "True":
        return routes
    told = [*_source(family.app, source_exists), *_release(family), *routes, *_process(family), *_health(family)]
    return told or _otherwise(family.app)


def _source(app: Document, exists: bool) -> list[str]:
    if exists:
        return []
    source = app["spec"]["source"]
    field = "path" if source.get("path") else "archive"
    return [
        f"{source.get(field)} is not on this host. Put the files there, or correct spec.source.{field}; "
        "then run `tako apply` again."
    ]


def _release(family: "Family") -> list[str]:
    wanted = (family.app.get("status") or {}).get("wantedRelease")
    told = []
    for release in family.releases:
        status = release.get("status") or {}
        if status.get("phase") != "Failed" or release["spec"]["version"] != wanted:
            continue
        why = (condition(release, "Prepared") or condition(release, "Ready") or {}).get("message", "")
        told.append(f"Release {wanted} could not be made: {why.partition(chr(10))[0]}".rstrip(": "))
        told.append("Correct the source and run `tako apply` again; what serves now goes on serving.")
    return told


def _routes(family: "Family") -> list[str]:
    told = []
    for route in family.routes:
        verdict = condition(route, "Accepted") or {}
        if verdict.get("status") == "False":
            pattern = route["spec"]["pattern"]
            told.append(f"Route {pattern} is not served: {verdict.get('message') or verdict.get('reason')}.")
            told.append("Take it out of spec.routes of one of the two apps.")
    return told


def _process(family: "Family") -> list[str]:
    ended = [(instance.get("status") or {}).get("exit") for instance in family.instances]
    exits = [each for each in ended if each]
    message = (condition(family.app, "Ready") or {}).get("message", "")
    if not exits and "exit" not in message and "port" not in message:
        return []
    name, namespace = _name(family.app)
    told = []
    if any("port" in each.get("reason", "") for each in exits) or "port" in message:
        told.append(
            "The process must report its port on file descriptor 4 once it listens. The runtimes python-asgi, "
            "python-wsgi, node and bun do that; a program of `start` writes the decimal port and a newline there."
        )
    told.append(f"Read all it printed: `tako logs {name} -n {namespace} --tail 100`.")
    told.append("Correct the program and run `tako apply` again: changed files make a new release at once.")
    return told


def _health(family: "Family") -> list[str]:
    if not any((each.get("status") or {}).get("state") == "Unhealthy" for each in family.instances):
        return []
    name, _ = _name(family.app)
    path = (family.app["spec"].get("health") or {}).get("path", "/status")
    return [
        f"An instance does not answer its health check: GET {path} with Host {name}.tako must give 2xx and send back "
        "the header X-Tako-Internal-Token. The SDK's entrypoints answer /status; leave spec.health.path at it, "
        "or answer the path in the app."
    ]


def _otherwise(app: Document) -> list[str]:
    name, namespace = _name(app)
    if not (app.get("status") or {}).get("conditions"):
        return ["Nothing has looked at it yet. `tako get hosts -o wide` tells how the server is."]
    return [
        f"Follow it with `tako events --for app/{name} -n {namespace} -w` and `tako logs {name} -n {namespace} -f`.",
    ]


def _name(app: Document) -> tuple[str, str]:
    return app["metadata"]["name"], app["metadata"].get("namespace", "")
