"""All our contact with arq: the codec, enqueueing, and a worker that wakes at once and survives Redis' faults.

arq is in maintenance mode and pinned exactly; each override below has a test that fails without it (docs/adr).
Job arguments are ids only, because arq logs them.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
import structlog
from arq.connections import ArqRedis
from arq.constants import expires_extra_ms, in_progress_key_prefix, job_key_prefix
from arq.jobs import serialize_job
from arq.worker import Function, Worker, func
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.tasks import cancelled

log = structlog.get_logger()

IDLE_SECONDS = 5.0
"""How often a queue is looked at when nobody calls: bounds the harm of a lost wake-up."""
ALONE_SECONDS = 12 * IDLE_SECONDS
"""The same for a queue that is looked at together with the others of its process: only should that fail."""
JOB_TIMEOUT_SECONDS = 20
"""Jobs are short commands. After a crash arq waits this long (and 10 s) before it runs one again."""
MAX_TRIES = 5
"""A job that Redis interrupts is run again after 1, 2, 4 and 8 s; so is one whose worker dies."""
DEDUPE_MS = 2_000

SKEW_MS = 1000
"""A job that is due now is dated back by this much: a worker whose clock is late would otherwise not see it when it is
called, and find it only when it next looks by itself."""

Job = Callable[..., Awaitable[None]]

#: Puts a job into its queue unless it is there already, and wakes its workers. `kept`: ms that it is kept when it is due.
#: As a script, not as arq's WATCH and EXEC: when a connection breaks between these, arq takes the job for enqueued.
LUA_ENQUEUE = """
local function enqueue(job_key, queue, id, body, delay, kept, channel)
  if redis.call('EXISTS', job_key) == 0 then
    local time = redis.call('TIME')
    local due = time[1] * 1000 + math.floor(time[2] / 1000) + delay
    redis.call('SET', job_key, body, 'PX', math.max(delay, 0) + kept)
    redis.call('ZADD', queue, due, id)
  end
  redis.call('PUBLISH', channel, '1')
end
-- The job that serves an attempt which the script itself has just numbered. `job`: see link_job().
local function enqueue_link(queue, attempt, job)
  local key, id, before, after, delay, kept, channel = unpack(job)
  enqueue(key .. attempt, queue, id .. attempt, before .. attempt .. after, delay, kept, channel)
end
"""

# KEYS job, queue   ARGV id, body, ms until it is due, ms that it is kept beyond, channel
_ENQUEUE = LUA_ENQUEUE + "enqueue(KEYS[1], KEYS[2], unpack(ARGV))"


def link_job_id(session: SessionId, attempt: int) -> str:
    """The job that serves an attempt: enqueued twice it is one, and its rank is the place in the queue."""
    return f"link:{session}:{attempt}"


def link_job(session: SessionId) -> list[str | bytes | int]:
    """What LUA_ENQUEUE's `enqueue_link` must know, so that an attempt and its job come into being together."""
    job_id = link_job_id(session, 0).removesuffix("0")
    body = serialize_job("link", (session, 0), {}, None, now_ms(), serializer=_dumps)
    before, _, after = body.rpartition(b"0]")
    return [
        job_key_prefix + job_id,
        job_id,
        before,
        b"]" + after,
        -SKEW_MS,
        expires_extra_ms,
        keys.wake(keys.QUEUE_LINKING),
    ]


def soon_again(name: str, after: float = 0) -> str:
    """The id of a job that is due `after` seconds from now: two that are due within a few seconds are one.

    For a few seconds only: a worker that is killed inside a job leaves its id taken for half a minute, which nobody
    shall wait for. So only for jobs that may run twice at once.
    """
    return f"{name}:{(now_ms() + round(after * 1000)) // DEDUPE_MS}"


def _dumps(value: dict[str, Any]) -> bytes:
    # Only failures carry an exception, and nobody reads them back: their type is enough, their text may hold secrets.
    return orjson.dumps(value, default=lambda one: {"error": type(one).__name__})


def _loads(value: bytes) -> dict[str, Any]:
    loaded: dict[str, Any] = orjson.loads(value)
    return loaded


def client(pool: ConnectionPool) -> ArqRedis:
    """The Redis client of a process: plain commands, and `enqueue`. Bytes, not text."""
    return ArqRedis(pool_or_conn=pool, job_serializer=_dumps, job_deserializer=_loads)


async def enqueue(redis: ArqRedis, queue: str, job: str, *ids: str | int, job_id: str, after: float = 0) -> None:
    """Put `job(*ids)` into `queue` and wake its workers. The same `job_id` twice is one job, until it has run.

    It starts `after` seconds at the earliest. Raises redis' own errors when Redis stays away for longer than the pool's retries.
    """
    body = serialize_job(job, ids, {}, None, now_ms(), serializer=_dumps)
    delay = round(after * 1000) if after else -SKEW_MS
    await redis.register_script(_ENQUEUE)(
        keys=[job_key_prefix + job_id, queue],
        args=[job_id, body, delay, expires_extra_ms, keys.wake(queue)],
    )


