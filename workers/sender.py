"""One try to deliver an event by HTTP. Redirects are not followed: the signed event is meant for this URL alone.

A company chooses its receiver's address itself. So its name is looked up here, each address is checked, and the request
goes to the checked address: a name that is answered differently a moment later leads nowhere else.

Of an answer only the status is read, so that this needs no client of a library: one took half of a delivery's time.
"""

import asyncio
import contextlib
import functools
import re
import socket
import ssl
from base64 import b64encode
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

import certifi

from shared import VERSION
from shared.core.clock import now_ms
from shared.core.hosts import may_reach
from shared.core.signing import signed_headers
from shared.settings import Settings
from shared.state.events import Due
from shared.state.receivers import Receiver

TIMEOUT_SECONDS = 10.0
"""For a whole try: looking up, connecting, sending, and the status line of the answer."""
KEPT_SECONDS = 30.0
"""A connection that was silent for so long is not used again."""
LONGEST_HEAD = 16_384
_INTERIM = re.compile(rb"(?:HTTP/1\.[01] 1\d\d[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)+")
_HEAD = re.compile(rb"HTTP/1\.([01]) ([2-5]\d\d)[^\r\n]*(\r\n(?:[^\r\n]+\r\n)*)\r\n")
_UNSAFE = re.compile(r"[\x00-\x20\x7f]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
_LAST = re.compile(rb"\r\n(?:connection:[^\r\n]*\bclose\b|transfer-encoding:)", re.IGNORECASE)


class NotAllowed(Exception):
    """The receiver's name leads to addresses that are not public, and to no other."""


class ConnectError(Exception):
    """Nobody listens there."""


class RemoteProtocolError(Exception):
    """The receiver does not speak HTTP, or hung up before it had answered."""


class ReceiverConnection(asyncio.Protocol):
    """A connection to a receiver: one request at a time."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._head = b""
        self._rest = 0  # bytes that are to come of the answer's body
        self._answer: asyncio.Future[int] | None = None
        self._used_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)

    @property
    def is_closed(self) -> bool:
        """True if no further request can be made."""
        return self._transport.is_closing()

    @property
    def is_ready(self) -> bool:
        """True if another request can be made now."""
        if self._answer is None and asyncio.get_running_loop().time() - self._used_at > KEPT_SECONDS:
            self.close()
        return self._answer is None and self._rest == 0 and not self.is_closed

    async def ask(self, request: bytes) -> int:
        """The status of the answer. Raises `RemoteProtocolError`."""
        loop = asyncio.get_running_loop()
        self._head, self._used_at = b"", loop.time()
        answer: asyncio.Future[int] = loop.create_future()
        self._answer = answer
        self._transport.write(request)
        try:
            return await answer
        except BaseException:
            self._transport.abort()
            raise

    def data_received(self, data: bytes) -> None:
        """Read the head of an answer, and pass its body over."""
        if self._answer is not None:
            self._head += data
            if b"\r\n\r\n" in self._head:
                self._head = _INTERIM.sub(b"", self._head, count=1)
            if (found := _HEAD.match(self._head)) is not None:
                minor, status, fields = found.groups()
                self._answered(minor, status, fields, len(self._head) - found.end())
            elif b"\r\n\r\n" in self._head or len(self._head) > LONGEST_HEAD:
                self._end(None)
            return
        self._rest -= len(data)
        if self._rest < 0:
            self.close()

    def _answered(self, minor: bytes, status: bytes, fields: bytes, body: int) -> None:
        length = b"0" if status in {b"204", b"304"} else (_LENGTH.search(fields) or (b"", b""))[1]
        self._rest = int(length or 0) - body
        if minor == b"0" or not length or _LAST.search(fields) or self._rest < 0:
            self.close()
        self._end(int(status))

    def connection_lost(self, _error: Exception | None) -> None:
        """Nothing more will come."""
        self._end(None)

    def _end(self, status: int | None) -> None:
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            return
        if status is None:
            answer.set_exception(RemoteProtocolError())
        else:
            answer.set_result(status)

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._transport.close()


class Sender:
    """Sends to receivers, over kept connections to the service's own."""

    def __init__(self, config: Settings) -> None:
        self._allowed = config.webhook_networks
        self._certificates = config.webhook_ca
        self._kept: list[ReceiverConnection] = []

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
        except (ConnectError, RemoteProtocolError, NotAllowed, OSError, TimeoutError, ValueError) as error:
            return _word(error)
        return None if 200 <= status < 300 else f"status {status}"

    async def _status(self, receiver: Receiver, due: Due) -> int:
        url = urlsplit(receiver.url)
        request = _request(url, receiver.secret, due)
        if receiver.own:  # connections to an address are never shared by two names
            connection = await self._connected(url, await self._addresses(url))
            try:
                return await connection.ask(request)
            finally:
                connection.close()
        self._kept = [one for one in self._kept if not one.is_closed]
        if (ready := next((one for one in self._kept if one.is_ready), None)) is not None:
            with contextlib.suppress(RemoteProtocolError):  # it may have been closed meanwhile; one id is one event
                return await ready.ask(request)
        connection = await self._connected(url, [url.hostname or ""])
        self._kept.append(connection)
        return await connection.ask(request)

    async def _connected(self, url: SplitResult, hosts: list[str]) -> ReceiverConnection:
        loop, trust = asyncio.get_running_loop(), self._trust if url.scheme == "https" else None
        for host in hosts:
            try:
                _, connection = await loop.create_connection(
                    ReceiverConnection,
                    host,
                    _port(url),
                    ssl=trust,
                    server_hostname=url.hostname if trust else None,
                    happy_eyeballs_delay=0.25,
                )
            except OSError as error:
                if host == hosts[-1]:
                    raise ConnectError from error
            else:
                return connection
        raise NotAllowed

    async def _addresses(self, url: SplitResult) -> list[str]:
        found = await asyncio.get_running_loop().getaddrinfo(url.hostname, _port(url), type=socket.SOCK_STREAM)
        hosts = list(dict.fromkeys(str(address[0]) for *_, address in found))
        allowed = [host for host in hosts if may_reach(host, self._allowed)]
        return sorted(allowed, key=lambda host: ":" in host)[:4]

    def close(self) -> None:
        """Close the connections."""
        for one in self._kept:
            one.close()


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _request(url: SplitResult, secret: str, due: Due) -> bytes:
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
    if _UNSAFE.search(host + path):
        raise ValueError("a blank in a URL")
    lines = (f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", "")
    return "\r\n".join(lines).encode("ascii") + due.body


def _word(error: BaseException) -> str:
    """The kind of a fault; its text may hold the URL, and that a password."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(cause):
            return "certificate refused: see WEBHOOK_CA"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
