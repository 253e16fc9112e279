"""Connections to Redis that heed what it says, and patience with one that is away.

A connection that hears that its server cannot serve closes itself, so that the next command finds the server that can.
"""

import re
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from redis import exceptions
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import Connection, Redis, SSLConnection
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.connection import HiredisRespSerializer

from shared.core import clock, odd
from shared.state.namespace import Namespace
from shared.state.refusals import refusal, refused_greeting

PATIENCE_SECONDS = 6.0
"""Patience of a command with a Redis that is away."""

T = TypeVar("T")

_MOMENT = re.compile(r"^server_time_usec:(\d+)", re.MULTILINE)
_until: ContextVar[float | None] = ContextVar("until", default=None)


class Patience(Retry):
    """Tries a command again for `PATIENCE_SECONDS`, connecting anew included: redis-py counts the tries of both apart,
    and their product is a minute."""

    async def call_with_retry(self, do: Callable[[], Awaitable[T]], fail: Callable[[exceptions.RedisError], Any]) -> T:
        token = None
        if (until := _until.get()) is None:
            token = _until.set(until := time.monotonic() + PATIENCE_SECONDS)

        async def failed(error: exceptions.RedisError) -> None:
            await fail(error)
            if time.monotonic() > until:
                raise error

        try:
            return await super().call_with_retry(do, failed)
        finally:
            if token is not None:
                _until.reset(token)


class _Heeding(AbstractConnection):
    """Closes itself when the server says that it cannot serve, and raises one kind of error for all such answers."""

    _greeting = False

    def __init__(
        self,
        *,
        namespace: str = "",
        listening: bool = False,
        meet: Callable[[bytes | str], None] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._namespace = Namespace(namespace) if namespace else None
        self._listening = listening
        self._meet = meet

    async def can_read_destructive(self) -> bool:
        """True if something lies in the connection, or it has ended: it is made anew for a command then. redis-py looks by
        a read that it cancels, which costs more than all else of a command."""
        reader = self._reader
        return reader is None or bool(reader._buffer) or reader.at_eof()  # type: ignore[attr-defined]  # noqa: SLF001

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """The socket takes it while the answer is awaited, for which there is a limit: redis-py has one more timer for this."""
        if not self.is_connected:
            await self.connect()  # type: ignore[no-untyped-call]
        elif check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        if self._writer is None or self._writer.is_closing():
            raise exceptions.ConnectionError("cut")
        self._writer.writelines([command] if isinstance(command, bytes) else command)

    def pack_command(self, *args: Any) -> Any:
        words = args if self._namespace is None else self._namespace.within(args)
        return HiredisRespSerializer().pack(*words)  # in C: 5 us for a script's call, by redis-py's own way 37

    async def on_connect(self) -> None:
        # redis-py itself passes over what an old server does not know, such as CLIENT SETINFO.
        self._greeting = True
        try:
            await super().on_connect()
            if self._meet is not None:
                await self._identify(self._meet)
        except exceptions.RedisError as error:
            raise refused_greeting(error) from error
        finally:
            self._greeting = False

    async def _identify(self, meet: Callable[[bytes | str], None]) -> None:
        asked = time.monotonic_ns()
        await self.send_command("INFO", "server")
        try:
            told = await self.read_response()
        except exceptions.ResponseError as error:
            if refusal(error) is None or isinstance(error, exceptions.NoPermissionError):
                return  # not to be known: then the heartbeats alone notice
            raise
        if (moment := _MOMENT.search(odd.text(told))) is not None:
            clock.set_by(int(moment[1]), asked, time.monotonic_ns())
        meet(told)

    def at_hand(self) -> list[Any]:
        """The answers that were received and not read yet. Raises RedisError for an error among them."""
        found: list[Any] = []
        while (answer := self._parser._reader.gets()) is not NOT_ENOUGH_DATA:  # type: ignore[attr-defined]  # noqa: SLF001
            if isinstance(answer, exceptions.RedisError):
                raise refusal(answer) or answer
            found.append(self._heard(answer))
        return found

    def _heard(self, answer: Any) -> Any:
        return self._namespace.heard(answer) if self._namespace is not None and self._listening else answer

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return self._heard(await super().read_response(*args, **options))
        except exceptions.RedisError as error:
            found = None if self._greeting else refusal(error)
            if found is None:
                raise
            await self.disconnect(nowait=True)
            raise found from error


class Elected(_Heeding, Connection):
    """To the primary that sentinels name: it asks them whenever it connects."""

    def __init__(
        self, *, service: str, sentinels: list[tuple[str, int]], asking: dict[str, Any], **options: Any
    ) -> None:
        super().__init__(**options)
        self._service = service
        self._sentinels = sentinels  # shared by all connections of a pool: who answered last is asked first
        self._asking = asking

    async def _connect(self) -> None:  # inside redis-py's retries: each try asks anew
        self.host, self.port = await self._primary()
        await super()._connect()  # type: ignore[no-untyped-call]

    async def _primary(self) -> tuple[str, int]:
        for one in tuple(self._sentinels):
            sentinel: Redis = Redis(host=one[0], port=one[1], **self._asking)
            try:
                found: Any = await sentinel.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self._service)  # type: ignore[no-untyped-call]
            except (exceptions.RedisError, OSError):
                continue
            finally:
                await sentinel.aclose()
            if found is not None:
                self._sentinels.remove(one)
                self._sentinels.insert(0, one)
                return odd.text(found[0]), int(found[1])
        raise exceptions.ConnectionError("no sentinel names a primary")


class Plain(_Heeding, Connection):
    """Over TCP."""


class Encrypted(_Heeding, SSLConnection):
    """Over TLS."""


class Local(_Heeding, UnixDomainSocketConnection):
    """Over a Unix socket."""


class ElectedEncrypted(Elected, SSLConnection):
    """To the primary that sentinels name, over TLS."""


async def at_hand(pubsub: PubSub) -> list[dict[str, Any]]:
    """The messages that have come already and that nobody has read. redis-py goes through a dozen calls for each, which cost
    as much as all that is done with one. Raises RedisError."""
    connection: object = pubsub.connection  # redis-py says that it is None
    return [
        {"type": "message", "channel": one[1], "data": one[2]}
        if one[0] == b"message"
        else await pubsub.handle_message(one)  # type: ignore[no-untyped-call]
        for one in (connection.at_hand() if isinstance(connection, _Heeding) else ())
    ]
