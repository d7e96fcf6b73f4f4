"""Links lead somewhere, examples in the text are valid, and every `make` target named exists."""

import re
from pathlib import Path

import pytest
import yaml

from tako.model.kinds import APP

REPOSITORY = Path(__file__).parents[2]
SDKS = [REPOSITORY / "sdks" / name / "README.md" for name in ("javascript", "python")]
DOCUMENTS = sorted([REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *SDKS, *(REPOSITORY / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_link_leads_to_a_file(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_make_target_that_is_named_exists(document: Path) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    named = set(re.findall(r"(?m)(?:`|^)make ([a-z0-9-]+)", document.read_text()))
    defined = set(re.findall(r"(?m)^([a-z0-9-]+):", makefile))
    assert named <= defined


def test_every_app_in_the_documentation_is_valid() -> None:
    blocks = [block for document in DOCUMENTS for block in re.findall(r"```yaml\n(.*?)```", document.read_text(), re.S)]
    apps = [app for block in blocks for app in yaml.safe_load_all(block) if app["kind"] == APP.name]
    assert apps
    for app in apps:
        assert app["apiVersion"] == APP.api_version
        APP.spec.model_validate(app["spec"])


def test_every_decision_is_listed() -> None:
    directory = REPOSITORY / "docs" / "decisions"
    index = (directory / "README.md").read_text()
    assert [path.name for path in sorted(directory.glob("0*.md")) if f"]({path.name})" not in index] == []
