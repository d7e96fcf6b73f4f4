"""What a person can do about an App that is not ready. Pure: from what is seen to sentences."""

import re
from typing import TYPE_CHECKING

from tako.cli.client import Document
from tako.cli.conditions import condition

if TYPE_CHECKING:
    from tako.cli.app_page import Family


# Reasons of the Ready condition that pass by themselves.
PASSING = ("Reading", "Preparing", "Starting", "RollingOut")
# What node and bun say. A stack trace through the SDK's files names the same path, and means something else.
_NO_SDK = re.compile(r"""(Cannot find module|Module not found) ['"][^'"]*node_modules/tako\.sh/""")


def advise(family: "Family", *, source_exists: bool) -> list[str]:
    """Return what to do, most likely cause first; nothing when the app is ready and every route is served."""
    routes, ready = _routes(family), condition(family.app, "Ready") or {}
    if ready.get("status") == "True":
        return routes
    told = _source(family.app, source_exists) or [*_release(family), *_sdk(family), *_health(family), *_process(family)]
    if not told and ready.get("reason") in PASSING:
        name, namespace = _name(family.app)
        told = [f"Nothing yet. `tako wait app/{name} -n {namespace} --for=condition=Ready` returns when it is ready."]
    return [*told, *routes] or _otherwise(family.app)


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
    for release in family.releases:
        if (release.get("status") or {}).get("phase") == "Failed" and release["spec"]["version"] == wanted:
            why = (condition(release, "Ready") or {}).get("message", "").partition("\n")[0].rstrip(".:")
            return [
                f"Release {wanted} could not be made: {why}. "
                "Correct the source and run `tako apply` again; what serves now goes on serving."
            ]
    return []


def _routes(family: "Family") -> list[str]:
    told = []
    for route in family.routes:
        verdict = condition(route, "Accepted") or {}
        if verdict.get("status") == "False":
            why = str(verdict.get("message") or verdict.get("reason")).rstrip(".")
            told.append(
                f"Route {route['spec']['pattern']} is not served: {why}. "
                "Change it in spec.routes, or in the app that holds it, and run `tako apply` again."
            )
    return told


def _process(family: "Family") -> list[str]:
    ended = [(instance.get("status") or {}).get("exit") for instance in family.instances]
    error = (family.app.get("status") or {}).get("lastError") or ""
    if not any(ended) and not error:
        return []
    name, namespace = _name(family.app)
    told = []
    if "did not report a port" in error or any(each and each.get("code") == 0 for each in ended):
        told.append(
            "The process must write its port and a newline to file descriptor 4 once it listens. The runtimes "
            "python-asgi, python-wsgi, node and bun do that; a program named by spec.start does it itself."
        )
    told.append(f"Read all that it printed: `tako logs {name} -n {namespace} --tail 100`.")
    told.append("Correct the program and run `tako apply` again: changed files make a new release at once.")
    return told


def _sdk(family: "Family") -> list[str]:
    wanted = (family.app.get("status") or {}).get("wantedRelease")
    output = [
        line
        for instance in family.instances
        if instance["spec"].get("release") == wanted
        for line in ((instance.get("status") or {}).get("exit") or {}).get("lastOutput") or []
    ]
    runtime = family.app["spec"].get("runtime")
    if any("No module named tako_sh" in line for line in output):
        return [
            f"The Python that runs it lacks the package tako-sh, which runtime {runtime} needs: add it to its venv."
        ]
    if any(_NO_SDK.search(line) for line in output):
        return [
            f"The source has no node_modules/tako.sh, which runtime {runtime} needs: add the package tako.sh to the "
            "dependencies of package.json, install it, and run `tako apply` again."
        ]
    return []


def _health(family: "Family") -> list[str]:
    status = family.app.get("status") or {}
    told = f"{status.get('lastError')} {(condition(family.app, 'Ready') or {}).get('message')}"
    path = (family.app["spec"].get("health") or {}).get("path", "/status")
    answered = f"GET {path} " in told and "answered" in told
    if any((each.get("status") or {}).get("state") == "Unhealthy" for each in family.instances) or answered:
        name, _ = _name(family.app)
        return [
            f"An instance does not answer its health check: GET {path} with Host {name}.tako must give 2xx and send "
            "back the header X-Tako-Internal-Token. The SDK's entrypoints answer /status; leave spec.health.path at "
            "it, or answer the path in the app."
        ]
    if "was not healthy" in told and "connection refused" in told:
        return ["The port written to file descriptor 4 must be the one the process listens on, on 127.0.0.1."]
    return []


def _otherwise(app: Document) -> list[str]:
    name, namespace = _name(app)
    if not (app.get("status") or {}).get("conditions"):
        return ["Nothing has looked at it yet. `tako get hosts -o wide` tells how the server is."]
    return [
        f"Follow it with `tako events --for app/{name} -n {namespace} -w` and `tako logs {name} -n {namespace} -f`.",
    ]


def _name(app: Document) -> tuple[str, str]:
    return app["metadata"]["name"], app["metadata"].get("namespace", "")
