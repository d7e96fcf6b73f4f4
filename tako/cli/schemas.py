"""The fields of a kind, from the server's OpenAPI v3."""

import re
from collections.abc import Iterable
from typing import Any

from tako.cli.client import Client, RequestFailed, Resource
from tako.cli.failure import CommandFailed

_REFERENCE = "#/components/schemas/"
_UNKNOWN = re.compile(r'unknown field "([^"]+)"')
_INDEX = re.compile(r"\[\d+\]")
Schema = dict[str, Any]


class Schemas:
    """The OpenAPI v3 document of a kind's group, with references followed."""

    def __init__(self, client: Client, resource: Resource) -> None:
        self._resource = resource
        key = f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"
        found = client.json("/openapi/v3")["paths"].get(key)
        if found is None:
            raise CommandFailed(f"the server has no documentation of {resource.api_version}")
        self._schemas: dict[str, Schema] = client.json(found["serverRelativeURL"])["components"]["schemas"]

    def kind(self) -> Schema:
        resource = self._resource
        wanted = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        for schema in self._schemas.values():
            if wanted in schema.get("x-kubernetes-group-version-kind", []):
                return schema
        raise CommandFailed(f"the server has no documentation of {resource.kind}")

    def field(self, schema: Schema, name: str, walked: str) -> Schema:
        known = self.properties(schema)
        if name not in known:
            raise CommandFailed(f"{walked} has no field {name}; {nearest(name, known)}")
        return self.followed(known[name])

    def properties(self, schema: Schema) -> dict[str, Schema]:
        """Return the fields below; those of a list are the fields of its items."""
        schema = self.followed(schema)
        inner = schema.get("items") or schema.get("additionalProperties")
        if isinstance(inner, dict) and "properties" not in schema:
            return self.properties(inner)
        return dict(schema.get("properties") or {})

    def followed(self, schema: Schema) -> Schema:
        """Follow ``$ref``; OpenAPI wraps one in allOf when it stands beside a description or a default."""
        reference = schema.get("$ref") or next((each.get("$ref") for each in schema.get("allOf", [])), None)
        if not reference:
            return schema
        target = self._schemas[reference.removeprefix(_REFERENCE)]
        return {**target, **{key: value for key, value in schema.items() if key not in ("$ref", "allOf")}}

    def type_name(self, schema: Schema) -> str:
        schema = self.followed(schema)
        match schema.get("type"):
            case "array":
                return "[]" + self.type_name(schema.get("items") or {})
            case "object":
                values = schema.get("additionalProperties")
                return f"map[string]{self.type_name(values)}" if isinstance(values, dict) else "Object"
            case None:
                return "Object" if schema.get("properties") else "any"
        return str(schema["type"])


def unknown_fields(failed: RequestFailed) -> list[str]:
    """Return the paths of fields that strict validation refused; nothing when it was refused for another reason."""
    return _UNKNOWN.findall(str(failed)) if "strict decoding error" in str(failed) else []


def explain_unknown(schemas: Schemas, path: str) -> str:
    """``spec.route: unknown field; did you mean routes?``"""
    *parents, name = _INDEX.sub("", path).split(".")
    schema = schemas.kind()
    for parent in parents:
        schema = schemas.field(schema, parent, path)
    return f"{path}: unknown field; {nearest(name, schemas.properties(schema))}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Propose the known name that is most like `name`, or all of them."""
    from difflib import get_close_matches

    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none at all'}"
