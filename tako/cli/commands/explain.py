"""`tako explain`: documentation of a kind and its fields, from the server's OpenAPI."""

from typing import Annotated

from tako.cli.arguments import Argument, Option
from tako.cli.client import Resource
from tako.cli.kinds import Kinds
from tako.cli.schemas import Schema, Schemas
from tako.cli.session import Session

Path = Annotated[str, Argument("KIND[.FIELD...]", "Such as app, app.spec or app.spec.routes.")]
Recursive = Annotated[bool, Option(("--recursive",), "The names of all fields below.")]


def explain(session: Session, path: Path, *, recursive: Recursive = False) -> int:
    """Document a kind or a field: its type, what it means, its default, and the fields below it."""
    word, *fields = path.split(".")
    resource = Kinds(session.client).named(word)
    schemas = Schemas(session.client, resource)
    schema, walked = schemas.kind(), resource.singular or word
    for field in fields:
        schema = schemas.field(schema, field, walked)
        walked += f".{field}"
    if session.settings.json:
        session.result_json({"path": path, "schema": schema})
    else:
        session.result("\n".join(_page(schemas, resource, fields, schema, recursive)))
    return 0


def _page(schemas: Schemas, resource: Resource, fields: list[str], schema: Schema, recursive: bool) -> list[str]:
    lines = [f"GROUP:      {resource.group}"] if resource.group else []
    lines += [f"KIND:       {resource.kind}", f"VERSION:    {resource.version}", ""]
    if fields:
        lines += [f"FIELD: {fields[-1]} <{schemas.type_name(schema)}>", *_rules(schema, ""), ""]
    lines += ["DESCRIPTION:", *_wrapped(schema.get("description") or "<none>", "    ")]
    known = schemas.properties(schema)
    if known:
        lines += ["", "FIELDS:", *_fields(schemas, schema, recursive, "  ")]
    return lines


def _fields(schemas: Schemas, schema: Schema, recursive: bool, indent: str) -> list[str]:
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


def _required(schemas: Schemas, schema: Schema) -> list[str]:
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
