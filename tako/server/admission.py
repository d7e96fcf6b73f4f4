"""The rules of our kinds, as the API runs them before it stores anything."""

from collections.abc import Callable, Iterable
from typing import Any

from tako.host_agent.agent import max_instances
from tako.model.errors import FieldError
from tako.model.kinds import APP, CERTIFICATE, ROUTE
from tako.model.rules import app_faults, certificate_faults, route_faults

Doc = dict[str, Any]
ListDocs = Callable[[str], Iterable[Doc]]
Rule = Callable[[Doc | None, Doc, ListDocs], list[FieldError]]


def rules() -> dict[str, Rule]:
    """Return the admission functions by group and resource."""
    return {
        APP.group_resource: _app,
        ROUTE.group_resource: lambda _, new, list_docs: route_faults(new, list_docs(ROUTE.group_resource)),
        CERTIFICATE.group_resource: lambda _, new, __: certificate_faults(new),
    }


def _app(old: Doc | None, new: Doc, list_docs: ListDocs) -> list[FieldError]:
    faults = app_faults(new, list_docs(APP.group_resource))
    spec = new.get("spec", {})
    wanted, most = spec.get("instances"), max_instances(spec.get("maxInstances"))
    if isinstance(wanted, int) and wanted > most:
        message = f"at most {most} instances are allowed on this host; set spec.maxInstances to allow more"
        faults.append(FieldError("spec.instances", message, wanted))
    return faults
