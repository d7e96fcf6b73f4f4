"""Fetching from a real server over TLS, and what must not be taken from one."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tako.adapters.http import fetch_text
from tako.certs.self_signed import hold
from tako.model.errors import RetryLater


class Site:
    """Serves texts by path over HTTPS, with a certificate that only `tls` trusts."""

    def __init__(self, directory: Path) -> None:
        self.texts: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        held, _ = hold(directory, ("localhost",))
        self._served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._served.load_cert_chain(held.chain_path, held.key_path)
        self.tls = ssl.create_default_context(cafile=str(held.chain_path))
        self._never = asyncio.Event()
        self._runner: web.AppRunner

    async def start(self) -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "localhost", 0, ssl_context=self._served)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"https://localhost:{port}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path == "/never":
            await self._never.wait()
        if request.path in self.redirects:
            raise web.HTTPFound(self.redirects[request.path])
        if request.path not in self.texts:
            raise web.HTTPNotFound
        return web.Response(text=self.texts[request.path])


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path / "certs")
    await site.start()
    yield site
    await site.stop()


async def fetch(site: Site, path: str, *, limit_bytes: int = 1000, timeout_seconds: float = 10) -> str:
    return await fetch_text(f"{site.url}{path}", timeout_seconds=timeout_seconds, limit_bytes=limit_bytes, tls=site.tls)


async def test_a_text_is_fetched_over_tls(site: Site) -> None:
    site.texts["/a"] = "grün\n"
    assert await fetch(site, "/a") == "grün\n"


async def test_a_redirect_is_followed_on_the_same_host(site: Site) -> None:
    site.texts["/a"] = "there"
    site.redirects["/moved"] = "/a"
    assert await fetch(site, "/moved") == "there"


@pytest.mark.parametrize(("path", "why"), [("/missing", "answered 404"), ("/long", "longer than 1000 bytes")])
async def test_what_is_not_the_text_is_said(site: Site, path: str, why: str) -> None:
    site.texts["/long"] = "x" * 1001
    with pytest.raises(RetryLater, match=why):
        await fetch(site, path)


async def test_nobody_is_followed_to_another_host(site: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "certs")
    await other.start()
    other.texts["/a"] = "false"
    site.redirects["/away"] = f"{other.url}/a"
    with pytest.raises(RetryLater, match="leads to another host"):
        await fetch(site, "/away")
    await other.stop()


async def test_who_is_not_trusted_is_not_believed(site: Site) -> None:
    site.texts["/a"] = "text"
    with pytest.raises(RetryLater, match="cannot be fetched"):
        await fetch_text(f"{site.url}/a", timeout_seconds=10, limit_bytes=1000)
    assert site.asked == []


async def test_a_server_that_never_answers_is_given_up(site: Site) -> None:
    with pytest.raises(RetryLater, match="did not answer within"):
        await fetch(site, "/never", timeout_seconds=0.2)


async def test_a_server_that_is_not_there_is_said(site: Site) -> None:
    await site.stop()
    with pytest.raises(RetryLater, match="cannot be fetched"):
        await fetch(site, "/a")
