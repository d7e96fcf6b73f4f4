"""The shapes in which documents are printed: ``-o json|yaml|name|jsonpath=…``; tables are in :mod:`tako.cli.tables`."""

import json
from typing import Any

from tako.cli.client import Resource
from tako.cli.failure import CommandFailed

TABLES = ("", "wide")
KNOWN = "wide, json, yaml, name, jsonpath=TEMPLATE"


def check_format(output: str | None) -> str:
    """Return the format, or refuse one that is not known."""
    chosen = output or ""
    if chosen not in (*TABLES, "json", "yaml", "name") and not chosen.startswith("jsonpath="):
        raise CommandFailed(f'-o: given "{chosen}": must be one of {KNOWN}', 2)
    return chosen


def render(output: str, document: dict[str, Any], resource: Resource) -> str:
    """Print one document, or a List, in a format other than a table."""
    if output == "name":
        items = document.get("items", [document])
        return "\n".join(f"{resource.qualified}/{item['metadata']['name']}" for item in items)
    if output.startswith("jsonpath="):
        return fill_template(output.removeprefix("jsonpath="), document)
    shown = without_managers(document)
    if output == "json":
        return json.dumps(shown, indent=4, ensure_ascii=False)
    from tako.cli.yamltext import to_yaml

    return to_yaml(shown)


def without_managers(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out managedFields, which are longer than all else and for programs, as kubectl does."""
    if "items" in document:
        return {**document, "items": [without_managers(item) for item in document["items"]]}
    metadata = {key: value for key, value in document.get("metadata", {}).items() if key != "managedFields"}
    return {**document, "metadata": metadata}


def fill_template(template: str, document: dict[str, Any]) -> str:
    """Replace each ``{path}`` by what it leads to; ``{"\\n"}`` is text, a template without braces is one path."""
    import re

    from tako.api.jsonpath import PathInvalid, compile_path

    if "{" not in template:
        template = f"{{{template}}}"

    def value(part: re.Match[str]) -> str:
        inner = part[1].strip()
        if inner.startswith(('"', "'")):
            return inner[1:-1].encode().decode("unicode_escape")
        return " ".join(_scalar(found) for found in compile_path(inner)(document))

    try:
        return re.sub(r"\{((?:[^{}\"']|\"[^\"]*\"|'[^']*')*)\}", value, template)
    except PathInvalid as invalid:
        raise CommandFailed(str(invalid), 2) from invalid


def _scalar(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
