"""Fetching a small text over HTTP(S)."""

import ssl

import aiohttp
from yarl import URL

from tako.model.errors import RetryLater

RETRY_SECONDS = 60.0
_MAX_REDIRECTS = 3


async def fetch_text(url: str, *, timeout_seconds: float, limit_bytes: int, tls: ssl.SSLContext | None = None) -> str:
    """Return the text at `url`; `RetryLater` says what went wrong, also when it is longer than `limit_bytes`.

    A redirect is followed on the same host and scheme only. `tls` is for who trusts other authorities than the system.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, ssl=tls or True, max_redirects=_MAX_REDIRECTS) as response,
        ):
            asked = URL(url).origin()
            if any(one.url.origin() != asked for one in (*response.history, response)):
                raise RetryLater(f"{url} leads to another host, {response.url.origin()}", RETRY_SECONDS)
            if response.status != 200:
                raise RetryLater(f"{url} answered {response.status}", RETRY_SECONDS)
            content = bytearray()
            async for chunk in response.content.iter_chunked(16 * 1024):
                content += chunk
                if len(content) > limit_bytes:
                    raise RetryLater(f"{url} is longer than {limit_bytes} bytes", RETRY_SECONDS)
            return content.decode()
    except TimeoutError as error:
        raise RetryLater(f"{url} did not answer within {timeout_seconds:g} s", RETRY_SECONDS) from error
    except (aiohttp.ClientError, OSError, UnicodeDecodeError) as error:
        raise RetryLater(f"{url} cannot be fetched: {error or type(error).__name__}", RETRY_SECONDS) from error
