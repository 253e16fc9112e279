"""A Redis that takes no writes, of each version that may serve us: every process says why, and nobody calls it our fault."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.local import redis as local_redis
from shared.jobs.queue import client
from shared.state import connections
from shared.state import pool as redis_pool
from shared.state.refusals import RedisRefuses
from tests.integration.a_life import live, settings
from tests.integration.test_hostile_values import no_waiting, reports
from tests.integration.tour import Tour

__all__ = ["no_waiting", "reports"]

SERVERS = sorted({one for one in (local_redis.find_binary(), local_redis._BUNDLED) if one.exists()})
"""The machine's own, and the bundled one of 6.2, which words what happens inside a script in its own way."""
REFUSING: dict[str, tuple[str, ...]] = {
    "OOM": ("CONFIG", "SET", "maxmemory", "1"),
    "NOREPLICAS": ("CONFIG", "SET", "min-replicas-to-write", "3"),
    "READONLY": ("REPLICAOF", "127.0.0.1", "1"),
    "NOPERM": ("ACL", "SETUSER", "default", "-evalsha", "-eval", "-set", "-hset", "-zadd"),
}


@pytest.fixture(params=SERVERS, ids=lambda one: "bundled" if one == local_redis._BUNDLED else "own")
def server(request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(local_redis, "find_binary", lambda: request.param)
    with local_redis.running(folder / "redis") as running:
        yield running.url


@pytest.fixture
async def tour(server: str, no_waiting: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tour]:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.0)
    config = settings(server)
    redis = client(redis_pool.pool(config))
    yield Tour(redis, config, await live(redis, config))
    await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("word", REFUSING)
async def test_everybody_is_told_why(server: str, tour: Tour, reports: list[Any], word: str) -> None:
    told: set[str] = set()
    async with Redis.from_url(server) as operator:
        await operator.execute_command(*REFUSING[word])

    def is_told(error: Exception) -> bool:
        if isinstance(error, RedisRefuses):
            told.add(error.word)
        return isinstance(error, RedisRefuses)

    assert await tour(allowed=is_told) == []
    assert told == {word}
    assert reports == []
    assert 503 in tour.statuses


@pytest.mark.parametrize(
    ("url", "configured", "word"),
    [
        ("redis://:wrong@{place}/0", (), "WRONGPASS"),
        ("redis://{place}/0", (), "NOAUTH"),
        ("redis://:any@{place}/0", ("requirepass", ""), "NOPASS"),
        ("{own}/99", (), "NODB"),
    ],
)
async def test_a_url_that_leads_to_a_redis_which_does_not_let_us_in_is_told_as_what_it_is(
    server: str, monkeypatch: pytest.MonkeyPatch, url: str, configured: tuple[str, ...], word: str
) -> None:
    monkeypatch.setattr(connections, "PATIENCE_SECONDS", 0.0)
    async with Redis.from_url(server) as operator:
        if configured:
            await operator.config_set(*configured)
    own = server.rpartition("/")[0]
    redis = client(redis_pool.pool(settings(url.format(own=own, place=own.rpartition("@")[2]))))
    with pytest.raises(redis_pool.PASSING) as refused:
        await redis.get("name")
    assert isinstance(refused.value, RedisRefuses), "whatever is wrong then, no command is at fault"
    assert refused.value.word == word
    await redis.aclose(close_connection_pool=True)
