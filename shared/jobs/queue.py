"""All our contact with arq in one file: the codec, enqueueing, and a worker that wakes at once and survives Redis' faults.

arq is in maintenance mode and pinned exactly; each override below has a test that fails without it (docs/adr).
Job arguments are ids only, because arq logs them.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import arq.worker
import orjson
from arq.connections import ArqRedis
from arq.constants import expires_extra_ms, in_progress_key_prefix, job_key_prefix
from arq.jobs import serialize_job
from arq.worker import Function, Worker, func
from redis.asyncio import ConnectionPool

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import COMPANY_PATTERN, SESSION_PREFIX, SessionId, WorkerId
from shared.jobs.client import ServiceRedis
from shared.log import log
from shared.tasks import TROUBLE, cancelled, happens
from shared.wa import batches, many, wa

IDLE_SECONDS = 5.0
"""Between two looks at a queue when nobody calls: bounds the harm of a lost wake-up."""
ALONE_SECONDS = 12 * IDLE_SECONDS
"""Between two looks at a queue whose process looks at all its queues together. A net, in case that fails."""
JOB_TIMEOUT_SECONDS = 20
"""Jobs are short commands. When a worker dies, others may take its jobs as soon as its heartbeat has lapsed."""
MAX_TRIES = 5
"""A job that Redis interrupts is run again after 1, 2, 4 and 8 s; so is one whose worker dies."""
DEDUPE_MS = 2_000
LOOKED_AT = 200
"""Due jobs that one step looks at. It skips those that another worker runs."""

_LINK_JOB = re.compile(rf"link:({SESSION_PREFIX}{COMPANY_PATTERN[1:-1]}):(\d{{1,14}})(?::|$)")

Job = Callable[..., Awaitable[None]]


def link_job_id(session: SessionId, attempt: int) -> str:
    """The job that serves an attempt: enqueued twice it is one, and its rank is the place in the queue."""
    return f"link:{session}:{attempt}"


def read_link_job_id(job_id: str) -> tuple[SessionId, int] | None:
    """Session and attempt of a job that serves one; None for any other id."""
    found = _LINK_JOB.match(job_id)
    return (SessionId(found[1]), int(found[2])) if found is not None else None


def link_job(session: SessionId) -> dict[str, str | int]:
    """The job for an attempt that a script is about to number, so that the script makes both at once."""
    body = serialize_job("link", (session, 0), {}, None, now_ms(), serializer=_dumps)
    before, _, after = body.rpartition(b"0]")
    return {
        "id": link_job_id(session, 0).removesuffix("0"),
        "before": before.decode(),
        "after": f"]{after.decode()}",
        "kept": expires_extra_ms,
    }


def soon_again(name: str, after: float = 0) -> str:
    """The id of a job that is due `after` seconds from now: two that are due within a few seconds are one.

    The id changes every few seconds, because a worker that is killed inside a job leaves its id taken for half a
    minute. Use it only for jobs that may run twice at once.
    """
    return f"{name}:{(now_ms() + round(after * 1000)) // DEDUPE_MS}"


def _dumps(value: dict[str, Any]) -> bytes:
    # Only failures carry an exception, and nobody reads them back. The type is enough: the text may hold secrets.
    return orjson.dumps(value, default=lambda one: {"error": type(one).__name__})


def client(pool: ConnectionPool) -> ArqRedis:
    """The Redis client of a process: plain commands, and `enqueue`. Bytes, not text."""
    return ServiceRedis(pool_or_conn=pool, job_serializer=_dumps, job_deserializer=orjson.loads)


async def enqueue(
    redis: ArqRedis, queue: str, job: str, *ids: str | int, job_id: str | None = None, after: float = 0
) -> None:
    """Put `job(*ids)` into `queue` and wake its workers. The same `job_id` twice is one job, until it has run. Without
    one, the same job twice within a few seconds is one: see `soon_again`.

    It starts `after` seconds at the earliest. Raises redis' own errors when Redis stays away for longer than the pool's retries.
    """
    name = job_id or soon_again(":".join(map(str, (job, *ids))), after)
    await enqueue_all(redis, queue, job, {name: ids}, after=after)


async def enqueue_all(
    redis: ArqRedis, queue: str, job: str, ids: Mapping[str, Sequence[str | int]], *, after: float = 0
) -> None:
    """Enqueue many jobs of one kind: their ids, and the arguments of each."""
    for some in batches(ids.items()):
        jobs = [told_job(job, *one, job_id=job_id, after=after) for job_id, one in some]
        await wa(redis, "enqueue", names={"queue": queue}, jobs=jobs)


def told_job(job: str, *ids: str | int, job_id: str, after: float = 0) -> dict[str, str | int]:
    return {
        "id": job_id,
        "body": serialize_job(job, ids, {}, None, now_ms(), serializer=_dumps).decode(),
        "delay": round(after * 1000),
        "kept": expires_extra_ms,
    }


async def withdraw(redis: ArqRedis, queue: str, job_id: str) -> None:
    """Take a job back that has not started. A running one goes on."""
    if await redis.zrem(queue, job_id):
        await redis.delete(job_key_prefix + job_id)


arq.worker.timestamp_ms = now_ms  # type: ignore[attr-defined]  # one clock: scores are by Redis'


class QueueWorker(Worker):
    """arq's worker for one of our queues, run inside our own process and stopped by us.

    `free` says how many more jobs may be taken; a queue is not even looked at while it says 0. `beside` is entered with the
    id of a job that was taken, before arq reads the job, and left when that has ended.
    """

    def __init__(
        self,
        queue: str,
        jobs: Sequence[Job],
        redis: ArqRedis,
        *,
        worker: WorkerId,
        free: Callable[[], int] | None = None,
        beside: Callable[[str], AbstractAsyncContextManager[None]] = lambda _: contextlib.nullcontext(),
    ) -> None:
        functions: list[Function] = [func(job, name=job.__name__, keep_result=0) for job in jobs]  # type: ignore[arg-type]
        super().__init__(
            functions,
            queue_name=queue,
            redis_pool=redis,
            handle_signals=False,
            max_jobs=50,
            job_timeout=JOB_TIMEOUT_SECONDS,
            max_tries=MAX_TRIES,
            keep_result=0,
            poll_delay=0,
            health_check_key=f"{keys.queue_worker(worker)}:health",
            job_serializer=_dumps,
            job_deserializer=orjson.loads,
            log_results=False,
        )
        self._free = free
        self._beside = beside
        self._wake = asyncio.Event()
        self._faults = 0
        self._interrupted: set[str] = set()
        self._draining = False
        self._worker = worker
        self.watched = False  # somebody looks at this queue every `IDLE_SECONDS`, and wakes us

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    @property
    def _room(self) -> int:
        most = self.max_jobs if self._free is None else min(self.max_jobs, self._free())
        return most - self.job_counter

    async def main(self) -> None:
        """Look until drained. Arq's own begins with a question to Redis whose failure would end it."""
        self.ctx["redis"] = self.pool
        while not self._draining:
            await self._poll_iteration()
            await asyncio.sleep(0)

    async def _poll_iteration(self) -> None:
        self._wake.clear()  # before reading the queue, else a call in between is lost
        try:
            if interrupted := tuple(self._interrupted):
                await self.pool.delete(*interrupted)
                self._interrupted.difference_update(interrupted)
            for job_id, task in list(self.tasks.items()):
                if task.done():
                    del self.tasks[job_id]
                    task.result()  # a fault of that run: look again after a pause
            await self.start_due()
            await self.heart_beat()
            self._faults = 0
        except TROUBLE as error:
            self._faults += 1
            log.warning("queue.unreachable", queue=self.queue_name, error=type(error).__name__)
            await asyncio.sleep(min(2.0, 0.05 * 2**self._faults))
            return
        await happens(self._wake, ALONE_SECONDS if self.watched else IDLE_SECONDS)

    async def start_due(self) -> None:
        """Take the jobs that are due, as many as there is room for, by one script and by Redis' clock. Arq's own way
        compares with this host's clock, and loses a place, or half a minute, to a connection that breaks."""
        room = self._room
        if room <= 0:
            return
        taken = await wa(
            self.pool,
            "take_jobs",
            names={"queue": self.queue_name},
            room=room,
            look=LOOKED_AT + self.job_counter,
            mark=f"{self._worker}:{secrets.token_hex(8)}",
            worker=self._worker,
            life=int(self.in_progress_timeout_s * 1000),
        )
        for job_id, score in many(taken):
            await self.sem.acquire()  # never waits: there is room
            self.job_counter += 1
            self.tasks[job_id] = task = self.loop.create_task(self._run(job_id, int(score)))
            task.add_done_callback(lambda _: self._release_sem_dec_counter_on_complete())

    async def _run(self, job_id: str, score: int) -> None:
        try:
            async with self._beside(job_id):
                await self.run_job(job_id, score)
        except TROUBLE as error:
            # The job has not begun, or is done and not crossed off: it may run again, without waiting for arq.
            log.warning("job.interrupted", queue=self.queue_name, job=job_id, error=type(error).__name__)
            self._interrupted.add(in_progress_key_prefix + job_id)
            raise

    def _release_sem_dec_counter_on_complete(self) -> None:
        super()._release_sem_dec_counter_on_complete()
        self._wake.set()  # a place is free: look again at once

    async def drain(self, seconds: float) -> None:
        """Take nothing more, give running jobs `seconds`, then cancel them; cancelled jobs stay queued."""
        self._draining = True
        self._wake.set()
        if self.main_task is not None:
            # Not in the middle of taking jobs: nobody would have them until arq's time is over.
            await asyncio.wait([self.main_task], timeout=seconds)
            await cancelled(self.main_task)
        running = [task for task in self.tasks.values() if not task.done()]
        if running:
            await asyncio.wait(running, timeout=seconds)
        for task in running:
            await cancelled(task)
        with contextlib.suppress(*TROUBLE):  # it lapses by itself
            await self.pool.delete(self.health_check_key)
