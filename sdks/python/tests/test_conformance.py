"""The cases that every SDK runs. Status cases need a process; see test_instance.py."""

import json
import pickle
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tako_sh.envelope import EnvelopeInvalid, parse_envelope
from tako_sh.instance import INSTANCE
from tako_sh.log import render_record
from tako_sh.redaction import Bag
from tako_sh.storages import read_bindings


def contract(name: str) -> Any:
    return json.loads((Path(__file__).parents[2] / f"conformance/{name}.json").read_text())


def cases(name: str) -> Any:
    listed = contract(name)["cases"]
    return pytest.mark.parametrize("case", listed, ids=[case["name"] for case in listed])


@cases("bootstrap")
def test_a_bootstrap_envelope(case: Any) -> None:
    if "fault" in case:
        with pytest.raises(EnvelopeInvalid) as raised:
            parse_envelope(case["text"])
        assert str(raised.value) == case["fault"]
    else:
        envelope = parse_envelope(case["text"])
        assert (envelope.token, envelope.secrets) == (case["token"], case["secrets"])


@cases("storages")
def test_a_storage_binding(case: Any) -> None:
    if "fault" in case:
        with pytest.raises(ValueError) as raised:
            read_bindings({"uploads": case["binding"]})
        assert str(raised.value) == case["fault"]
    else:
        binding = read_bindings({"uploads": case["binding"]})["uploads"]
        assert {name: getattr(binding, name) for name in case["fields"]} == case["fields"]
        assert "secret_access_key" not in repr(binding)
        assert "signing_key" not in repr(binding)


def test_secrets_can_be_used_one_by_one_and_never_show_as_a_whole() -> None:
    case = contract("redaction")
    bag = Bag[str](case["secrets"])
    for name, value in case["secrets"].items():
        assert bag[name] == getattr(bag, name) == bag.get(name) == value
    assert "API_KEY" in bag
    assert bag.get("MISSING") is None
    with pytest.raises(KeyError):
        bag["MISSING"]
    with pytest.raises(AttributeError):
        _ = bag.MISSING
    assert (str(bag), repr(bag), json.dumps(bag)) == (case["text"], case["text"], case["json"])
    shown = [f"{bag}", f"{bag!r}", repr({"bag": bag}), repr(pickle.loads(pickle.dumps(bag)))]
    assert not any(secret in text for secret in case["never"] for text in shown)
    assert not any(secret.encode() in pickle.dumps(bag) for secret in case["never"])


@cases("logger")
def test_a_log_record(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TAKO_BUILD", raising=False)
    for name, value in case["env"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(INSTANCE, "id", case["env"].get("TAKO_INSTANCE_ID", "unknown"))
    rendered = render_record(1795221858392, case["level"], case["scope"], case["message"], case["fields"])
    assert rendered == '{"ts":1795221858392,' + case["line"]


def test_a_log_record_carries_what_json_cannot() -> None:
    circular: dict[str, Any] = {
        "at": date(2026, 1, 2),
        "nan": float("nan"),
        "error": KeyError("far"),
        "path": Path("/a"),
    }
    circular["self"] = circular
    circular["twice"] = [circular["at"]] * 2
    fields = json.loads(render_record(0, "error", "app", "m", circular))["fields"]
    assert (fields["at"], fields["nan"], fields["path"]) == ("2026-01-02", None, "/a")
    assert fields["error"] == {"name": "KeyError", "message": "'far'", "stack": "KeyError: 'far'\n"}
    assert "[Circular]" in json.dumps(fields)
    assert fields["twice"] == ["2026-01-02"] * 2
