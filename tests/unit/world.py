"""One session of one company in Redis, and what can happen to it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Self

import orjson
from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import STEPS, State
from shared.core.protocol import Body, MessageType, Method
from shared.state.claims import Claims, Requested, Subject, queued
from shared.state.lease import HEARTBEAT_MS, LEASE_MS, Lease, Leases
from shared.state.pool import answer
from shared.state.rescue import Rescue
from shared.state.snapshots import Change, Snapshots
from tests.waiting import beside

SESSION = SessionId("company_salon-1")
ONE, OTHER = WorkerId("one"), WorkerId("other")
PHONE, OTHER_PHONE = "+79001234567", "+79007654321"


def change(
    state: State = State.CONNECTING, *, ending: bool = False, counters: tuple[str, ...] = (), **body: Any
) -> Change:
    """A change that says nothing but its state."""
    return Change(Body(state=state, **body), MessageType.STATUS, "test.changed", "", counters, ending)


def way(start: State, goal: State) -> list[State]:
    """The states on the shortest way that the lifecycle allows, without the first."""
    ways: dict[State, list[State]] = {start: []}
    open_ = [start]
    for state in open_:
        for follower in STEPS[state]:
            if follower not in ways:
                ways[follower] = [*ways[state], follower]
                open_.append(follower)
    return ways[goal] or [goal]


async def stop_beating(redis: Redis, worker: WorkerId) -> None:
    """As if this worker had been silent for longer than its leases live."""
    await redis.delete(keys.alive(worker))
    await redis.zadd(keys.WORKERS, {worker: now_ms() - LEASE_MS - 1000})


async def hold(redis: Redis, worker: WorkerId, sessions: Sequence[SessionId]) -> None:
    """A worker that beats for ten minutes, with these linked sessions."""
    pipe = redis.pipeline(transaction=False)
    pipe.mset({keys.lease(one): f"{worker}:1" for one in sessions})
    pipe.mset({keys.fence(one): 1 for one in sessions})
    for one in sessions:
        pipe.hset(keys.snapshot(one), mapping={"attempt": 1, "seq": 5, "body": b'{"state":"linked"}'})
    pipe.sadd(keys.held(worker), *sessions)
    pipe.zadd(keys.WORKERS, {worker: now_ms() + 600_000})
    pipe.set(keys.alive(worker), "1", px=600_000)
    await pipe.execute()


class World:
    """The scripts over one Redis, with a session to try them on."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.claims = Claims(redis)
        self.rescue = Rescue(redis)
        self.leases = Leases(redis)
        self.snapshots = Snapshots(redis)

    async def ask(self, phone: str | None = None, expected: str | None = None) -> Requested:
        """What a click in a browser does."""
        told = Subject("L", now_ms() + 60_000, phone=phone, expected=expected)
        method = Method.CODE if phone else Method.QR
        return await self.claims.request(SESSION, told, queued(method, "attempt.requested"))

    async def serve(self, worker: WorkerId = ONE, state: State = State.CONNECTING, **body: Any) -> Lease:
        """Ask, and have a worker begin with it."""
        asked = await self.ask()
        lease = await self.leases.acquire(SESSION, worker, attempt=asked.attempt)
        assert lease is not None
        for step in way(State.QUEUED, state)[:-1]:
            assert await self.snapshots.save(lease, change(step, method=Method.QR))
        assert await self.snapshots.save(lease, change(state, method=Method.QR, **body))
        return lease

    @asynccontextmanager
    async def beating(self, worker: WorkerId = ONE) -> AsyncIterator[None]:
        """With this worker alive, for as long as the block takes: a lease lapses in real time."""

        async def beat() -> None:
            for number in count(1):
                await self.leases.beat(worker, number)
                await asyncio.sleep(HEARTBEAT_MS / 1000)

        async with beside(beat()):
            yield

    async def lead(self, lease: Lease, state: State) -> None:
        """Bring the session to `state`, by the steps that the lifecycle allows."""
        for step in way((await self.snapshots.read(lease.session)).body.state, state):
            assert await self.snapshots.save(lease, change(step))

    async def lapse(self, session: SessionId = SESSION) -> None:
        """As if the worker that owns the session had stopped beating."""
        owner = await self.redis.get(keys.lease(session))
        if owner is not None:
            await stop_beating(self.redis, WorkerId(owner.decode().rpartition(":")[0]))

    async def state(self) -> State:
        return (await self.snapshots.read(SESSION)).body.state

    async def everything(self) -> dict[bytes, Any]:
        """All that Redis holds, to compare."""
        found: dict[bytes, Any] = {}
        for key in await self.redis.keys("*"):
            if key.startswith(keys.said("").encode()):
                continue  # what scripts answered, for those who ask twice
            kind = (await self.redis.type(key)).decode()
            match kind:
                case "string":
                    found[key] = await self.redis.get(key)
                case "hash":
                    found[key] = await answer(self.redis.hgetall(key))
                case "zset":
                    found[key] = await self.redis.zrange(key, 0, -1, withscores=True)
                case "set":
                    found[key] = await answer(self.redis.smembers(key))
                case "list":
                    found[key] = await answer(self.redis.lrange(key, 0, -1))
                case _:
                    found[key] = await self.redis.xrange(key)
        return found


class Ear:
    """Hears what is announced of the session."""

    def __init__(self, redis: Redis) -> None:
        self._pubsub = redis.pubsub(ignore_subscribe_messages=True)

    async def __aenter__(self) -> Self:
        await self._pubsub.subscribe(keys.events(SESSION))
        await self._pubsub.get_message(timeout=1)  # the confirmation
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._pubsub.aclose()

    async def heard(self) -> list[dict[str, Any]]:
        """Everything that was announced since the last call."""
        news = []
        while (message := await self._pubsub.get_message(timeout=0)) is not None:
            news.append(orjson.loads(message["data"]))
        return news
