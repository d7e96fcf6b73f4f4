"""`tako logs`: the lines that an app's instances printed, and what Tako said about them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote, urlencode

from tako.cli.arguments import Argument, Namespace, Option
from tako.cli.durations import parse_duration
from tako.cli.failure import CommandFailed
from tako.cli.references import app_name
from tako.cli.session import DEFAULT_NAMESPACE, Session

App = Annotated[list[str], Argument("APP", "The app: hello, or app/hello.")]
Follow = Annotated[bool, Option(("--follow", "-f"), "Go on with what is printed from now on.")]
Tail = Annotated[int | None, Option(("--tail",), "Only the last N lines.", "N")]
Since = Annotated[str | None, Option(("--since",), "Only lines that are not older, such as 10m.", "DURATION")]
Instance = Annotated[str | None, Option(("--instance",), "Only of this instance, by its name or id.", "ID")]
Stream = Annotated[str | None, Option(("--stream",), "Only out, err or server.", "STREAM")]
NoAccess = Annotated[bool, Option(("--no-access",), "Leave out the proxy's record of each request.")]

STREAMS = ("out", "err", "server")
_LINE = re.compile(r"^(?P<ts>\d{4}-\d\d-\d\dT[\d:.]+Z) \[(?P<stream>\w+)\] \[(?P<source>[^\]]*)\] (?P<text>.*)$")
_LEVEL = re.compile(r"^(?P<level>[A-Z]+) (?P<text>.*)$")


def logs(
    session: Session,
    app: App,
    *,
    namespace: Namespace = None,
    follow: Follow = False,
    tail: Tail = None,
    since: Since = None,
    instance: Instance = None,
    stream: Stream = None,
    no_access: NoAccess = False,
) -> int:
    """Print the log of an app: time, stream (out, err, or server for Tako's own words), instance, text."""
    if stream is not None and stream not in STREAMS:
        raise CommandFailed(f'--stream: given "{stream}": must be one of {", ".join(STREAMS)}', 2)
    oldest = _cut(since)
    for line in session.client.stream(
        _target(app_name(app, "tako logs hello"), namespace, follow, tail, instance, stream, no_access)
    ):
        text = line.decode("utf-8", "replace")
        if text[:19] < oldest and text[:1].isdigit():
            continue
        if session.settings.json:
            session.result_json(as_record(text), streaming=True)
        else:
            session.result(_painted(session, text))
    session.reported = True
    return 0


def as_record(line: str) -> dict[str, str]:
    """Read one line of the app log into fields; what the app printed as text stays text."""
    found = _LINE.match(line)
    if found is None:
        return {"source": "unknown", "msg": line}
    stream, text = found["stream"], found["text"]
    if stream != "server":
        level = "error" if stream == "err" else "info"
        return {"ts": found["ts"], "source": "app", "instance_id": found["source"], "level": level, "msg": text}
    source = "tako" if found["source"] == "tako-server" else found["source"]
    told = _LEVEL.match(text)
    level, text = (told["level"].lower(), told["text"]) if told else ("info", text)
    return {"ts": found["ts"], "source": source, "level": level, "msg": text}


def _target(
    app: str,
    namespace: str | None,
    follow: bool,
    tail: int | None,
    instance: str | None,
    stream: str | None,
    no_access: bool,
) -> str:
    query = {
        "follow": "true" if follow else None,
        "tailLines": None if tail is None else str(tail),
        # `tako get instances` shows the document's name; the log has the process's id, which is the end of it.
        "instance": None if instance is None else instance.removeprefix(f"{app}-"),
        "stream": stream,
        "access": "false" if no_access else None,
    }
    given = urlencode({key: value for key, value in query.items() if value is not None})
    where = quote(namespace or DEFAULT_NAMESPACE, safe="")
    return f"/apis/tako.sh/v1/namespaces/{where}/apps/{quote(app, safe='')}/log?{given}"


def _cut(since: str | None) -> str:
    if since is None:
        return ""
    return (datetime.now(UTC) - timedelta(seconds=parse_duration(since))).strftime("%Y-%m-%dT%H:%M:%S")


def _painted(session: Session, line: str) -> str:
    found = _LINE.match(line) if session.settings.color else None
    if found is None:
        return line
    head = line[: found.start("text")]
    return session.paint(head, "31" if found["stream"] == "err" else "2") + found["text"]
