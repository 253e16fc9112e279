"""Every name in Redis against whatever anybody may put under it: no worker, task or page stumbles, what is of a wrong type is
thrown away and counted without a word of what it was, and nothing comes round for ever."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
import structlog
from arq.connections import ArqRedis
from redis.asyncio import Redis

from app.api import texts
from app.cli import doctor
from app.page.relay import Relay
from shared.core import keys
from shared.core.keys import KEYS, KeyDoc
from shared.jobs.queue import client
from shared.state import phones
from shared.state import pool as redis_pool
from shared.state.pool import answer
from shared.telemetry import sentry
from shared.telemetry.metrics import Counter
from tests.integration.a_life import live, settings
from tests.integration.tour import Tour
from tests.unit.world import SESSION, World
from workers import sender, sweeper

SECRET = b"79001112233"
"""Is in every value, if there is room: it must be in no log."""
VALUES: dict[str, bytes] = {
    "not UTF-8": b"\xff\xfe" + SECRET,
    "empty": b"",
    "a fraction": b"1.5",
    "a negative number": b"-1",
    "a huge number": b"9" * 5_000,
    "the largest integer": b"9223372036854775807",
    "infinity": b"inf",
    "truncated JSON": b'{"a":[' + SECRET,
    "JSON of another shape": b"[1, null]",
    "a newer version": b'{"state": "teleported", "until": "' + SECRET + b'", "asked": 1, "made": 5, "version": 99}',
    "a huge text": SECRET * 5_000,
    "odd characters": "\u2028\x00".encode() + SECRET,
}
MANY = {"wa:said:<mark>": "each call has a name of its own, which nobody can guess"}
"""Names under which nothing can be put beforehand."""

WRONG_TYPE = "a wrong type"
GROUPS = 4

Plant = Callable[[Redis, str, bytes], Awaitable[None]]


async def _text(redis: Redis, name: str, value: bytes) -> None:
    await redis.set(name, value, keepttl=bool(await redis.exists(name)))


async def _hash(redis: Redis, name: str, value: bytes) -> None:
    fields = await answer(redis.hkeys(name))
    await answer(redis.hset(name, mapping=dict.fromkeys([*fields, value], value)))


async def _zset(redis: Redis, name: str, value: bytes) -> None:
    scores = {b"1.5": 1.5, b"-1": -1.0, b"inf": float("inf"), b"9223372036854775807": 9e18}
    await redis.zadd(name, {value: scores.get(value, 1.5)})
    if value in scores:
        for known in await redis.zrange(name, 0, -1):
            await redis.zadd(name, {known: -scores[value] if value == b"inf" else scores[value]})


async def _list(redis: Redis, name: str, value: bytes) -> None:
    await answer(redis.lpush(name, value))
    await answer(redis.rpush(name, value))


async def _set(redis: Redis, name: str, value: bytes) -> None:
    await answer(redis.sadd(name, value))


async def _stream(redis: Redis, name: str, value: bytes) -> None:
    (newest,) = await redis.xrevrange(name, count=1)
    last = f"{2**64 - 1}-{2**64 - 1}" if value == VALUES["the largest integer"] else "*"
    await redis.xadd(name, dict.fromkeys([*newest[1], value], value), id=last)


async def _other_type(redis: Redis, name: str, value: bytes) -> None:
    has = await redis.type(name)
    await redis.delete(name)
    await (redis.set(name, value) if has != b"string" else answer(redis.rpush(name, value)))


PLANTS: dict[str, Plant] = {
    "string": _text,
    "counter": _text,
    "hash": _hash,
    "zset": _zset,
    "list": _list,
    "set": _set,
    "stream": _stream,
}


def kind_of(row: KeyDoc) -> str:
    return re.split(r"[ ,]", row.type)[0]


def pattern(row: KeyDoc) -> re.Pattern[str]:
    """What fits the row's name. The last part may hold colons."""
    parts = re.split(r"<[^>]+>", row.name)
    return re.compile("[^:]+".join(map(re.escape, parts)))


ROWS = [row for row in KEYS if row.name not in MANY and kind_of(row) != "channel"]


