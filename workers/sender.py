"""One try to deliver an event by HTTP. Redirects are not followed: the signed event is meant for this URL alone.

A company chooses its receiver's address itself. So its name is looked up here, each address is checked, and the request
goes to the checked address: a name that is answered differently a moment later leads nowhere else.

Connections to the service's own receiver are kept. What an answer says is read by Node's parser, in C.
"""

import asyncio
import contextlib
import functools
import re
import socket
import ssl
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

import certifi
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

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
HEAD_BYTES, MOST_BYTES = 16 * 1024, 1024 * 1024
"""Of an answer's head with the heads before it, and of what follows. Each byte takes time from all sessions of the worker."""
_WORD = re.compile(r"[!-~]+")


class NotAllowed(Exception):
    """The receiver's name leads to addresses that are not public, and to no other."""


class ConnectError(Exception):
    """Nobody listens there."""


class LocalProtocolError(Exception):
    """The request would have a broken line."""


class RemoteProtocolError(Exception):
    """The receiver hung up, or has sent what is no answer."""


class ReceiverConnection(asyncio.Protocol):
    """A connection to a receiver: one request at a time. It ends with an answer that does not say where it ends."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._http = HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None  # until it has ended
        self._used_at = 0.0
        self._room = HEAD_BYTES

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @property
    def is_closed(self) -> bool:
        """True if no further request can be made."""
        return self._transport.is_closing()

    @property
    def is_ready(self) -> bool:
        """True if another request can be made now. One that was silent for long, or whose answer does not end, is closed."""
        if asyncio.get_running_loop().time() - self._used_at > KEPT_SECONDS:
            self.close()
        return self._answer is None and not self.is_closed

    async def ask(self, request: bytes) -> int:
        """The status of the answer. Raises `RemoteProtocolError`."""
        loop = asyncio.get_running_loop()
        self._used_at, self._room = loop.time(), HEAD_BYTES
        self._answer = answer = loop.create_future()
        self._transport.write(request)
        try:
            return cast("int", await answer)
        except BaseException:
            self._transport.abort()
            raise

    def data_received(self, data: bytes) -> None:
        """Read an answer's status, and pass over the rest."""
        with contextlib.suppress(HttpParserError, HttpParserUpgrade):
            self._http.feed_data(data)
            self._room -= len(data)
            if self._room > 0:
                return
        self._transport.abort()

    def on_message_begin(self) -> None:
        """Raise `RemoteProtocolError` for an answer that nobody has asked for: the parser tells `data_received`."""
        if self._answer is None or self._answer.done():
            raise RemoteProtocolError

    def on_headers_complete(self) -> None:
        """Tell the status, if this head is not one before the head."""
        if self._answer is not None and (status := self._http.get_status_code()) >= 200:
            self._answer.set_result(status)
            self._room = MOST_BYTES
            if not self._http.should_keep_alive():
                self.close()

    def on_message_complete(self) -> None:
        """Take the next request from now on, if this was not a head before the head."""
        if self._answer is not None and self._answer.done():
            self._answer = None

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(RemoteProtocolError("hung up"))

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
        except (ConnectError, LocalProtocolError, RemoteProtocolError, NotAllowed, OSError, ValueError) as error:
            return _word(error)
        return None if 200 <= status < 300 else f"status {status}"

    async def _status(self, receiver: Receiver, due: Due) -> int:
        request = _request(receiver, due)
        if receiver.own:  # connections to an address are never shared by two names
            with contextlib.closing(await self._connected(urlsplit(receiver.url), own=True)) as connection:
                return await connection.ask(request)
        self._kept = [one for one in self._kept if not one.is_closed]
        for ready in [one for one in self._kept if one.is_ready][:1]:
            with contextlib.suppress(RemoteProtocolError):  # it may have been closed meanwhile; one id is one event
                return await ready.ask(request)
        connection = await self._connected(urlsplit(receiver.url), own=False)
        self._kept.append(connection)
        return await connection.ask(request)

    async def _connected(self, url: SplitResult, *, own: bool) -> ReceiverConnection:
        loop, trust = asyncio.get_running_loop(), self._trust if url.scheme == "https" else None
        name, hosts = url.hostname if trust else None, await self._addresses(url, own=own)
        for host in hosts:
            try:
                async with asyncio.timeout(None if host == hosts[-1] else CONNECT_SECONDS):
                    _, connection = await loop.create_connection(
                        ReceiverConnection, host, url.port or (443 if trust else 80), ssl=trust, server_hostname=name
                    )
                    return connection
            except OSError as error:
                if host == hosts[-1]:
                    raise ConnectError from error
        raise NotAllowed

    async def _addresses(self, url: SplitResult, *, own: bool) -> list[str]:
        look = functools.partial(socket.getaddrinfo, url.hostname, url.port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._lookups, look)
        hosts = list(dict.fromkeys(str(address[0]) for *_, address in found))
        allowed = [host for host in hosts if not own or may_reach(host, self._allowed)]
        return sorted(allowed, key=lambda host: ":" in host)[:4]

    def close(self) -> None:
        """Close the connections, and wait for no name."""
        self._lookups.shutdown(wait=False, cancel_futures=True)
        for one in self._kept:
            one.close()


@functools.lru_cache(maxsize=64)
def _head(url: str) -> str:
    """The lines that each request to the URL has. Raises `LocalProtocolError`."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _WORD.fullmatch(host + path):
        raise LocalProtocolError
    login = f"authorization: Basic {b64encode(unquote(user).encode()).decode()}\r\n" if user else ""
    agent = f"user-agent: whatsapp-onboarding/{VERSION}"
    return f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{agent}\r\n{login}"


def _request(receiver: Receiver, due: Due) -> bytes:
    if not _WORD.fullmatch(due.id):
        raise LocalProtocolError
    signed = signed_headers(receiver.secret, due.id, now_ms(), due.body)
    lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    return f"{_head(receiver.url)}content-length: {len(due.body)}\r\n{lines}\r\n".encode() + due.body


def _word(error: BaseException) -> str:
    """The kind of a fault; its text may hold the URL, and that a password."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return "certificate refused: see WEBHOOK_CA"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
