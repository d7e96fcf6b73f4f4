"""A document with a fault is refused by file, document, field, what was given and what is allowed."""

from typing import Any

import pytest
import yaml

from e2e.host import Host


def change(document: dict[str, Any], **spec: Any) -> dict[str, Any]:
    document["spec"].update(spec)
    return document


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        pytest.param({"instnaces": 3}, ["spec.instnaces", "unknown field"], id="unknown field"),
        pytest.param({"instances": "many"}, ["spec.instances", "many", "integer"], id="wrong type"),
        pytest.param({"runtime": "cobol"}, ["spec.runtime", "cobol", "python-asgi"], id="value not supported"),
        pytest.param({"main": "../../etc/passwd"}, ["spec.main", "../../etc/passwd"], id="path that escapes"),
        pytest.param({"routes": ["taken.localhost"]}, ["taken.localhost", "taken"], id="route another app claims"),
        pytest.param({"routes": ["https://x/"]}, ["spec.routes[0]", "https://x/"], id="route that is none"),
        pytest.param({"instances": 9, "maxInstances": 3}, ["spec.instances", "9", "3"], id="more than the maximum"),
        pytest.param({"source": {}}, ["spec.source", "path"], id="source without path or archive"),
    ],
)
def test_a_fault_in_a_field_is_named_and_nothing_is_changed(host: Host, spec: dict[str, Any], said: list[str]) -> None:
    host.apply(host.document("taken"), wait=False)
    file = host.root / "faulty.yaml"
    good, bad = host.document("good"), change(host.document("bad"), **spec)
    file.write_text(yaml.safe_dump_all([good, bad]))
    refused = host.tako("apply", "-f", str(file), check=False)
    assert refused.returncode != 0
    for wanted in ("faulty.yaml", "document 2", *said):
        assert wanted in refused.stderr, refused.stderr
<<<<<<< HEAD
    assert {app["metadata"]["name"] for app in host.every("apps.tako.sh")} == {"taken"}
=======
    assert {app["metadata"]["name"] for app in host.documents("apps.tako.sh")} == {"taken"}
>>>>>>> repo


def test_a_name_that_is_too_long_is_refused_with_the_limit(host: Host) -> None:
    document = host.document("good")
    document["metadata"]["name"] = "a" * 64
    refused = host.tako("apply", "-f", "-", stdin=yaml.safe_dump(document), check=False)
    assert refused.returncode != 0
    assert "63" in refused.stderr
    assert "metadata.name" in refused.stderr


def test_a_yaml_syntax_error_is_named_by_file_and_line(host: Host) -> None:
    file = host.root / "broken.yaml"
    file.write_text("kind: App\nmetadata: {name: x\nspec:\n")
    refused = host.tako("apply", "-f", str(file), check=False)
    assert refused.returncode != 0
    assert "broken.yaml" in refused.stderr
    assert "line" in refused.stderr
    assert "Traceback" not in refused.stderr
