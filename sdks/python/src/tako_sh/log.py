"""Structured logs: one JSON object per line on stdout, whatever the level."""

import json
import logging
import math
import os
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from tako_sh.instance import INSTANCE

# What a LogRecord has by itself; everything else on it was given as `extra`.
_OWN_ATTRIBUTES = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"}


class Logger:
    """Writes records of one scope: ``tako.logger.info("A guest signed", name="Ada")``."""

    def __init__(self, scope: str, fields: Mapping[str, Any] | None = None) -> None:
        """Make a logger; `fields` are part of every record."""
        self._scope = scope
        self._fields = dict(fields or {})

    def debug(self, message: str, /, **fields: Any) -> None:
        """Write a record of level debug."""
        self._write("debug", message, fields)

    def info(self, message: str, /, **fields: Any) -> None:
        """Write a record of level info."""
        self._write("info", message, fields)

    def warn(self, message: str, /, **fields: Any) -> None:
        """Write a record of level warn."""
        self._write("warn", message, fields)

    def error(self, message: str, /, **fields: Any) -> None:
        """Write a record of level error; an exception among `fields` keeps its traceback."""
        self._write("error", message, fields)

    def child(self, **fields: Any) -> "Logger":
        """Return a logger of the same scope that adds `fields` to every record."""
        return Logger(self._scope, {**self._fields, **fields})

    def _write(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        _emit(render_record(time.time_ns() // 1_000_000, level, self._scope, message, {**self._fields, **fields}))


class LogHandler(logging.Handler):
    """Turns the records of :mod:`logging` into Tako's."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write `record`; its logger's name and its `extra` become fields."""
        fields = {name: value for name, value in record.__dict__.items() if name not in _OWN_ATTRIBUTES}
        if record.name != "root":
            fields["logger"] = record.name
        if record.exc_info and record.exc_info[1]:
            fields["error"] = record.exc_info[1]
        _emit(render_record(int(record.created * 1000), _level(record.levelno), "app", record.getMessage(), fields))


def render_record(ts: int, level: str, scope: str, message: str, fields: Mapping[str, Any]) -> str:
    """Render one record, without its newline. `ts` is in milliseconds."""
    record: dict[str, Any] = {"ts": ts, "level": level, "scope": scope, "msg": message}
    if all_fields := {**_automatic_fields(), **fields}:
        record["fields"] = _plain(all_fields, ())
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _automatic_fields() -> dict[str, str]:
    fields = {"build": os.environ.get("TAKO_BUILD", ""), "instance": INSTANCE.id}
    return {name: value for name, value in fields.items() if value not in ("", "unknown")}


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


def _plain(value: Any, ancestors: tuple[int, ...]) -> Any:
    """Turn anything into what JSON can carry: a log call must never be what breaks a request."""
    if id(value) in ancestors:
        return "[Circular]"
    inside = (*ancestors, id(value))
    match value:
        case None | bool() | int():
            return value
        case str():
            # A surrogate from a badly decoded file name would fail at the encoding of the line.
            return value.encode("utf-8", "replace").decode()
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _plain(item, inside) for key, item in value.items()}
        case BaseException():
            stack = "".join(traceback.format_exception(value))
            return {"name": type(value).__name__, "message": str(value), "stack": stack}
        case date():
            return value.isoformat()
        case list() | tuple() | set() | frozenset():
            return _plain_items(value, inside)
        case _:
            return str(value)


def _plain_items(items: Iterable[Any], ancestors: tuple[int, ...]) -> list[Any]:
    return [_plain(item, ancestors) for item in items]


def _emit(line: str) -> None:
    # One write per record: lines of several threads must not run into each other.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
