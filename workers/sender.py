"""One try to deliver an event by HTTP. Redirects are not followed: the signed event is meant for this URL alone.

A company chooses its receiver's address itself. So its name is looked up here, each address is checked, and the request
goes to the checked address: a name that is answered differently a moment later leads nowhere else.

Connections to the service's own receiver are kept. httpx made one for each event, and took half of a delivery's time.
"""

import asyncio
import contextlib
import functools
import socket
import ssl
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

import certifi
import h11

from shared import VERSION
from shared.core.clock import now_ms
from shared.core.hosts import may_reach
from shared.core.signing import signed_headers
from shared.settings import Settings
from shared.state.events import Due
from shared.state.receivers import Receiver

TIMEOUT_SECONDS = 10.0
"""Limit of a whole try: look-up, connection, request, and the status line of the answer."""
KEPT_SECONDS = 30.0
"""A connection that was silent for so long is not used again."""
CONNECT_SECONDS = 3.0
"""For an address of a receiver that has another, so that a dead one leaves time for the next."""
LOOKUPS = 32
"""Names that are looked up at a time. A look-up outlives its try, and the threads of others must not wait for it."""
MOST_PIECES = 500
"""Of an answer: heads before the head, chunks. Each takes time from all sessions of the worker."""


class NotAllowed(Exception):
    """The receiver's name leads to addresses that are not public, and to no other."""


class ConnectError(Exception):
    """Nobody listens there."""


class ReceiverConnection(asyncio.Protocol):
    """A connection to a receiver: one request at a time."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT)
        self._answer: asyncio.Future[int] | None = None
        self._used_at = 0.0
        self._pieces = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @property
    def is_closed(self) -> bool:
        """True if no further request can be made."""
        return self._transport.is_closing()

    @property
    def is_ready(self) -> bool:
        """True if another request can be made now. One that was silent for long, or whose answer does not end, is closed."""
        if self._answer is None or not self._answer.done():
            return False
        if asyncio.get_running_loop().time() - self._used_at > KEPT_SECONDS:
            self.close()
        elif self._http.states == {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            self._http.start_next_cycle()
        return self._http.our_state is h11.IDLE and not self.is_closed

    async def ask(self, request: h11.Request, body: bytes) -> int:
        """The status of the answer. Raises `h11.RemoteProtocolError`."""
        loop = asyncio.get_running_loop()
        self._used_at, self._pieces = loop.time(), 0
        self._answer = answer = loop.create_future()
        parts = (request, h11.Data(body), h11.EndOfMessage())
        self._transport.write(b"".join(self._http.send(part) or b"" for part in parts))
        try:
            return cast("int", await answer)
        except BaseException:
            self._transport.abort()
            raise

    def data_received(self, data: bytes) -> None:
        """Read an answer's status, and pass over the rest."""
        try:
            self._http.receive_data(data)
            while isinstance(event := self._http.next_event(), h11.Event):
                self._pieces += 1
                if self._pieces > MOST_PIECES:
                    raise h11.RemoteProtocolError("too many pieces")  # noqa: TRY301 - as any other answer that is none
                if isinstance(event, h11.Response):
                    self._answered(event)
            theirs = self._http.their_state
            if theirs is h11.MUST_CLOSE or (theirs is h11.DONE and self._http.trailing_data[0]):
                self.close()
        except h11.RemoteProtocolError:
            self._transport.abort()

    def _answered(self, response: h11.Response) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(response.status_code)
        names = {name for name, _ in response.headers}
        if not names & {b"content-length", b"transfer-encoding"} and response.status_code not in {204, 304}:
            self.close()  # it ends when the receiver hangs up

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(h11.RemoteProtocolError("hung up"))

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._transport.close()


class Sender:
    """Sends to receivers, over kept connections to the service's own."""

    def __init__(self, config: Settings) -> None:
        self._allowed = config.webhook_networks
        self._certificates = config.webhook_ca
        self._kept: list[ReceiverConnection] = []
        self._lookups = ThreadPoolExecutor(LOOKUPS, "names")

    @functools.cached_property
    def _trust(self) -> ssl.SSLContext:
        trust = ssl.create_default_context(cafile=certifi.where())
        if self._certificates is not None:
            trust.load_verify_locations(self._certificates)
        return trust

    async def send(self, receiver: Receiver, due: Due) -> str | None:
        """Send the event. Returns the trouble in a word; None if the server has taken the event."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                status = await self._status(receiver, due)
        except (ConnectError, h11.ProtocolError, NotAllowed, OSError, TimeoutError, ValueError) as error:
            return _word(error)
        return None if 200 <= status < 300 else f"status {status}"

    async def _status(self, receiver: Receiver, due: Due) -> int:
        url = urlsplit(receiver.url)
        request = _request(url, receiver.secret, due)
        if receiver.own:  # connections to an address are never shared by two names
            connection = await self._connected(url, own=True)
            try:
                return await connection.ask(request, due.body)
            finally:
                connection.close()
        self._kept = [one for one in self._kept if not one.is_closed]
        for ready in [one for one in self._kept if one.is_ready][:1]:
            with contextlib.suppress(h11.RemoteProtocolError):  # it may have been closed meanwhile; one id is one event
                return await ready.ask(request, due.body)
        connection = await self._connected(url, own=False)
        self._kept.append(connection)
        return await connection.ask(request, due.body)

    async def _connected(self, url: SplitResult, *, own: bool) -> ReceiverConnection:
        loop, trust = asyncio.get_running_loop(), self._trust if url.scheme == "https" else None
        name, hosts = url.hostname if trust else None, await self._addresses(url, own=own)
        for host in hosts:
            try:
                async with asyncio.timeout(None if host == hosts[-1] else CONNECT_SECONDS):
                    _, connection = await loop.create_connection(
                        ReceiverConnection, host, _port(url), ssl=trust, server_hostname=name
                    )
            except OSError as error:
                if host == hosts[-1]:
                    raise ConnectError from error
            else:
                return connection
        raise NotAllowed

    async def _addresses(self, url: SplitResult, *, own: bool) -> list[str]:
        look = functools.partial(socket.getaddrinfo, url.hostname, _port(url), type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._lookups, look)
        hosts = list(dict.fromkeys(str(address[0]) for *_, address in found))
        allowed = [host for host in hosts if not own or may_reach(host, self._allowed)]
        return sorted(allowed, key=lambda host: ":" in host)[:4]

    def close(self) -> None:
        """Close the connections, and wait for no name."""
        self._lookups.shutdown(wait=False, cancel_futures=True)
        for one in self._kept:
            one.close()


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _request(url: SplitResult, secret: str, due: Due) -> h11.Request:
    user, _, host = url.netloc.rpartition("@")
    headers = {
        "host": host,
        "content-type": "application/json",
        "content-length": str(len(due.body)),
        "user-agent": f"whatsapp-onboarding/{VERSION}",
        **signed_headers(secret, due.id, now_ms(), due.body),
    }
    if user:
        headers["authorization"] = f"Basic {b64encode(unquote(user).encode()).decode()}"
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    return h11.Request(method="POST", target=path, headers=list(headers.items()))


def _word(error: BaseException) -> str:
    """The kind of a fault; its text may hold the URL, and that a password."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return "certificate refused: see WEBHOOK_CA"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
