"""tako-server's command line."""

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from tako.model.errors import TakoError
from tako.server.settings import DEFAULT_DATA_DIR, Settings

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help="Run applications on this host as they are declared.")
def serve(
    data_dir: Annotated[Path, typer.Option(help="Where everything of this server is kept.")] = DEFAULT_DATA_DIR,
    http_port: Annotated[int, typer.Option(min=0, max=65535, help="Port that redirects to HTTPS.")] = 80,
    https_port: Annotated[int, typer.Option(min=0, max=65535, help="Port that serves.")] = 443,
    api_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Loopback port of the resource API for kubectl; 0 for none.")
    ] = 6440,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Loopback port of the Prometheus metrics; 0 for none.")
    ] = 9898,
    isolation: Annotated[str, typer.Option(help="auto: users and limits where the host allows; off: none.")] = "auto",
    server_name: Annotated[str | None, typer.Option(help="Name of the Host resource; default the host name.")] = None,
    log_level: Annotated[str, typer.Option(help="error, warning, info or debug.")] = "info",
) -> None:
    """Run until SIGTERM; instances and the proxy go on without us."""
    level = logging.getLevelNamesMapping().get(log_level.upper())
    if level is None or isolation not in ("auto", "off"):
        raise typer.BadParameter("--log-level is error, warning, info or debug; --isolation is auto or off")
    logging.basicConfig(level=level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    settings = Settings(
        data_dir=data_dir.absolute(),
        http_port=http_port,
        https_port=https_port,
        api_port=api_port,
        isolation=isolation,
        server_name=server_name or os.uname().nodename.partition(".")[0].lower(),
        log_level=log_level.lower(),
        metrics_port=metrics_port or None,
    )
    from tako.server.server import serve_until_told  # noqa: PLC0415 - `--help` need not load the server

    try:
        asyncio.run(serve_until_told(settings))
    except TakoError as error:
        typer.echo(f"tako-server: {error}", err=True)
        raise typer.Exit(1) from None


def run() -> None:
    """Entry point of the console script."""
    app()
