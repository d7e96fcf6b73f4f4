"""Puts the parts of tako-server together, in the order in which they need one another."""

import asyncio
import logging
import os
import signal
import sys
from dataclasses import replace

from tako.adapters.processes import raise_file_limit
from tako.host_agent.layout import Layout
from tako.model.errors import Refused
from tako.server.config import max_requests_per_ip, read_config
from tako.server.host import Host
from tako.server.settings import Settings

log = logging.getLogger(__name__)

DATA_DIR_SECONDS = 2.0


async def serve_until_told(settings: Settings) -> None:
    """Run until a signal.

    SIGTERM and SIGINT stop the service: the proxy finishes its requests, the instances are stopped. SIGHUP starts
    tako-server anew in this process and leaves both running, so that a new version takes over without a pause.
    """
    raise_file_limit()
    settings = replace(settings, config=read_config(settings.data_dir), max_requests_per_ip=max_requests_per_ip())
    told: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _tell, told, number)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _reload, settings, told)
    host = await Host.open(settings)
    try:
        await host.start()
        log.info("tako-server serves on ports %d and %d", settings.http_port, settings.https_port)
        watch = asyncio.create_task(_watch_data_dir(settings, told))
        reason = await told
        watch.cancel()
        if reason is signal.SIGUSR2:
            log.error("%s was deleted while the server ran; everything is stopped and begun anew", settings.data_dir)
        if reason is not signal.SIGHUP:
            log.info("stopping on %s", reason.name)
            await host.stop_everything()
    finally:
        await host.close()
    if reason in (signal.SIGHUP, signal.SIGUSR2):
        log.info("starting anew")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


async def _watch_data_dir(settings: Settings, told: asyncio.Future[signal.Signals]) -> None:
    """Notice that somebody removed the directory we write to: what runs from it has no files any more."""
    socket = Layout(settings.data_dir).api_socket
    while socket.exists():  # noqa: ASYNC110 - nobody tells of it but the file system
        await asyncio.sleep(DATA_DIR_SECONDS)
    _tell(told, signal.SIGUSR2)


def _reload(settings: Settings, told: asyncio.Future[signal.Signals]) -> None:
    """Begin anew, unless the next server would refuse its configuration: then this one stays as it is."""
    try:
        read_config(settings.data_dir)
    except Refused as refusal:
        log.error("not reloaded, everything goes on as before: %s", refusal)
    else:
        _tell(told, signal.SIGHUP)


def _tell(told: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    if not told.done():
        told.set_result(number)
