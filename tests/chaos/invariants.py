"""What must hold whatever is killed: watched while the faults happen, and looked at when all is quiet again."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from emulator.client import Emulator
from shared.core import keys
from shared.core.ids import SessionId, WorkerId
from tests.e2e.stack import Stack
from tests.waiting import until

QUIET_SECONDS = 5.0
"""Far less than a minute, after which a sweep would put right what was forgotten."""
WITHOUT_TTL = ("wa:fence:", keys.STATS, keys.SWITCH)
"""Counters and switches live for ever; everything else must not."""


class Watch:
    """Listens to every announcement and to the emulator for as long as the block lasts."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._emulator: Emulator = stack.emulator
        self._versions: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._broken: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._after = 0

    async def __aenter__(self) -> Self:
        self._after = await self._emulator.now()
        listening = asyncio.Event()
        self._task = asyncio.create_task(self._listen(listening))
        await listening.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        while not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1)
        if not self._task.cancelled() and kind is None:
            self._task.result()  # raises what ended the listening too early
        if kind is None:
            assert not self._broken, self._broken
            await self._no_conflict()

    async def _listen(self, listening: asyncio.Event) -> None:
        redis: Redis = Redis.from_url(self._stack.environment["REDIS_URL"])
        try:
            while True:
                try:
                    async with redis.pubsub() as announcements:
                        await announcements.psubscribe("wa:events:*")
                        async for message in announcements.listen():
                            if message["type"] == "psubscribe":
                                listening.set()
                            else:
                                self._hear(message["channel"].decode(), json.loads(message["data"]))
                except (RedisError, OSError):
                    await asyncio.sleep(0.1)
        finally:
            await redis.aclose()

    def _hear(self, channel: str, message: dict[str, int]) -> None:
        version = (message["attempt"], message["seq"])
        if version <= self._versions[channel]:
            self._broken.append(f"{channel}: {version} after {self._versions[channel]}")
        self._versions[channel] = version

    async def _no_conflict(self) -> None:
        """WhatsApp never saw one device twice."""
        events = await self._emulator.events(self._after, tag=self._stack.tag)
        doubled = [event for event in events if "replaced by a newer" in str(event.detail.get("reason", ""))]
        assert not doubled, doubled


async def all_quiet(stack: Stack) -> None:
    """Nothing is left in Redis that should not be; every lease has a living owner; every queue has a reader. Looked at
    until it is so: each look asks many questions, and what was settled last may change between two of them."""
    unquiet: list[str] = []

    async def is_quiet() -> bool:
        unquiet[:] = [fault async for fault in _unquiet(stack.redis)]
        return not unquiet

    try:
        await until(is_quiet, QUIET_SECONDS)
    except TimeoutError:
        raise AssertionError(unquiet) from None


async def _of_each(redis: Redis, command: str, names: Iterable[bytes | str]) -> list[tuple[str, Any]]:
    """A question about each of these keys, and its answer, in one way to Redis: a fleet has thousands of them."""
    asked = [name.decode() if isinstance(name, bytes) else name for name in names]
    pipe = redis.pipeline(transaction=False)
    for name in asked:
        getattr(pipe, command)(name)
    return list(zip(asked, await pipe.execute(), strict=True))


async def _unquiet(redis: Redis) -> AsyncIterator[str]:
    names = [key async for key in redis.scan_iter(match="wa:*", count=1000)]
    for name, left in await _of_each(redis, "ttl", names):
        if not name.startswith(WITHOUT_TTL) and left == -1:
            yield f"{name} lives for ever"

    prefix = keys.alive(WorkerId(""))
    alive = {one.decode().removeprefix(prefix) async for one in redis.scan_iter(match=f"{prefix}*", count=1000)}
    kept = [key async for key in redis.scan_iter(match=f"{keys.held(WorkerId(''))}*", count=1000)]
    held = {name: {one.decode() for one in some} for name, some in await _of_each(redis, "smembers", kept)}
    leases = keys.lease(SessionId(""))
    owned = [key async for key in redis.scan_iter(match=f"{leases}*", count=1000)]
    for name, lease in await _of_each(redis, "get", owned):
        session, owner = name.removeprefix(leases), (lease or b"").decode()
        worker = WorkerId(owner.rpartition(":")[0])
        if worker not in alive:
            yield f"{session} is owned by the dead: {owner}"
        elif session not in held.get(keys.held(worker), ()):
            yield f"nobody would take {session} over"
    for holder, sessions in held.items():
        for name, lease in await _of_each(redis, "get", [keys.lease(SessionId(one)) for one in sessions]):
            owner = (lease or b"").decode()
            if holder != keys.held(WorkerId(owner.rpartition(":")[0])):
                yield f"{holder} has {name} of {owner}"
    for session in await redis.zrange(keys.CLAIMS, 0, -1):
        if not await redis.exists(keys.claim(SessionId(session.decode()))):
            yield f"{session} has ended, and has a deadline"
    async for key in redis.scan_iter(match="arq:queue:worker:*"):
        if (await redis.type(key)) == b"zset" and key.decode().removeprefix("arq:queue:worker:") not in alive:
            yield f"nobody reads {key}"
    if waiting := await redis.zcard(keys.QUEUE_LINKING):
        yield f"{waiting} onboardings wait"
