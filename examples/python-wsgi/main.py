"""A WSGI application without a framework: notes in a SQLite file that outlives releases.

Flask or Django are named in `app.yaml` in the same way: `module:callable`.
"""

import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tako_sh import tako

# data_dir belongs to the app and is kept across deploys; the release directory is not.
DATABASE = (tako.data_dir or Path.cwd()) / "notes.sqlite"
LONGEST_NOTE_BYTES = 10_000


def connect():
    """Open the database: one connection for each request, because requests run in several threads."""
    connection = sqlite3.connect(DATABASE, timeout=5, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    return closing(connection)


with connect() as database:
    database.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")


def app(environ, start_response):
    """Handle one request."""
    status, body = ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]), not_found)(environ)
    content = json.dumps(body).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return [content]


def show_notes(environ):
    """List the latest notes, and say who answers."""
    with connect() as database:
        rows = database.execute("SELECT text FROM notes ORDER BY id DESC LIMIT 10").fetchall()
    notes = [text for (text,) in rows]
    return "200 OK", {"hello": "from Python, in threads", "process": os.getpid(), "notes": notes}


def add_note(environ):
    """Keep the request's body as a note."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not 0 < length <= LONGEST_NOTE_BYTES:
        return "400 Bad Request", {"error": f"send 1 to {LONGEST_NOTE_BYTES} bytes of text"}
    text = environ["wsgi.input"].read(length).decode("utf-8", "replace")
    with connect() as database:
        database.execute("INSERT INTO notes (text) VALUES (?)", (text,))
    tako.logger.info("A note was added", characters=len(text))
    return "201 Created", {"added": text}


def not_found(environ):
    """Answer what nothing else does."""
    return "404 Not Found", {"error": "Not found"}


ROUTES = {("GET", "/"): show_notes, ("POST", "/notes"): add_note}
