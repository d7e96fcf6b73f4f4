"""Columns of text, as kubectl lays them out: three spaces apart, capitals above, the last one ragged."""

from collections.abc import Sequence
from typing import Any

GAP = "   "


def render_columns(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows below their headers."""
    lines = [[header.upper() for header in headers], *rows]
    widths = column_widths(lines)
    return "\n".join(render_row(line, widths) for line in lines)


def column_widths(lines: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(cell) for cell in column) for column in zip(*lines, strict=True)] if lines else []


def render_row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return GAP.join(padded).rstrip()


def shown_columns(table: dict[str, Any], wide: bool) -> list[int]:
    """Return the indices of a Table's columns that are printed; priority above 0 only when `wide`."""
    columns = table["columnDefinitions"]
    return [index for index, column in enumerate(columns) if wide or not column.get("priority")]


def table_headers(table: dict[str, Any], columns: Sequence[int], with_namespace: bool) -> list[str]:
    names = [table["columnDefinitions"][index]["name"] for index in columns]
    return ["Namespace", *names] if with_namespace else names


def table_cells(row: dict[str, Any], columns: Sequence[int], with_namespace: bool, prefix: str = "") -> list[str]:
    """Return one row's texts; `prefix` goes before the name, which is the first column."""
    cells = [_text(row["cells"][index]) for index in columns]
    cells[0] = prefix + cells[0]
    namespace = (row.get("object") or {}).get("metadata", {}).get("namespace", "")
    return [namespace, *cells] if with_namespace else cells


def _text(cell: Any) -> str:
    if cell is None:
        return "<none>"
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, list):
        return ",".join(_text(item) for item in cell)
    return str(cell).replace("\n", "\\n")
