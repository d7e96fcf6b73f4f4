"""`tako diff`: what apply would change, as the server would store it."""

import difflib
from typing import Annotated

from tako.cli.arguments import Files, Namespace, Option
from tako.cli.client import Document
from tako.cli.failure import CommandFailed
from tako.cli.manifests import Checked, check_files, written_content
from tako.cli.session import Session
from tako.cli.yamltext import to_yaml

Force = Annotated[bool, Option(("--force-conflicts",), "As apply would with this option.")]
ERROR = 2
_STYLES = {"+": "32", "-": "31", "@": "36"}


def diff(session: Session, *, filename: Files, namespace: Namespace = None, force_conflicts: Force = False) -> int:
    """Show what apply would change, live against wanted. Exit code 0: nothing, 1: something, 2: error."""
    try:
        checked = check_files(session, filename, namespace, force=force_conflicts)
    except CommandFailed as failed:
        raise CommandFailed(str(failed), ERROR, failed.hint) from failed
    differing = [(each, text) for each in checked if (text := unified_diff(each))]
    if session.settings.json:
        session.result_json({"ok": True, "command": "diff", "differences": [_as_json(*each) for each in differing]})
    else:
        for _, text in differing:
            session.result(_painted(session, text))
    return 1 if differing else 0


def unified_diff(checked: Checked) -> str:
    """Compare the YAML of what is stored with that of what would be; empty when they are the same."""
    manifest = checked.manifest
    name = "/".join(part for part in (manifest.resource.plural, manifest.namespace, manifest.name) if part)
    live, wanted = _lines(checked.live), _lines(checked.wanted)
    return "".join(difflib.unified_diff(live, wanted, f"live/{name}", f"wanted/{name}"))


def _lines(document: Document | None) -> list[str]:
    return [] if document is None else to_yaml(written_content(document)).splitlines(keepends=True)


def _painted(session: Session, text: str) -> str:
    return "\n".join(session.paint(line, _STYLES.get(line[:1], "0")) for line in text.splitlines())


def _as_json(checked: Checked, text: str) -> dict[str, str | None]:
    manifest = checked.manifest
    return {
        "kind": manifest.resource.kind,
        "namespace": manifest.namespace,
        "name": manifest.name,
        "diff": text,
    }
