"""The rules of our kinds, as the API runs them before it stores anything."""

import os
from collections.abc import Callable
from typing import Any

from tako.model.errors import FieldError
from tako.model.kinds import APP, CERTIFICATE, RELEASE, ROUTE
from tako.model.rules import app_faults, certificate_faults, release_faults, route_faults

Doc = dict[str, Any]
ListDocs = Callable[[str], list[Doc]]
Rule = Callable[[Doc | None, Doc, ListDocs], list[FieldError]]


def rules() -> dict[str, Rule]:
    """Return the admission functions by group and resource."""
    cpus = len(os.sched_getaffinity(0))

    def app(_: Doc | None, new: Doc, docs: ListDocs) -> list[FieldError]:
        return app_faults(new, docs(APP.group_resource), docs(ROUTE.group_resource), cpus=cpus)

    def route(_: Doc | None, new: Doc, docs: ListDocs) -> list[FieldError]:
        return route_faults(new, docs(ROUTE.group_resource), docs(APP.group_resource))

    return {
        APP.group_resource: app,
        ROUTE.group_resource: route,
        RELEASE.group_resource: lambda _, new, __: release_faults(new),
        CERTIFICATE.group_resource: lambda _, new, __: certificate_faults(new),
    }
