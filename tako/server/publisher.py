"""Gives the proxy the table that follows from what is declared and seen: at once, and in a burst now and then."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from tako.certs.self_signed import default_certificate
from tako.model.control import Policies, TableCertificate
from tako.model.errors import Refused, TakoError
from tako.proxy.proxyd import Proxy
from tako.proxy.table import TableContent

log = logging.getLogger(__name__)

# A table of hundreds of apps costs some milliseconds; a burst of changes must not spend all the time on tables.
PUBLISH_INTERVAL_SECONDS = 0.02
SERVED_SECONDS = 2.0

Compile = Callable[[TableCertificate | None, Policies], TableContent]


class Publisher:
    """`compile` makes the table, `policies` says what holds for every request, `pushed` is told of each table."""

    def __init__(
        self, certs: Path, compile: Compile, policies: Callable[[], Policies], pushed: Callable[[], None]
    ) -> None:
        self.proxy: Proxy | None = None
        self._certs = certs
        self._compile = compile
        self._policies = policies
        self._pushed = pushed
        self._default_certificate: TableCertificate | None = None
        self._publishing: asyncio.TimerHandle | None = None
        self._published_at = 0.0
        self._generation = 0

    async def prepare(self) -> None:
        """Have a certificate for names that have none."""
        self._default_certificate = await asyncio.to_thread(default_certificate, self._certs)

    async def renew(self) -> None:
        """Renew that certificate when it is due."""
        try:
            await self.prepare()
        except TakoError as error:
            # What is served is good for weeks yet, and by then the disk may have room.
            log.warning("the default certificate is not renewed: %s", error)
        self.publish()

    def publish(self) -> None:
        """Push soon; many calls within a few milliseconds are one table."""
        if self._publishing is None:
            loop = asyncio.get_running_loop()
            self._publishing = loop.call_at(self._published_at + PUBLISH_INTERVAL_SECONDS, self.push)

    def push(self) -> None:
        """Give the proxy the table as it is now."""
        if self._publishing is not None:
            self._publishing.cancel()
            self._publishing = None
        self._published_at = asyncio.get_running_loop().time()
        if self.proxy is None:
            return
        self._pushed()
        self._generation = self.proxy.push(self._compile(self._default_certificate, self._policies()))

    async def until_served(self) -> None:
        """Wait until the proxy decides by the table as it is now; not for long: its faults are told by the Host."""
        if self.proxy is None:
            return
        self.push()
        try:
            async with asyncio.timeout(SERVED_SECONDS):
                await self.proxy.settled(self._generation)
        except (TimeoutError, Refused):
            log.warning("tako-proxyd has not taken table %d within %.0f s", self._generation, SERVED_SECONDS)
