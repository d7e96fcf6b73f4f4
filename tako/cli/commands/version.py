"""`tako version`: of this program and of the server, when one answers."""

from tako.cli.client import RequestFailed, ServerUnreachable
from tako.cli.location import explain_unreachable
from tako.cli.session import Session
from tako.cli.version import version as own_version


def version(session: Session) -> int:
    """Print the versions of this tako and of the server; a missing server is said, and is no failure."""
    server = _server(session)
    if session.settings.json:
        session.result_json({"client": own_version(), "server": server})
        return 0
    session.result(f"tako {own_version()}")
    if server:
        session.result(f"tako-server {server}")
    return 0


def _server(session: Session) -> str | None:
    try:
        return str(session.client.json("/version")["gitVersion"])
    except ServerUnreachable as failed:
        session.progress(explain_unreachable(session.location, failed.cause)[0])
    except RequestFailed as failed:
        session.progress(f"the server does not tell its version: {failed}")
    return None