class Place:
    """A Redis as `live` has left it, put back before each try."""

    def __init__(self, redis: ArqRedis, operator: Redis, tour: Tour, kept: dict[str, list[Any]]) -> None:
        self._redis, self.operator, self.tour = redis, operator, tour
        self.kept = kept

    async def put_back(self) -> None:
        await self.operator.flushall()
        async with self.operator.pipeline(transaction=False) as pipe:
            for name, (ttl, value) in self.kept.items():
                pipe.restore(name, max(ttl, 0), value)
            await pipe.execute()

    def names(self, row: KeyDoc) -> list[str]:
        if "<" not in row.name:
            return [row.name]
        fits, others = pattern(row), [pattern(one) for one in KEYS if "<" not in one.name and one is not row]
        found = [one for one in self.kept if fits.fullmatch(one)]
        return [one for one in found if not any(other.fullmatch(one) for other in others)]

    async def counted(self) -> int:
        return int(await answer(self.operator.hget(keys.STATS, Counter.ODD_VALUES.value)) or 0)


async def _refuse(*_: object) -> str:
    """No receiver is there."""
    return "ConnectError"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a worker, a receiver, or a Redis that settles."""
    monkeypatch.setattr(phones, "WAIT_SECONDS", 0.0)
    monkeypatch.setattr(texts, "ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(doctor, "REPAIR_SECONDS", 0.0)
    monkeypatch.setattr(sweeper, "REDIS_YOUNG_SECONDS", 0)
    monkeypatch.setattr(sweeper, "SETTLING_MS", 0)
    monkeypatch.setattr(sender.Sender, "send", _refuse)


@pytest.fixture
async def place(redis_server: str, operator: Redis, no_waiting: None) -> Any:
    config = settings(redis_server)
    redis = client(redis_pool.pool(config))
    life = await live(redis, config)
    names = [one.decode() for one in await operator.keys("*") if not one.startswith(keys.said("").encode())]
    async with operator.pipeline(transaction=True) as pipe:
        for name in names:
            pipe.pttl(name)
            pipe.dump(name)
        found = await pipe.execute()
    kept = {name: pair for name, *pair in zip(names, found[::2], found[1::2], strict=True) if pair[1] is not None}
    yield Place(redis, operator, Tour(redis, config, life), kept)
    await redis.aclose(close_connection_pool=True)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What went to Sentry as a bug of ours."""
    found: list[str] = []
    monkeypatch.setattr(sentry, "report", lambda what, error, **_: found.append(f"{what}: {error!r}"[:200]))
    return found


async def test_the_life_fills_every_name(place: Place) -> None:
    assert [row.name for row in ROWS if not place.names(row)] == []
    assert await place.tour() == [], "nobody stumbles over what is ours"
    assert await place.counted() == 0


@pytest.mark.parametrize("what", [*VALUES, WRONG_TYPE])
async def test_nobody_stumbles_over_whatever_stands_under_a_name(place: Place, reports: list[str], what: str) -> None:
    """Some names at a time: were all of them odd at once, each would hide what comes of another."""
    stumbled: list[str] = []
    for group in range(GROUPS):
        await place.put_back()
        for row in ROWS[group::GROUPS]:
            for name in place.names(row):
                has = (await place.operator.type(name)).decode()
                plant = _other_type if what == WRONG_TYPE else PLANTS[has if has in PLANTS else kind_of(row)]
                await plant(place.operator, name, VALUES.get(what, b"x"))
        with structlog.testing.capture_logs() as logged:
            stumbled += [f"group {group}: {one}" for one in await place.tour()]
            before = await place.counted()
            stumbled += [f"group {group}, again: {one}" for one in await place.tour.again()]
        assert await place.counted() == before, "nothing comes round for ever"
        assert [one for one in logged if SECRET.decode() in str(one)] == []
        assert what != WRONG_TYPE or before > 0, "each is counted"
        thrown = [one["name"] for one in logged if one["event"] == "redis.odd-value"]
        assert len(thrown) >= before, "and logged"  # the counters may have been thrown away as well
    assert stumbled == []
    assert reports == []


async def test_odd_announcements_are_passed_over(
    relay: Relay, world: World, operator: Redis, reports: list[str]
) -> None:
    odd: list[dict[str, object]] = [
        {"attempt": "one"},
        {"attempt": 10**30},
        {"seq": None},
        {"body": []},
        {"body": {"state": "teleported"}},
        {"type": 5},
    ]
    fine: dict[str, object] = {"type": "status", "attempt": 1, "seq": 1, "body": {"state": "linked"}}
    async with relay.watch(SESSION) as slot:
        await slot.first()
        for value in (*VALUES.values(), *(json.dumps(fine | one).encode() for one in odd)):
            for channel in (keys.events(SESSION), keys.SWITCH_CHANNEL, keys.FEED):
                await operator.publish(channel, value)
        await world.ask()
        async with asyncio.timeout(5):
            assert orjson.loads((await slot.next())[0])["snapshot"]["state"] == "queued"
    assert reports == []
