"""One small pool of Redis connections a process, which waits instead of failing and survives Redis' restarts.

A connection that hears that its server cannot serve is dropped, so that the next command finds the server that can. One
file, as the pool, its connections and the server that they meet are made of each other.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar, cast

from redis import exceptions
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.connection import HiredisRespSerializer

from shared.core import clock, odd
from shared.core.urls import RedisPlace, redis_place
from shared.log import log
from shared.settings import Settings
from shared.state.namespace import Namespace
from shared.state.refusals import PoolBusy, RedisRefuses, refusal, refused_greeting

POOL_SIZE = 3
"""With one more for pub/sub a process keeps to 4: two webs and two workers fit a plan of 20 through a restart."""
WAIT_SECONDS = 10
"""Patience of a caller that finds every connection in use."""
PATIENCE_SECONDS = 6.0
"""Patience of a command with a Redis that is away."""

PASSING = (exceptions.ConnectionError, exceptions.TimeoutError, RedisRefuses, OSError)
"""Errors of a Redis that is restarted, hung, unreachable, full, or not the primary any more: nobody's bug."""


T = TypeVar("T")


async def answer(value: Awaitable[T] | T) -> T:
    """Redis' answer: redis-py 5 types many commands as if they might not need to be awaited."""
    return await cast("Awaitable[T]", value)


class OverRedis:
    """Base of what stands over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def _keep(self, name: str, fields: Mapping[str, Any], ms: int) -> None:
        """Write fields of a hash, and have it live for so long from now on."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(name, mapping=dict(fields))
            pipe.pexpire(name, ms)
            await pipe.execute()


_RUN_ID = re.compile(r"^run_id:(\w+)", re.MULTILINE)
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
            if time.monotonic() > until or isinstance(error, PoolBusy):
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
        """True if something lies in the connection, or it has ended: it is made anew before a command then. redis-py looks by
        a read that it cancels, which costs more than all else of a command."""
        reader = self._reader
        return reader is None or bool(reader._buffer) or reader.at_eof()  # type: ignore[attr-defined]  # noqa: SLF001

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
    """The same over TLS."""


class Pool(BlockingConnectionPool):
    """Tells its own exhaustion apart from faults of Redis, and notices another server."""

    def __init__(self, **options: Any) -> None:
        super().__init__(meet=self._meet, **options)
        self._run_id: str | None = None
        self._listeners: list[Callable[[], None]] = []
        self.leaving: asyncio.Task[None] | None = None  # kept, as nobody awaits it

    def on_change(self, call: Callable[[], None]) -> None:
        """Have `call` called whenever the process meets another server: after a restart, or behind a name that leads
        elsewhere now. It may have gone back to an earlier state."""
        self._listeners.append(call)

    def _meet(self, told: bytes | str) -> None:
        """Look at a new connection's answer to `INFO server`."""
        found = _RUN_ID.search(odd.text(told))
        if found is None or found[1] == self._run_id:
            return
        known, self._run_id = self._run_id, found[1]
        if known is not None:
            log.warning("redis.another-server")
            for call in self._listeners:
                call()

    async def get_connection(self, *args: Any, **options: Any) -> AbstractConnection:
        """A connection that is cut while it greets is made again: redis-py tries only the dialling again."""
        retry: Retry = self.connection_kwargs["retry"]

        async def get() -> AbstractConnection:
            try:
                return cast("AbstractConnection", await super(Pool, self).get_connection(*args, **options))
            except exceptions.ConnectionError as error:
                if isinstance(error.__cause__, asyncio.TimeoutError) and "available" in str(error):
                    raise PoolBusy("every connection is in use") from None
                raise

        return await retry.call_with_retry(get, _pass_over)


async def _pass_over(_: exceptions.RedisError) -> None:
    """Do nothing after a fault: redis-py has given the broken connection back."""


def _options(settings: Settings) -> dict[str, Any]:
    place = redis_place(settings.redis_url.get_secret_value())
    options: dict[str, Any] = {
        "socket_timeout": 5,  # a stopped Redis would otherwise hang readers for ever
        "socket_connect_timeout": 3,
        "health_check_interval": 25,
        "retry": Patience(ExponentialBackoff(cap=1, base=0.05), 8),
        # `retry` alone does nothing useful in redis-py 5
        "retry_on_error": [exceptions.ConnectionError, exceptions.TimeoutError, OSError],
        "db": place.database,
        "username": place.username,
        "password": place.password,
        "namespace": settings.names_in(place.database),
    }
    if place.socket is not None:
        return options | {"connection_class": Local, "path": place.socket}
    options |= {"socket_keepalive": True} | _tls(place, verified=place.verified and settings.redis_tls_verify)
    if place.service is None:
        (host, port), *_ = place.hosts
        return options | {"connection_class": Encrypted if place.tls else Plain, "host": host, "port": port}
    asking = {
        "socket_timeout": 3,
        "socket_connect_timeout": 3,
        "username": place.sentinel_username,
        "password": place.sentinel_password,
        "ssl": place.tls,
        **_tls(place, verified=place.verified and settings.redis_tls_verify),
    }
    kind = ElectedEncrypted if place.tls else Elected
    sentinels = {"service": place.service, "sentinels": list(place.hosts), "asking": asking}
    return options | {"connection_class": kind, **sentinels}


def _tls(place: RedisPlace, *, verified: bool) -> dict[str, Any]:
    if not place.tls:
        return {}
    named = verified and place.checks_name  # redis-py 5 does not check it by itself
    return {"ssl_cert_reqs": "required" if verified else "none", "ssl_check_hostname": named, **place.files}


def pool(settings: Settings) -> Pool:
    """A pool of at most `POOL_SIZE` connections; a caller waits up to `WAIT_SECONDS` for a free one."""
    return Pool(max_connections=POOL_SIZE, timeout=WAIT_SECONDS, **_options(settings))


def follow(pool: Pool, subscriber: Redis) -> None:
    """Have the subscriber subscribe anew whenever the pool leads to another server: its old one may still talk."""

    def leave() -> None:
        pool.leaving = asyncio.create_task(subscriber.connection_pool.disconnect())

    pool.on_change(leave)


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


def subscriber(settings: Settings) -> Redis:
    """A client of its own for pub/sub, so that listening never occupies a place in the pool.

    It does not retry by itself: a silent reconnect would hide that messages were lost (docs/adr).
    """
    options = _options(settings) | {"retry": None, "retry_on_error": [], "socket_timeout": None, "listening": True}
    return Redis(connection_pool=ConnectionPool(**options))
