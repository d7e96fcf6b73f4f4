"""The golden files are the protocol: the Rust tests read the same ones."""

import json
from pathlib import Path
from typing import get_args

import pytest
from pydantic import TypeAdapter, ValidationError

from tako.model import control

GOLDEN = Path(__file__).parents[1] / "golden" / "control"
DOWN = get_args(get_args(control.Down)[0])
UP = get_args(get_args(control.Up)[0])


def adapter_of(type_: str) -> TypeAdapter[control.Down] | TypeAdapter[control.Up]:
    return control.DOWN if type_ in {message.model_fields["type"].default for message in DOWN} else control.UP


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_a_golden_message_is_read_and_written_without_loss(path: Path) -> None:
    document = json.loads(path.read_text())
    message = adapter_of(document["type"]).validate_python(document, strict=False)
    assert message.model_dump(mode="json") == document


def test_every_message_has_a_golden_file_of_its_name() -> None:
    types = {message.model_fields["type"].default for message in (*DOWN, *UP)}
    assert types <= {path.stem for path in GOLDEN.glob("*.json")}
    for type_ in types:
        assert json.loads((GOLDEN / f"{type_}.json").read_text())["type"] == type_


def test_the_full_table_leaves_no_field_at_its_default() -> None:
    table = control.Table.model_validate_json((GOLDEN / "table_full.json").read_text())
    models = [table, table.policies, table.apps[0], table.apps[0].endpoints[1], table.routes[0], table.certificates[0]]
    for model in models:
        for name, field in type(model).model_fields.items():
            assert name == "type" or field.is_required() or getattr(model, name) != field.get_default(), name


def test_an_unknown_field_is_ignored_so_that_a_newer_peer_is_understood() -> None:
    assert control.UP.validate_json('{"type":"ack","generation":3,"since":"later"}') == control.Ack(generation=3)


@pytest.mark.parametrize("line", ['{"type":"nonsense"}', '{"generation":1}', '{"type":"ack"}', "[]", "{"])
def test_a_line_that_is_no_message_is_refused(line: str) -> None:
    with pytest.raises(ValidationError):
        control.UP.validate_json(line)
