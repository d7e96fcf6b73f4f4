"""`tako explain`: documentation of a kind and its fields, from the server's OpenAPI."""

from typing import Annotated, Any

from tako.cli.arguments import Argument, Option
from tako.cli.client import Resource
from tako.cli.failure import CommandFailed
from tako.cli.kinds import Kinds
from tako.cli.session import Session

Path = Annotated[str, Argument("KIND[.FIELD...]", "Such as app, app.spec or app.spec.routes.")]
Recursive = Annotated[bool, Option(("--recursive",), "The names of all fields below.")]

_REFERENCE = "#/components/schemas/"
Schema = dict[str, Any]


def explain(session: Session, path: Path, *, recursive: Recursive = False) -> int:
    """Document a kind or a field: its type, what it means, its default, and the fields below it."""
    word, *fields = path.split(".")
    resource = Kinds(session.client).named(word)
    schemas = _Schemas(session, resource)
    schema, walked = schemas.kind(), resource.singular or word
    for field in fields:
        schema = schemas.field(schema, field, walked)
        walked += f".{field}"
    if session.settings.json:
        session.result_json({"path": path, "schema": schema})
    else:
        session.result("\n".join(_page(schemas, resource, fields, schema, recursive)))
    return 0


class _Schemas:
    """The OpenAPI v3 document of a kind's group, with references followed."""

    def __init__(self, session: Session, resource: Resource) -> None:
        self._resource = resource
        key = f"apis/{resource.group}/{resource.version}" if resource.group else f"api/{resource.version}"
        found = session.client.json("/openapi/v3")["paths"].get(key)
        if found is None:
            raise CommandFailed(f"the server has no documentation of {resource.api_version}")
        self._schemas: dict[str, Schema] = session.client.json(found["serverRelativeURL"])["components"]["schemas"]

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
            raise CommandFailed(f"{walked} has no field {name}{_nearest(name, known)}")
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


def _page(schemas: _Schemas, resource: Resource, fields: list[str], schema: Schema, recursive: bool) -> list[str]:
    lines = [f"GROUP:      {resource.group}"] if resource.group else []
    lines += [f"KIND:       {resource.kind}", f"VERSION:    {resource.version}", ""]
    if fields:
        lines += [f"FIELD: {fields[-1]} <{schemas.type_name(schema)}>", *_rules(schema, ""), ""]
    lines += ["DESCRIPTION:", *_wrapped(schema.get("description") or "<none>", "    ")]
    known = schemas.properties(schema)
    if known:
        lines += ["", "FIELDS:", *_fields(schemas, schema, recursive, "  ")]
    return lines


def _fields(schemas: _Schemas, schema: Schema, recursive: bool, indent: str) -> list[str]:
    lines = []
    required = _required(schemas, schema)
    for name, each in sorted(schemas.properties(schema).items()):
        marks = " -required-" if name in required else ""
        lines.append(f"{indent}{name}\t<{schemas.type_name(each)}>{marks}")
        if recursive:
            # Metadata is the same in every kind; its page is one command away.
            lines += [] if indent == "  " and name == "metadata" else _fields(schemas, each, True, indent + "  ")
        else:
            lines += [
                *_rules(schemas.followed(each), indent),
                *_wrapped(schemas.followed(each).get("description", ""), indent + "  "),
                "",
            ]
    return lines


def _required(schemas: _Schemas, schema: Schema) -> list[str]:
    schema = schemas.followed(schema)
    inner = schema.get("items")
    return list((schemas.followed(inner) if isinstance(inner, dict) else schema).get("required") or [])


def _rules(schema: Schema, indent: str) -> list[str]:
    lines = []
    if "enum" in schema:
        lines.append(f"{indent}  one of: {', '.join(str(value) for value in schema['enum'])}")
    if "default" in schema:
        lines.append(f"{indent}  default: {schema['default']}")
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None or high is not None:
        lines.append(f"{indent}  from {low if low is not None else 'any'} to {high if high is not None else 'any'}")
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    from textwrap import wrap

    return wrap(text, 100, initial_indent=indent, subsequent_indent=indent)


def _nearest(name: str, known: dict[str, Schema]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(known)) or 'none at all'}"
