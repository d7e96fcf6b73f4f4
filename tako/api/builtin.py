"""The kinds of Kubernetes itself that are served: what kopf, kubectl and other operators expect to find."""

from tako.api.builtin_schemas import BUILTIN_SCHEMAS
from tako.api.registry import CRDS, Registry, Resource
from tako.api.schema import Schema
from tako.api.table import BUILTIN_COLUMNS

NAMESPACES = "namespaces"
EVENTS = "events"

_EVENT_FIELDS = (
    *("involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid"),
    *("involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath"),
    *("reason", "type", "source", "reportingComponent"),
)


def built_in_registry() -> Registry:
    """Return a registry that serves the built-in kinds only."""
    return Registry(
        [
            _built_in(NAMESPACES, "Namespace", "ns", namespaced=False, has_status=True, fields=("status.phase",)),
            _built_in(EVENTS, "Event", "ev", fields=_EVENT_FIELDS),
            _built_in("configmaps", "ConfigMap", "cm"),
            _built_in("secrets", "Secret", fields=("type",)),
            _built_in("serviceaccounts", "ServiceAccount", "sa"),
            _built_in("leases.coordination.k8s.io", "Lease"),
            _built_in(CRDS, "CustomResourceDefinition", "crd", "crds", namespaced=False, has_status=True),
        ]
    )


def _built_in(
    group_resource: str,
    kind: str,
    *short_names: str,
    namespaced: bool = True,
    has_status: bool = False,
    fields: tuple[str, ...] = (),
) -> Resource:
    plural, _, group = group_resource.partition(".")
    return Resource(
        group=group,
        version="v1",
        plural=plural,
        singular=kind.lower(),
        kind=kind,
        list_kind=f"{kind}List",
        namespaced=namespaced,
        schema=Schema(BUILTIN_SCHEMAS[group_resource]),
        short_names=short_names,
        categories=("api-extensions",) if group_resource == CRDS else (),
        columns=tuple(dict(column) for column in BUILTIN_COLUMNS[group_resource]),
        selectable_fields=fields,
        has_status=has_status,
    )