async def withdraw(redis: ArqRedis, queue: str, job_id: str) -> None:
    """Take a job back that has not started; a running one is not touched."""
    if await redis.zrem(queue, job_id):
        await redis.delete(job_key_prefix + job_id)


# KEYS in progress, queue   ARGV job, this try's mark, ms, now
# Takes a job that is due and that nobody runs; its score, or nothing. Said twice with one mark, it does it once.
_TAKE = """
local mark, score = redis.call('GET', KEYS[1]), redis.call('ZSCORE', KEYS[2], ARGV[1])
if not score or tonumber(score) > tonumber(ARGV[4]) or (mark and mark ~= ARGV[2]) then return false end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return score
"""


class QueueWorker(Worker):
    """arq's worker for one of our queues, run inside our own process and stopped by us.

    `free` says how many more jobs may be taken; a queue is not even looked at while it says 0.
    """

    def __init__(
        self,
        queue: str,
        jobs: Sequence[Job],
        redis: ArqRedis,
        *,
        worker: WorkerId,
        free: Callable[[], int] | None = None,
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
            job_deserializer=_loads,
            log_results=False,
        )
        self._free = free
        self._wake = asyncio.Event()
        self._faults = 0
        self._interrupted: set[str] = set()
        self._take = redis.register_script(_TAKE)
        self.watched = False  # somebody looks at this queue every `IDLE_SECONDS`, and wakes us

    def wake(self) -> None:
        """Look at the queue now."""
        self._wake.set()

    def _room(self) -> bool:
        return self._free is None or self._free() > self.job_counter

    async def main(self) -> None:
        """Look until cancelled. Arq's own begins with a question to Redis whose failure would end it."""
        self.ctx["redis"] = self.pool
        while True:
            await self._poll_iteration()
            await asyncio.sleep(0)

    async def _poll_iteration(self) -> None:
        self._wake.clear()  # before reading the queue, else a call in between is lost
        self.allow_pick_jobs = self._room()
        try:
            if interrupted := tuple(self._interrupted):
                await self.pool.delete(*interrupted)
                self._interrupted.difference_update(interrupted)
            await super()._poll_iteration()
            self._faults = 0
        except (RedisError, OSError, TimeoutError) as error:
            self._faults += 1
            log.warning("queue.unreachable", queue=self.queue_name, error=type(error).__name__)
            await asyncio.sleep(min(2.0, 0.05 * 2**self._faults))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ALONE_SECONDS if self.watched else IDLE_SECONDS):
                await self._wake.wait()

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """Take jobs one by one, each by one script. Arq's WATCH and EXEC would lose a place, or half a minute, to a
        connection that breaks in between."""
        for job_id in (one.decode() for one in job_ids):
            if self.job_counter >= self.max_jobs or not self._room():
                return
            if (earlier := self.tasks.get(job_id)) is not None and earlier.done():
                del self.tasks[job_id]
                earlier.result()  # a fault of that run: look again after a pause
            score = await self._take(
                keys=[in_progress_key_prefix + job_id, self.queue_name],
                args=[job_id, secrets.token_hex(8), int(self.in_progress_timeout_s * 1000), now_ms()],
            )
            if score is not None:
                await self.sem.acquire()
                self.job_counter += 1
                self.tasks[job_id] = task = self.loop.create_task(self._run(job_id, int(score)))
                task.add_done_callback(lambda _: self._release_sem_dec_counter_on_complete())

    async def _run(self, job_id: str, score: int) -> None:
        try:
            await self.run_job(job_id, score)
        except (RedisError, OSError, TimeoutError) as error:
            # Not begun, or done and not crossed off: either way it may run again, and need not wait for arq's time.
            log.warning("job.interrupted", queue=self.queue_name, job=job_id, error=type(error).__name__)
            self._interrupted.add(in_progress_key_prefix + job_id)
            raise

    def _release_sem_dec_counter_on_complete(self) -> None:
        super()._release_sem_dec_counter_on_complete()
        self._wake.set()  # a place is free: look again at once

    async def drain(self, seconds: float) -> None:
        """Take nothing more, give running jobs `seconds`, then cancel them; cancelled jobs stay queued."""
        if self.main_task is not None:
            await cancelled(self.main_task)
        running = [task for task in self.tasks.values() if not task.done()]
        if running:
            await asyncio.wait(running, timeout=seconds)
        for task in running:
            await cancelled(task)
        with contextlib.suppress(RedisError, OSError):  # it lapses by itself
            await self.pool.delete(self.health_check_key)
