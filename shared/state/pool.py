"""One small pool of Redis connections a process, which waits instead of failing and survives Redis' restarts.

How its connections behave: shared/state/connections.py.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar, cast

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.backoff import ExponentialBackoff

from shared.core import odd
from shared.core.urls import RedisPlace, redis_place
from shared.log import log
from shared.settings import Settings
from shared.state.connections import Elected, ElectedEncrypted, Encrypted, Local, Patience, Plain
from shared.state.refusals import PoolBusy, RedisRefuses

POOL_SIZE = 3
"""With one more for pub/sub a process keeps to 4: two webs and two workers fit a plan of 20 through a restart."""
WAIT_SECONDS = 10
"""Patience of a caller that finds every connection in use."""

PASSING = (exceptions.ConnectionError, exceptions.TimeoutError, RedisRefuses, OSError)
"""Errors of a Redis that is restarted, hung, unreachable, full, or not the primary any more: nobody's bug."""


T = TypeVar("T")


async def answer(value: Awaitable[T] | T) -> T:
    """Redis' answer: redis-py 5 types many commands as if they might not need to be awaited."""
    return await cast("Awaitable[T]", value)


class OverRedis:
    """Base of classes over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def _keep(self, name: str, fields: Mapping[str, Any], ms: int) -> None:
        """Write fields of a hash, and have it live for so long from now on."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(name, mapping=dict(fields))
            pipe.pexpire(name, ms)
            await pipe.execute()


_RUN_ID = re.compile(r"^run_id:(\w+)", re.MULTILINE)


class Pool(BlockingConnectionPool):
    """Tells its own exhaustion apart from faults of Redis, and notices another server."""

    def __init__(self, **options: Any) -> None:
        super().__init__(meet=self._meet, **options)
        self._places = asyncio.Semaphore(self.max_connections)
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

    async def get_connection(self, *_args: Any, **_options: Any) -> AbstractConnection:
        """A connection that is cut while it greets is made again: the command connects, within its own tries. Places are
        counted here, as redis-py's lock, condition and timer take longer than the write of a command."""
        try:
            async with asyncio.timeout(self.timeout if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError:
            raise PoolBusy("every connection is in use") from None
        connection = cast("AbstractConnection", self.get_available_connection())  # type: ignore[no-untyped-call]
        if await connection.can_read_destructive():  # type: ignore[no-untyped-call]
            await connection.disconnect(nowait=True)
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        self._in_use_connections.remove(connection)
        self._available_connections.append(connection)
        self._places.release()


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


def subscriber(settings: Settings) -> Redis:
    """A client of its own for pub/sub, so that listening never occupies a place in the pool.

    It does not retry by itself: a silent reconnect would hide that messages were lost (docs/adr).
    """
    options = _options(settings) | {"retry": None, "retry_on_error": [], "socket_timeout": None, "listening": True}
    return Redis(connection_pool=ConnectionPool(**options))
