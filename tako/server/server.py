"""Puts the parts of tako-server together, in the order in which they need one another."""

import asyncio
import logging
import os
import signal
import sys

from tako.server.host import Host
from tako.server.settings import Settings

log = logging.getLogger(__name__)


async def serve_until_told(settings: Settings) -> None:
    """Run until a signal.

    SIGTERM and SIGINT stop the service: the proxy finishes its requests, the instances are stopped. SIGHUP starts
    tako-server anew in this process and leaves both running, so that a new version takes over without a pause.
    """
    told: asyncio.Future[signal.Signals] = asyncio.get_running_loop().create_future()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, _tell, told, number)
    host = await Host.open(settings)
    try:
        await host.start()
        log.info("tako-server serves on ports %d and %d", settings.http_port, settings.https_port)
        reason = await told
        if reason is not signal.SIGHUP:
            log.info("stopping on %s", reason.name)
            await host.stop_everything()
    finally:
        await host.close()
    if reason is signal.SIGHUP:
        log.info("starting anew")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _tell(told: asyncio.Future[signal.Signals], number: signal.Signals) -> None:
    if not told.done():
        told.set_result(number)
