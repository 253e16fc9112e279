"""One small pool of Redis connections a process, which waits instead of failing and survives Redis' restarts."""

from collections.abc import Awaitable
from typing import Any, TypeVar, cast

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from shared.settings import Settings

POOL_SIZE = 3
"""With one more for pub/sub a process keeps to 4: two webs and two workers fit a plan of 20 through a restart."""

PASSING = (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.BusyLoadingError, OSError)
"""What a restarted, hung or unreachable Redis raises."""


T = TypeVar("T")


async def answer(value: Awaitable[T] | T) -> T:
    """Redis' answer: redis-py 5 types many commands as if they might not need to be awaited."""
    return await cast("Awaitable[T]", value)


def _options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "socket_timeout": 5,  # a stopped Redis would otherwise hang readers for ever
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        "health_check_interval": 25,
        "retry": Retry(ExponentialBackoff(cap=1, base=0.05), 8),
        "retry_on_error": list(PASSING),  # `retry` alone does nothing useful in redis-py 5
    }
    if settings.redis_url.get_secret_value().startswith("rediss://") and not settings.redis_tls_verify:
        options["ssl_cert_reqs"] = "none"
    return options


def pool(settings: Settings) -> ConnectionPool:
    """A pool of at most `POOL_SIZE` connections; a caller waits up to 10 s for a free one."""
    return BlockingConnectionPool.from_url(
        settings.redis_url.get_secret_value(), max_connections=POOL_SIZE, timeout=10, **_options(settings)
    )


def subscriber(settings: Settings) -> Redis:
    """A client of its own for pub/sub, so that listening never occupies a place in the pool.

    It does not retry by itself: a silent reconnect would hide that messages were lost (docs/adr).
    """
    options = _options(settings) | {"retry": None, "retry_on_error": [], "socket_timeout": None}
    pool = ConnectionPool.from_url(settings.redis_url.get_secret_value(), **options)
    return Redis(connection_pool=pool)
