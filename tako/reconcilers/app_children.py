"""What an App makes: a Release, a Route for each pattern, a Certificate for each host name. Pure.

Names are derived from contents, so planning twice gives the same names and the second pass has nothing to do.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tako.api.lifecycle import rfc3339
from tako.model.kinds import CERTIFICATE, RELEASE, ROUTE, Kind
from tako.model.kinds.app import AppSpec
from tako.model.names import ReleaseId
from tako.model.routes import parse_pattern

Doc = dict[str, Any]

# The specification's: so many with the one that serves, and none that is older.
RELEASES_KEPT = 50
RELEASE_AGE = timedelta(days=30)
APP_LABEL = "tako.sh/app"


@dataclass(frozen=True, slots=True)
class Create:
    """Write this child."""

    kind: Kind
    doc: Doc


@dataclass(frozen=True, slots=True)
class Update:
    """The child exists with another spec."""

    kind: Kind
    name: str
    spec: Doc


@dataclass(frozen=True, slots=True)
class Remove:
    """The app does not want this child any more."""

    kind: Kind
    name: str


Write = Create | Update | Remove


def release_version(spec: AppSpec, digest: str) -> ReleaseId:
    """Return twelve hexadecimal digits that change when the files, or what is installed beside them, do."""
    manifest = [digest, spec.runtime, spec.start, spec.main, spec.app_dir, spec.install_dir]
    return ReleaseId(hashlib.sha256(json.dumps(manifest).encode()).hexdigest()[:12])


def short_hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def certificate_name(host: str) -> str:
    """Return an object name for a host name; `*.example.com` becomes `wildcard.example.com`."""
    return host.replace("*", "wildcard", 1)


def hosts_of(spec: AppSpec) -> tuple[str, ...]:
    """Return the host names that an app's routes need certificates for."""
    return tuple(sorted({parse_pattern(text).host for text in spec.routes}))


def plan_children(app: Doc, version: ReleaseId, digest: str, seen: Mapping[str, Iterable[Doc]]) -> tuple[Write, ...]:
    """Return the writes that make an app's children what its spec says.

    `seen` has documents by plural (``releases``, ``routes``, ``certificates``): those of the app, and whatever else has
    the name of a certificate it needs.
    """
    spec = AppSpec.model_validate(app["spec"])
    name = app["metadata"]["name"]
    writes: list[Write] = []
    release = _child(app, RELEASE, f"{name}-{version}", _release_spec(name, spec, version, digest))
    known = {doc["metadata"]["name"] for doc in _of(app, seen["releases"])}
    if release["metadata"]["name"] not in known:
        writes.append(Create(RELEASE, release))
    routes = {f"{name}-{short_hash(str(parse_pattern(text)))}": {"app": name, "pattern": text} for text in spec.routes}
    writes += _sync(app, ROUTE, routes, _of(app, seen["routes"]))
    # A name that another app's certificate already covers is shared: one name, one certificate.
    taken = {d["metadata"]["name"] for d in seen["certificates"]} - {
        d["metadata"]["name"] for d in _of(app, seen["certificates"])
    }
    certificates = {
        certificate_name(host): {"hosts": [host], "issuer": "self-signed"}
        for host in hosts_of(spec)
        if certificate_name(host) not in taken
    }
    writes += _sync(app, CERTIFICATE, certificates, _of(app, seen["certificates"]))
    return tuple(writes)


def stale_releases(releases: Iterable[Doc], kept: Iterable[str], now: str) -> tuple[str, ...]:
    """Return the names of releases to remove: too many or too old, never one in `kept` versions."""
    keep = set(kept)
    oldest = rfc3339(datetime.fromisoformat(now) - RELEASE_AGE)
    newest_first = sorted(releases, key=lambda d: d["metadata"]["creationTimestamp"], reverse=True)
    return tuple(
        doc["metadata"]["name"]
        for place, doc in enumerate(newest_first)
        if (place >= RELEASES_KEPT or doc["metadata"]["creationTimestamp"] < oldest)
        and doc["spec"]["version"] not in keep
    )


def _release_spec(name: str, spec: AppSpec, version: ReleaseId, digest: str) -> Doc:
    wanted = {
        "app": name,
        "version": version,
        "source": {**spec.source.model_dump(mode="json", exclude_none=True), "digest": digest},
        "runtime": spec.runtime.value if spec.runtime else None,
        "main": spec.main,
        "start": spec.start,
        "appDir": spec.app_dir,
        "installDir": spec.install_dir,
    }
    return {key: value for key, value in wanted.items() if value is not None}


def _child(app: Doc, kind: Kind, name: str, spec: Doc) -> Doc:
    meta = app["metadata"]
    return {
        "apiVersion": kind.api_version,
        "kind": kind.name,
        "metadata": {
            "name": name,
            "namespace": meta["namespace"],
            "labels": {APP_LABEL: meta["name"]},
            "ownerReferences": [owner_reference(app)],
        },
        "spec": spec,
    }


def owner_reference(app: Doc) -> Doc:
    """Return the reference by which deleting the app deletes the child."""
    return {
        "apiVersion": app["apiVersion"],
        "kind": app["kind"],
        "name": app["metadata"]["name"],
        "uid": app["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _of(app: Doc, docs: Iterable[Doc]) -> list[Doc]:
    uid = app["metadata"]["uid"]
    return [d for d in docs if any(r["uid"] == uid for r in d["metadata"].get("ownerReferences") or ())]


def _sync(app: Doc, kind: Kind, wanted: Mapping[str, Doc], seen: Iterable[Doc]) -> list[Write]:
    known = {d["metadata"]["name"]: d for d in seen}
    writes: list[Write] = [
        Create(kind, _child(app, kind, name, spec)) for name, spec in wanted.items() if name not in known
    ]
    for name, doc in known.items():
        if name not in wanted:
            if "deletionTimestamp" not in doc["metadata"]:
                writes.append(Remove(kind, name))
        elif any(doc["spec"].get(key) != value for key, value in wanted[name].items()):
            writes.append(Update(kind, name, wanted[name]))
    return writes
