"""One try to deliver an event by HTTP. Redirects are not followed: the signed event is meant for this URL alone.

A company chooses its receiver's address itself. So its name is looked up here, each address is checked, and the request
goes to the checked address: a name that is answered differently a moment later leads nowhere else.
"""

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from shared import VERSION
from shared.core.clock import now_ms
from shared.core.hosts import may_reach
from shared.core.signing import signed_headers
from shared.settings import Settings
from shared.state.events import Due
from shared.state.receivers import Receiver

if TYPE_CHECKING:
    import httpx

TIMEOUT_SECONDS = 10.0
"""For a whole try: looking up, connecting, sending, and the status line of the answer."""


class NotAllowed(Exception):
    """The receiver's name leads to addresses that are not public, and to no other."""


class Sender:
    """Sends to receivers, over kept connections to the service's own."""

    def __init__(self, config: Settings) -> None:
        self._allowed = config.webhook_networks
        self._certificates = config.webhook_ca
        self._clients: dict[bool, httpx.AsyncClient] = {}

    def _client(self, own: bool) -> "httpx.AsyncClient":
        import httpx  # some 3 MB, which a worker that delivers nothing has no use for

        if own not in self._clients:
            trusted = httpx.create_ssl_context(trust_env=False)
            if self._certificates is not None:
                trusted.load_verify_locations(self._certificates)
            # Connections to an address are never shared by two names.
            limits = httpx.Limits(max_keepalive_connections=0 if own else 20)
            self._clients[own] = httpx.AsyncClient(
                trust_env=False, follow_redirects=False, timeout=TIMEOUT_SECONDS, limits=limits, verify=trusted
            )
        return self._clients[own]

    async def send(self, receiver: Receiver, due: Due) -> str | None:
        """Send the event. Returns the trouble in a word; None if the server has taken the event."""
        import httpx

        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                hosts = await self._addresses(receiver.url) if receiver.own else [""]
                for index, host in enumerate(hosts):
                    try:
                        return await self._post(receiver, due, host)
                    except httpx.ConnectError:
                        if index == len(hosts) - 1:
                            raise
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, NotAllowed, ValueError) as error:
            return _word(error)
        return NotAllowed.__name__

    async def _addresses(self, url: str) -> list[str]:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
        hosts = list(dict.fromkeys(str(address[0]) for *_, address in found))
        allowed = [host for host in hosts if may_reach(host, self._allowed)]
        if not allowed:
            raise NotAllowed
        return sorted(allowed, key=lambda host: ":" in host)[:4]

    async def _post(self, receiver: Receiver, due: Due, host: str) -> str | None:
        import httpx

        headers = {
            "content-type": "application/json",
            "user-agent": f"whatsapp-onboarding/{VERSION}",
            **signed_headers(receiver.secret, due.id, now_ms(), due.body),
        }
        url, extensions = httpx.URL(receiver.url), dict[str, str]()
        if host:
            headers["host"] = url.netloc.decode()
            extensions = {"sni_hostname": url.host}
            url = url.copy_with(host=host)
        client = self._client(receiver.own)
        async with client.stream("POST", url, content=due.body, headers=headers, extensions=extensions) as answer:
            return None if answer.is_success else f"status {answer.status_code}"

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()


def _word(error: BaseException) -> str:
    """The kind of a fault; its text may hold the URL, and that a password."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return "certificate refused: see WEBHOOK_CA"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
