"""Asks WhatsApp for the present revision of its web client: the page as whatsmeow does, or else the page's own script."""

import asyncio
import re
import ssl
from typing import TYPE_CHECKING

from shared.core.clock import now_ms
from shared.state.webrevision import SharedRevision

if TYPE_CHECKING:
    import httpx

_HOST = "https://web.whatsapp.com"
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
_PAGE = {
    "User-Agent": _AGENT,
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "none",
    "Sec-Fetch-User": "?1",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7",
    "Accept-Language": "en-US,en;q=0.9",
}
_SCRIPT = {"User-Agent": _AGENT, "Sec-Fetch-Site": "none"}
_IN_PAGE = re.compile(rb'"client_revision":(\d{9,10}),')
_IN_SCRIPT = re.compile(rb'\\?"client_revision\\?":\s*(\d{9,10})\b')
_MOST = 4 << 20
SECONDS = 10.0
"""Limit of each of the two requests, from the dial to the last byte."""


class NoRevision(Exception):
    """WhatsApp could not be asked, or names none; the text says why, without secrets."""


async def fetch_revision(proxy: str | None) -> SharedRevision:
    """Ask through the sessions' proxy, or, if there is none, as the environment says. Raises `NoRevision`."""
    import httpx  # some 3 MB, which a worker has no use for until then

    # The system's authorities, or those of SSL_CERT_FILE: those that the sessions trust.
    trust = ssl.create_default_context()
    faults = []
    try:
        client = httpx.AsyncClient(proxy=proxy, verify=trust, trust_env=proxy is None, timeout=SECONDS)
    except (ImportError, ValueError) as error:  # a proxy of the environment that httpx does not know
        raise NoRevision(f"no client: {type(error).__name__}") from None
    async with client:
        for path, headers, pattern in (("/", _PAGE, _IN_PAGE), ("/sw.js", _SCRIPT, _IN_SCRIPT)):
            try:
                found = pattern.search(await _read(client, path, headers))
            except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, NoRevision) as error:
                faults.append(f"{path} {error if isinstance(error, NoRevision) else type(error).__name__}")
                continue
            if found is not None:
                return SharedRevision(int(found[1]), now_ms(), path)
            faults.append(f"{path} names none")
    raise NoRevision("; ".join(faults))


async def _read(client: "httpx.AsyncClient", path: str, headers: dict[str, str]) -> bytes:
    async with asyncio.timeout(SECONDS), client.stream("GET", _HOST + path, headers=headers) as answer:
        if answer.status_code != 200:
            raise NoRevision(f"answers {answer.status_code}")
        read = bytearray()
        async for piece in answer.aiter_bytes(1 << 16):
            read += piece
            if len(read) >= _MOST:
                break
        return bytes(read[:_MOST])
