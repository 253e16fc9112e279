"""One session of one company in Redis, and what can happen to it."""

from typing import Any, Self

import orjson
from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType, Method
from shared.state.claims import Claims, Requested, Subject, queued
from shared.state.lease import Lease, Leases
from shared.state.pool import answer
from shared.state.rescue import Rescue
from shared.state.snapshots import Change, Snapshots

SESSION = SessionId("company_salon-1")
ONE, OTHER = WorkerId("one"), WorkerId("other")
PHONE, OTHER_PHONE = "+79001234567", "+79007654321"


def change(
    state: State = State.CONNECTING, *, ending: bool = False, counters: tuple[str, ...] = (), **body: Any
) -> Change:
    """A change that says nothing but its state."""
    return Change(Body(state=state, **body), MessageType.STATUS, "test.changed", "", counters, ending)


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
        assert await self.snapshots.save(lease, change(state, method=Method.QR, **body))
        return lease

    async def lapse(self, session: SessionId = SESSION) -> None:
        """As if the lease's time were over."""
        await self.redis.zadd(keys.LEASES, {session: now_ms() - 1})

    async def state(self) -> State:
        return (await self.snapshots.read(SESSION)).body.state

    async def everything(self) -> dict[bytes, Any]:
        """All that Redis holds, to compare."""
        found: dict[bytes, Any] = {}
        for key in await self.redis.keys("*"):
            kind = (await self.redis.type(key)).decode()
            match kind:
                case "string":
                    found[key] = await self.redis.get(key)
                case "hash":
                    found[key] = await answer(self.redis.hgetall(key))
                case "zset":
                    found[key] = await self.redis.zrange(key, 0, -1, withscores=True)
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
