"""Schemas of the kinds that clients expect of any Kubernetes server, as far as they are served here.

The same schemas prune and validate their documents and are published to clients. Keyed by group resource.
"""

from typing import Any

Node = dict[str, Any]

_STRING: Node = {"type": "string"}
_INTEGER: Node = {"type": "integer", "format": "int32"}
_BOOLEAN: Node = {"type": "boolean", "nullable": True}
# Typed clients write null for a time that is not set.
_TIME: Node = {"type": "string", "format": "date-time", "nullable": True}
_ANYTHING: Node = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def _object(about: str = "", /, required: tuple[str, ...] = (), **members: Node) -> Node:
    schema: Node = {"type": "object", "properties": members}
    if about:
        schema["description"] = about
    return {**schema, "required": list(required)} if required else schema


def _list(items: Node, keys: tuple[str, ...] = ()) -> Node:
    schema: Node = {"type": "array", "items": items, "nullable": True, "x-kubernetes-list-type": "atomic"}
    return {**schema, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)} if keys else schema


def _map(values: Node, description: str = "") -> Node:
    schema: Node = {"type": "object", "additionalProperties": values, "nullable": True}
    return {**schema, "description": description} if description else schema


_CONDITION = _object(
    required=("type", "status"),
    type=_STRING,
    status=_STRING,
    reason=_STRING,
    message=_STRING,
    lastTransitionTime=_TIME,
    observedGeneration={"type": "integer", "format": "int64"},
)
_REFERENCE = _object(
    kind=_STRING,
    namespace=_STRING,
    name=_STRING,
    uid=_STRING,
    apiVersion=_STRING,
    resourceVersion=_STRING,
    fieldPath=_STRING,
)
_NAME_REFERENCE = _object(name=_STRING)
_COLUMN = _object(
    required=("name", "type", "jsonPath"),
    name=_STRING,
    type=_STRING,
    jsonPath=_STRING,
    description=_STRING,
    format=_STRING,
    priority=_INTEGER,
)
_CRD_NAMES = _object(
    required=("plural", "kind"),
    plural=_STRING,
    singular=_STRING,
    kind=_STRING,
    listKind=_STRING,
    shortNames=_list(_STRING),
    categories=_list(_STRING),
)
_CRD_VERSION = _object(
    required=("name", "served", "storage"),
    name=_STRING,
    served={"type": "boolean"},
    storage={"type": "boolean"},
    deprecated=_BOOLEAN,
    deprecationWarning={**_STRING, "nullable": True},
    schema=_object(openAPIV3Schema=_ANYTHING),
    subresources=_object(
        status=_ANYTHING,
        scale=_object(specReplicasPath=_STRING, statusReplicasPath=_STRING, labelSelectorPath=_STRING),
    ),
    additionalPrinterColumns=_list(_COLUMN),
    selectableFields=_list(_object(jsonPath=_STRING)),
)

BUILTIN_SCHEMAS: dict[str, Node] = {
    "namespaces": _object(
        "A namespace; for Tako an environment.",
        spec=_object(finalizers=_list(_STRING)),
        status=_object(phase=_STRING, conditions=_list(_CONDITION, ("type",))),
    ),
    "configmaps": _object(
        "Configuration as keys and values.",
        data=_map(_STRING, "Text by key."),
        binaryData=_map({"type": "string", "format": "byte"}, "Bytes by key, in base64."),
        immutable=_BOOLEAN,
    ),
    "secrets": _object(
        "Values that are not shown.",
        data=_map({"type": "string", "format": "byte"}, "Bytes by key, in base64."),
        stringData=_map(_STRING, "Text by key, turned into data on writing."),
        type=_STRING,
        immutable=_BOOLEAN,
    ),
    "serviceaccounts": _object(
        "An identity.",
        secrets=_list(_REFERENCE, ("name",)),
        imagePullSecrets=_list(_NAME_REFERENCE, ("name",)),
        automountServiceAccountToken=_BOOLEAN,
    ),
    "events": _object(
        "Something that happened to an object.",
        required=("involvedObject",),
        involvedObject=_REFERENCE,
        reason=_STRING,
        message=_STRING,
        source=_object(component=_STRING, host=_STRING),
        firstTimestamp=_TIME,
        lastTimestamp=_TIME,
        count=_INTEGER,
        type=_STRING,
        eventTime=_TIME,
        series={**_object(count=_INTEGER, lastObservedTime=_TIME), "nullable": True},
        action=_STRING,
        related={**_REFERENCE, "nullable": True},
        reportingComponent=_STRING,
        reportingInstance=_STRING,
    ),
    "leases.coordination.k8s.io": _object(
        "Who holds something, and until when.",
        spec=_object(
            holderIdentity={**_STRING, "nullable": True},
            leaseDurationSeconds={**_INTEGER, "nullable": True},
            acquireTime=_TIME,
            renewTime=_TIME,
            leaseTransitions={**_INTEGER, "nullable": True},
        ),
    ),
    "customresourcedefinitions.apiextensions.k8s.io": _object(
        "A kind that this server serves.",
        required=("spec",),
        spec=_object(
            required=("group", "names", "scope", "versions"),
            group=_STRING,
            names=_CRD_NAMES,
            scope={"type": "string", "enum": ["Cluster", "Namespaced"]},
            versions=_list(_CRD_VERSION),
            conversion=_ANYTHING,
            preserveUnknownFields={"type": "boolean"},
        ),
        status=_object(
            conditions=_list(_CONDITION, ("type",)),
            acceptedNames=_CRD_NAMES,
            storedVersions=_list(_STRING),
        ),
    ),
}
