"""Documents out of files: mistakes are told by file, document, line and column."""

from pathlib import Path

import pytest

from tako.cli.documents import read_documents
from tako.cli.failure import CommandFailed

GOOD = "apiVersion: tako.sh/v1\nkind: App\nmetadata:\n  name: hello\n"


def written(directory: Path, name: str, text: str) -> str:
    (directory / name).write_text(text)
    return str(directory / name)


def fault(path: str) -> str:
    with pytest.raises(CommandFailed) as caught:
        read_documents([path])
    return str(caught.value)


def test_several_documents_of_a_file_are_numbered_and_empty_ones_are_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, "a.yaml", f"---\n{GOOD}---\n---\n{GOOD.replace('hello', 'world')}")
    found = read_documents([path])
    assert [source.where for source in found] == [f"{path} (document 1, App/hello)", f"{path} (document 3, App/world)"]


def test_a_directory_means_its_files_in_order_and_nothing_below(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    written(tmp_path / "below", "c.yaml", GOOD)
    written(tmp_path, "b.yaml", GOOD.replace("hello", "second"))
    written(tmp_path, "a.json", '{"apiVersion": "tako.sh/v1", "kind": "App", "metadata": {"name": "first"}}')
    written(tmp_path, "readme.md", "# no document")
    assert [source.document["metadata"]["name"] for source in read_documents([str(tmp_path)])] == ["first", "second"]


def test_a_list_is_its_items(tmp_path: Path) -> None:
    item = '{"apiVersion": "tako.sh/v1", "kind": "App", "metadata": {"name": "x"}}'
    path = written(tmp_path, "a.json", f'{{"apiVersion": "v1", "kind": "List", "items": [{item}]}}')
    assert [source.document["kind"] for source in read_documents([path])] == ["App"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(
            f"{GOOD}---\na: [1\nb: 2\n", "(document 2, line 7, column 2): while parsing a flow", id="flow not closed"
        ),
        pytest.param("a: b: c\n", "(document 1, line 1, column 5): mapping values are not allowed", id="two colons"),
        pytest.param("a:\n\tb: 1\n", "(document 1, line 2, column 1): ", id="tab"),
        pytest.param("a: 1\nb: 2\na: 3\n", '(document 1, line 3, column 1): the key "a" is there twice', id="twice"),
        pytest.param("- a\n", "(document 1): given ['a']: must be a mapping", id="list"),
        pytest.param(
            "kind: App\n", "(document 1): apiVersion: given nothing: must be text such as tako.sh/v1", id="bare"
        ),
        pytest.param(
            "apiVersion: tako.sh/v1\nkind: App\nmetadata: {}\n",
            "(document 1): metadata.name: given nothing: must name the App",
            id="no name",
        ),
        pytest.param("a: !!python/object:os.system {}\n", "(document 1, line 1, column 4): could not", id="tag"),
        pytest.param(GOOD + "a: .nan\n", "(document 1): holds a value that JSON cannot express", id="not a number"),
        pytest.param(GOOD + "a: !!binary aGk=\n", "(document 1): holds a value that JSON", id="bytes"),
        pytest.param(GOOD + "a: &x [*x]\n", "(document 1): holds a value that JSON", id="holds itself"),
        pytest.param("a: \x00\n", "(document 1", id="control character"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, "app.yaml", text)
    assert fault(path).startswith(f"{path} {told}")


def test_the_mistakes_of_all_files_are_told_together(tmp_path: Path) -> None:
    written(tmp_path, "a.yaml", "a: b: c\n")
    written(tmp_path, "b.yaml", "- 1\n")
    lines = fault(str(tmp_path)).splitlines()
    assert [Path(line.partition(" ")[0]).name for line in lines] == ["a.yaml", "b.yaml"]


def test_a_missing_file_and_a_directory_without_documents_are_told(tmp_path: Path) -> None:
    assert fault(str(tmp_path / "x.yaml")) == f"{tmp_path}/x.yaml: cannot be read: No such file or directory"
    assert fault(str(tmp_path)) == f"{tmp_path}: no .yaml, .yml, .json files in this directory"


def test_a_time_stays_the_text_it_was_written_as(tmp_path: Path) -> None:
    path = written(tmp_path, "a.yaml", GOOD + "spec: {at: 2026-01-02T03:04:05Z, day: 2026-01-02}\n")
    assert read_documents([path])[0].document["spec"] == {"at": "2026-01-02T03:04:05Z", "day": "2026-01-02"}


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"a: \xff\xff\xc3\x28\n")
    assert fault(str(tmp_path / "a.yaml")).startswith(f"{tmp_path}/a.yaml (document 1")
