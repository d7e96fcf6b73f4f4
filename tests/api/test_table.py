"""Tables: the cells that kubectl prints."""

from datetime import UTC, datetime, timedelta

import pytest

from tako.api.table import BUILTIN_COLUMNS, render_table, show_duration
from tako.model.crd import custom_resource_definition
from tako.model.kinds import APP

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COLUMNS = custom_resource_definition(APP)["spec"]["versions"][0]["additionalPrinterColumns"]
HELLO = {
    "apiVersion": "tako.sh/v1",
    "kind": "App",
    "metadata": {"name": "hello", "creationTimestamp": "2026-03-01T11:55:30Z"},
    "status": {
        "readyOf": "2/3",
        "release": "v7",
        "url": "https://hello.localhost",
        "conditions": [{"type": "Ready", "status": "False", "reason": "Crashed", "message": "it exited"}],
    },
}
NEW = {"metadata": {"name": "new", "creationTimestamp": "2026-03-01T12:00:00Z"}}


def cells(columns, doc):
    (row,) = render_table(columns, [doc], "None", "1", now=NOW)["rows"]
    return row["cells"]


def test_the_columns_of_an_app():
    table = render_table(COLUMNS, [HELLO, NEW], "Metadata", "42", now=NOW)
    assert table["metadata"] == {"resourceVersion": "42"}
    names = [(column["name"], column["priority"]) for column in table["columnDefinitions"]]
    assert names[0] == ("Name", 0)
    assert names[-2:] == [("Reason", 1), ("Message", 1)]
    hello, new = table["rows"]
    assert hello["cells"] == [
        *("hello", "False", "2/3", "v7", "https://hello.localhost", "4m30s", "Crashed", "it exited"),
    ]
    assert new["cells"] == ["new", None, None, None, None, "0s", None, None]


def test_rows_carry_as_much_of_the_object_as_was_asked_for():
    def row(include):
        return render_table(COLUMNS, [HELLO], include, "1", now=NOW)["rows"][0]

    assert row("Object")["object"] == HELLO
    assert row("Metadata")["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": HELLO["metadata"],
    }
    assert "object" not in row("None")


@pytest.mark.parametrize(
    ("type_", "value", "cell"),
    [
        ("string", ["a", 1], '["a",1]'),
        ("string", 7, "7"),
        ("string", {"a": True}, '{"a":true}'),
        ("integer", 7.0, 7),
        ("integer", "x", None),
        ("number", 1.5, 1.5),
        ("boolean", True, True),
        ("date", "2026-02-28T12:00:00+00:00", "24h"),
        ("date", "2026-02-28T12:00:00.123456Z", "23h"),
        ("date", "yesterday", "<invalid>"),
        ("date", 3, "<invalid>"),
        ("date", None, None),
    ],
)
def test_a_cell_has_the_type_of_its_column(type_, value, cell):
    assert cells([{"name": "X", "type": type_, "jsonPath": ".x"}], {"x": value}) == [None, cell]


def test_built_in_kinds_have_columns_of_their_own():
    event = {
        "metadata": {"name": "e"},
        "lastTimestamp": "2026-03-01T11:59:00Z",
        "involvedObject": {"kind": "App", "name": "hello"},
        **{"type": "Warning", "reason": "Crashed", "message": "it exited", "count": 3},
    }
    assert cells(BUILTIN_COLUMNS["events"], event) == [
        "e",
        "60s",
        "Warning",
        "Crashed",
        "app/hello",
        "it exited",
        3,
        None,
    ]
    assert cells(BUILTIN_COLUMNS["configmaps"], {"data": {"a": "1", "b": "2"}}) == [None, 2, None]
    assert cells(BUILTIN_COLUMNS["configmaps"], {}) == [None, 0, None]


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=-5), "<invalid>"),
        (timedelta(seconds=-1), "0s"),
        (timedelta(seconds=119), "119s"),
        (timedelta(minutes=2), "2m"),
        (timedelta(minutes=9, seconds=59), "9m59s"),
        (timedelta(minutes=179), "179m"),
        (timedelta(hours=3), "3h"),
        (timedelta(hours=7, minutes=5), "7h5m"),
        (timedelta(hours=47), "47h"),
        (timedelta(days=2), "2d"),
        (timedelta(days=7, hours=3), "7d3h"),
        (timedelta(days=729), "729d"),
        (timedelta(days=731), "2y1d"),
        (timedelta(days=3000), "8y"),
    ],
)
def test_time_spans_are_written_as_kubectl_writes_them(span, text):
    assert show_duration(span.total_seconds()) == text
