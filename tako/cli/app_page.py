"""The page of an App: how it is, its routes, instances with their last words, events, and what to do."""

from collections.abc import Sequence
from datetime import datetime
from textwrap import TextWrapper
from typing import NamedTuple

from tako.cli import pages
from tako.cli.advice import advise
from tako.cli.client import Document
from tako.cli.conditions import condition
from tako.cli.happenings import age_of
from tako.cli.tables import render_columns

_NONE = "<none>"


class Family(NamedTuple):
    """An App and the documents it made."""

    app: Document
    instances: Sequence[Document]
    routes: Sequence[Document]
    releases: Sequence[Document]
    events: Sequence[Document]


def app_page(family: Family, now: datetime, *, source_exists: bool) -> list[str]:
    """Return the lines of the page; `source_exists` tells whether the files it names are on this host."""
    lines = pages.head(family.app, now)
    lines += _summary(family.app)
    lines += _routes(family)
    lines += pages.conditions(family.app, now)
    lines += _instances(family.instances, now)
    lines += _last_words(family)
    lines += pages.events(family.events, now)
    advice = advise(family, source_exists=source_exists)
    return lines + (pages.section("What to do", _bullets(advice)) if advice else [])


def _bullets(texts: Sequence[str]) -> list[str]:
    """One paragraph for each; what is quoted in it is copied from the page, so no word is broken."""
    paragraph = TextWrapper(100, "* ", "  ", break_long_words=False, break_on_hyphens=False)
    return [line for text in texts for line in paragraph.wrap(text)]


def _summary(app: Document) -> list[str]:
    spec, status = app["spec"], app.get("status") or {}
    ready = condition(app, "Ready") or {}
    reason = f" ({ready['reason']})" if ready.get("reason") and ready.get("status") != "True" else ""
    return [
        pages.line("Ready", f"{ready.get('status', 'Unknown')}{reason}"),
        pages.line("Instances", _count(spec, status)),
        pages.line("Release", _release(status)),
        pages.line("Runs", _command(spec)),
        pages.line("Source", _source(spec.get("source") or {})),
    ]


def _count(spec: Document, status: Document) -> str:
    wanted = spec.get("instances", 1)
    on_demand = ", started on demand" if wanted == 0 else ""
    return f"{status.get('readyInstances') or 0} ready, {wanted} wanted{on_demand}"


def _release(status: Document) -> str:
    serving, wanted = status.get("release"), status.get("wantedRelease")
    if wanted and wanted != serving:
        return f"{serving or 'none'} serves, {wanted} is wanted"
    return serving or _NONE


def _command(spec: Document) -> str:
    if spec.get("start"):
        return " ".join(spec.get("main", word) if word == "{main}" else word for word in spec["start"])
    return f"{spec.get('runtime') or '?'} {spec.get('main') or ''}".strip()


def _source(source: Document) -> str:
    digest = f" ({source['digest'][:19]}…)" if source.get("digest") else ""
    return f"{source.get('path') or source.get('archive') or _NONE}{digest}"


def _routes(family: Family) -> list[str]:
    urls = {url.partition("://")[2]: url for url in (family.app.get("status") or {}).get("urls") or []}
    accepted = {route["spec"]["pattern"]: condition(route, "Accepted") or {} for route in family.routes}
    rows = []
    for pattern in family.app["spec"].get("routes") or []:
        verdict = accepted.get(pattern, {})
        host, slash, path = pattern.partition("/")
        url = next((each for bare, each in urls.items() if _same_place(bare, host, slash + path)), "")
        rows.append([pattern, url or _NONE, verdict.get("status", "Unknown"), verdict.get("message", "")])
    if not rows:
        return pages.section("Routes", ["<none>: it can be reached by no host name"])
    return pages.section("Routes", render_columns(("Pattern", "URL", "Accepted", "Message"), rows).splitlines())


def _same_place(bare_url: str, host: str, path: str) -> bool:
    """Compare an address with a pattern; the address has the proxy's port, and no `*`."""
    url_host, _, url_path = bare_url.partition("/")
    return url_host.partition(":")[0] == host and url_path.strip("/") == path.removesuffix("*").strip("/")


def _instances(instances: Sequence[Document], now: datetime) -> list[str]:
    rows = []
    for instance in instances:
        status = instance.get("status") or {}
        rows.append(
            [
                instance["metadata"]["name"],
                status.get("state") or "?",
                str(status.get("pid") or "-"),
                str(status.get("port") or "-"),
                str(status.get("restarts") or 0),
                age_of(status.get("startedAt") or "", now) or "-",
                instance["spec"].get("release", ""),
            ]
        )
    headers = ("Instance", "State", "Pid", "Port", "Restarts", "Age", "Release")
    return pages.section("Instances", render_columns(headers, rows).splitlines() if rows else [_NONE])


def _last_words(family: Family) -> list[str]:
    """How each process that is gone ended, newest first, with what it printed last; else the app's last error."""
    ended = [
        (instance["metadata"]["name"], instance["status"]["exit"])
        for instance in family.instances
        if (instance.get("status") or {}).get("exit")
    ]
    if ended:
        ended.sort(key=lambda each: str(each[1].get("at") or ""), reverse=True)
        return pages.section("Last exits", _exit_lines(ended))
    error = (family.app.get("status") or {}).get("lastError")
    ready = condition(family.app, "Ready") or {}
    return pages.section("Last error", error.splitlines()) if error and error not in ready.get("message", "") else []


def _exit_lines(ended: Sequence[tuple[str, Document]]) -> list[str]:
    """A crash loop prints the same words at every turn; they are shown once."""
    lines: list[str] = []
    shown: list[Document] = []
    for name, end in ended:
        lines.append(f"{name}: {exit_text(end)}")
        if shown and all(end.get(key) == shown[-1].get(key) for key in ("reason", "lastOutput")):
            lines[-1] += " (same output)"
            continue
        shown.append(end)
        lines += [f"  | {text}" for text in end.get("lastOutput") or ["(it printed nothing)"]]
    return lines


def exit_text(ended: Document) -> str:
    how = f"exit code {ended['code']}" if ended.get("code") is not None else ended.get("signal") or "ended"
    when = f" at {ended['at']}" if ended.get("at") else ""
    return f"{how}{when}" + (f": {ended['reason']}" if ended.get("reason") else "")
