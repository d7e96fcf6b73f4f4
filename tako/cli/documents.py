"""Documents out of YAML or JSON files, each knowing where it came from, with mistakes told by line and column."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tako.cli.failure import CommandFailed

SUFFIXES = (".yaml", ".yml", ".json")
STANDARD_INPUT = "-"

# libyaml reads ten times faster; PyYAML without it is still correct.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Source(NamedTuple):
    """A document and its place: file, number in the file, and the directory that relative paths mean."""

    document: dict[str, Any]
    file: str
    number: int
    directory: Path

    @property
    def where(self) -> str:
        """``app.yaml (document 2, App/hello)``."""
        kind, name = self.document.get("kind", "?"), self.document["metadata"].get("name", "?")
        return f"{self.file} (document {self.number}, {kind}/{name})"


def read_documents(paths: Sequence[str]) -> list[Source]:
    """Read every document of files, directories and standard input; all mistakes are reported together."""
    if not paths:
        raise CommandFailed("say which file with -f FILE, -f DIRECTORY or -f -", 2)
    sources: list[Source] = []
    mistakes: list[str] = []
    for file, text, directory in _texts(paths):
        try:
            sources += _documents(file, text, directory)
        except CommandFailed as mistake:
            mistakes.append(str(mistake))
    if mistakes:
        raise CommandFailed("\n".join(mistakes))
    if not sources:
        raise CommandFailed(f"no documents in {', '.join(paths)}")
    return sources


def _texts(paths: Sequence[str]) -> Iterator[tuple[str, bytes, Path]]:
    for given in paths:
        if given == STANDARD_INPUT:
            yield "standard input", sys.stdin.buffer.read(), Path.cwd()
            continue
        path = Path(given)
        files = _files_below(path) if path.is_dir() else [path]
        for file in files:
            try:
                yield str(file), file.read_bytes(), file.absolute().parent
            except OSError as error:
                raise CommandFailed(f"{file}: cannot be read: {error.strerror}") from error


def _files_below(directory: Path) -> list[Path]:
    """Like kubectl: the files of the directory itself, in order of their names."""
    files = sorted(file for file in directory.iterdir() if file.suffix in SUFFIXES and file.is_file())
    if not files:
        raise CommandFailed(f"{directory}: no {', '.join(SUFFIXES)} files in this directory")
    return files


def _documents(file: str, text: bytes, directory: Path) -> Iterator[Source]:
    number = 0
    try:
        for document in yaml.load_all(text, Loader=_StrictLoader):
            number += 1
            if document is not None:
                yield from _checked(document, file, number, directory)
    except yaml.YAMLError as error:
        raise CommandFailed(_syntax(file, number + 1, error)) from error


class _StrictLoader(_Loader):  # type: ignore[misc]
    """Refuses a key that is there twice, where YAML readers silently take the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key.value, str):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f'the key "{key.value}" is there twice', problem_mark=key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


# Times stay the text they were written as: JSON, which the server reads, has no type for them.
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}


def _checked(document: Any, file: str, number: int, directory: Path) -> Iterator[Source]:
    place = f"{file} (document {number})"
    if not isinstance(document, dict):
        raise CommandFailed(f"{place}: given {_short(document)}: must be a mapping with apiVersion, kind and metadata")
    if str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list):
        for item in document["items"]:
            yield from _checked(item, file, number, directory)
        return
    for field in ("apiVersion", "kind"):
        if not isinstance(document.get(field), str):
            example = {"apiVersion": "tako.sh/v1", "kind": "App"}[field]
            raise CommandFailed(
                f"{place}: {field}: given {_short(document.get(field))}: must be text such as {example}"
            )
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        given = metadata.get("name") if isinstance(metadata, dict) else metadata
        field = "metadata.name" if isinstance(metadata, dict) else "metadata"
        raise CommandFailed(f"{place}: {field}: given {_short(given)}: must name the {document['kind']}")
    try:
        json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CommandFailed(f"{place}: holds a value that JSON cannot express: {error}") from error
    yield Source(document, file, number, directory)


def _short(value: Any) -> str:
    if value is None:
        return "nothing"
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _syntax(file: str, number: int, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{file} (document {number}{place}): {f'{context}: ' if context else ''}{problem}"
