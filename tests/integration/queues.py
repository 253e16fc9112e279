"""A worker of one queue whose jobs tell the test when they begin and end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from arq.connections import ArqRedis
from redis.asyncio import Redis

from shared.core import keys
from shared.core.ids import WorkerId
from shared.jobs import queue
from shared.jobs.wake import listen_for_calls
from shared.tasks import cancelled
from tests.waiting import until

QUEUE = keys.QUEUE_SESSIONS


class Watched(queue.QueueWorker):
    """A worker of which the test knows that it was called, has looked since, and asks Redis for nothing more."""

    called = idle = False

    def wake(self) -> None:
        self.called = True
        super().wake()

    async def start_due(self) -> None:
        self.idle = False
        await super().start_due()

    async def heart_beat(self) -> None:
        await super().heart_beat()
        self.idle = True  # the last that it does before it waits


class Shop:
    """The jobs `quick` and `slow` of one worker, and what has become of them."""

    def __init__(self, redis: ArqRedis, *, free: Callable[[], int] | None = None) -> None:
        self.redis = redis
        self.begun: asyncio.Queue[str] = asyncio.Queue()
        self.done: list[str] = []
        self.go_on = asyncio.Event()
        self.beside: list[str] = []
        jobs = [self.quick, self.slow, self.failing]
        self.worker = Watched(QUEUE, jobs, redis, worker=WorkerId("w"), free=free, beside=self._beside)
        self.tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def _beside(self, job_id: str) -> AsyncIterator[None]:
        self.beside.append(f"{job_id} is taken")
        try:
            yield
        finally:
            self.beside.append(f"{job_id} is over")

    async def quick(self, _ctx: dict[str, Any], name: str) -> None:
        self.begun.put_nowait(name)
        self.done.append(name)

    async def slow(self, _ctx: dict[str, Any], name: str) -> None:
        self.begun.put_nowait(name)
        await self.go_on.wait()
        self.done.append(name)

    async def failing(self, _ctx: dict[str, Any], name: str) -> None:
        self.begun.put_nowait(name)
        raise RuntimeError("no luck with +79001234567")

    async def put(self, job: str, name: str, *, job_id: str | None = None, after: float = 0) -> None:
        """Enqueue it as web does."""
        await queue.enqueue(self.redis, QUEUE, job, name, job_id=job_id or name, after=after)

    async def next_begun(self, seconds: float = 4) -> str:
        """The name of the next job that begins; by far sooner than the idle poll would find it."""
        assert seconds < queue.IDLE_SECONDS
        async with asyncio.timeout(seconds):
            return await self.begun.get()

    @asynccontextmanager
    async def open(self, calls: Redis) -> AsyncIterator["Shop"]:
        """Runs, and is torn down as the worker process does it."""
        listening = asyncio.create_task(listen_for_calls(calls, [self.worker]))
        running = asyncio.create_task(self.worker.async_run())
        self.tasks = [listening, running]
        try:
            yield self
        finally:
            await self.worker.drain(0)
            for task in self.tasks:
                await cancelled(task)


async def is_idle(shop):
    """It listens for calls, was called by that, has looked at the empty queue, and waits."""
    await until(lambda: shop.worker.called and shop.worker.idle and not shop.worker._wake.is_set())


async def is_empty(redis):
    return await redis.zcard(QUEUE) == 0
