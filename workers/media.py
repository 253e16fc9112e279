"""Watch over WhatsApp's media host. Sessions connect to another host.

History and contacts come from there. If a proxy or a firewall does not lead there, sessions look linked and may hear
nothing: what comes after a file that cannot be fetched waits. So the worker looks for itself.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from shared.core.ids import SessionId
from shared.log import log
from shared.tasks import happens
from shared.telemetry import sentry

HOST = "https://mmg.whatsapp.net/"
SECONDS = 15.0
"""Longest wait for the host's answer."""
LOOK_SECONDS = 300.0
AWAY_SECONDS = 30.0
"""Until the next look: usually, and while the host cannot be reached."""
REST_SECONDS = 5.0
"""Between two looks at least, however many sessions complain."""
MISSED_SECONDS = 900.0
"""A session that could not fetch a file is counted for so long."""


class MediaAway(Exception):
    """The media host cannot be reached; the text says why, without secrets."""


class MediaHost:
    """State of the media host, as one worker knows it."""

    def __init__(self, reach: Callable[[], Awaitable[None]]) -> None:
        """`reach` raises `MediaAway`."""
        self._reach = reach
        self._missed: dict[SessionId, float] = {}
        self._called = asyncio.Event()
        self.away = ""

    def missed(self, session: SessionId) -> None:
        """A session could not fetch a file: look at once."""
        self._missed[session] = asyncio.get_running_loop().time() + MISSED_SECONDS
        self._called.set()

    @property
    def without(self) -> int:
        """Number of sessions that could not fetch a file lately."""
        now = asyncio.get_running_loop().time()
        self._missed = {session: until for session, until in self._missed.items() if until > now}
        return len(self._missed)

    async def run(self) -> None:
        """Look now and then until cancelled."""
        while True:
            await happens(self._called, AWAY_SECONDS if self.away else LOOK_SECONDS)
            self._called.clear()
            await self.look()
            await asyncio.sleep(REST_SECONDS)

    async def look(self) -> None:
        """Try to reach the host. Raises nothing but cancellation."""
        try:
            await self._reach()
            away = ""
        except MediaAway as error:
            away = str(error)
        except Exception as error:  # noqa: BLE001 - a bug here must not end the worker
            sentry.report("media", error)
            return
        if bool(away) != bool(self.away):
            log.warning("media.away" if away else "media.back", why=away or None)
        self.away = away


async def reach(proxy: str | None) -> None:
    """Ask the host anything, through the sessions' proxy or as the environment says. Raises `MediaAway`."""
    import httpx  # some 3 MB, which a worker has no use for at first

    try:
        trust = ssl.create_default_context()
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(proxy=proxy, verify=trust, trust_env=proxy is None, timeout=SECONDS) as client,
        ):
            status = (await client.head(HOST)).status_code
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError, OSError, TimeoutError) as error:
        raise MediaAway(type(error).__name__) from None
    if status >= 500:  # 4xx is an answer of the host itself: we asked for nothing that is there
        raise MediaAway(f"answers {status}")
