"""Workers with engines that only pretend (bench/fake), on a real Redis and a real Postgres: a fleet without WhatsApp's part.

Every session is registered before anybody holds it, as after a long night. A worker carries 150, as on 512 MB.
"""

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from app.local import redis as local_redis
from app.local.redis import LocalRedis
from bench import memory, processor
from bench.postgres import Postgres, binaries
from bench.run import Run
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.jobs.queue import client, enqueue, soon_again
from shared.state.lease import Leases
from tests.e2e.stack import Stack
from tests.waiting import until
from workers.sweeper import REST_MS

FAKE = Path(__file__).with_name("fake")
EACH = 150
STARTED_AT_ONCE = 4
SECONDS = 600.0
WEIGHED = 5
_KEYS = """
INSERT INTO whatsmeow_device (jid, registration_id, noise_key, identity_key, signed_pre_key, signed_pre_key_id,
  signed_pre_key_sig, adv_key, adv_details, adv_account_sig, adv_account_sig_key, adv_device_sig)
SELECT '79' || lpad(n::text, 9, '0') || ':1@s.whatsapp.net', 1, zero, zero, zero, 1, zero || zero, '', '', zero || zero, zero,
  zero || zero FROM generate_series(0, $1 - 1) AS n, (SELECT decode(repeat('00', 32), 'hex') AS zero) AS key
"""
_REGISTRY = """
INSERT INTO wa_devices (session, jid, linked_at)
SELECT 'company_crowd-' || split_part(substring(jid FROM 3), ':', 1)::int, jid, $1 FROM whatsmeow_device
"""


@dataclass(frozen=True, slots=True)
class Rest:
    """A fleet at rest. Processor in shares of a core, traffic of Redis in KB a second, memory in MB."""

    redis_processor: float
    redis_commands: float
    redis_traffic: float
    redis_connections: int
    redis_mb: float
    postgres_processor: float
    postgres_connections: int
    worker_processor: float
    worker_mb: float


class Crowd:
    """So many workers, and the sessions that they hold."""

    def __init__(self, stack: Stack, redis: LocalRedis, postgres: Postgres, database: str, sessions: int) -> None:
        self.stack = stack
        self.sessions = [SessionId(f"company_crowd-{number}") for number in range(sessions)]
        self._redis, self._postgres, self._database = redis, postgres, database
        self._seen: dict[int, int] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, run: Run, sessions: int) -> AsyncIterator["Crowd"]:
        """Workers enough for the sessions, which hold none yet. Skips where there is no PostgreSQL."""
        found = binaries()
        if found is None:
            pytest.skip("NO POSTGRESQL on this machine")
        workers = -(-sessions // EACH)
        postgres = Postgres(found)
        async with AsyncExitStack() as stack:
            stack.callback(postgres.remove)
            postgres.create()
            postgres.start(f"max_connections={100 + workers * 8}")
            database = await postgres.database()
            redis = stack.enter_context(local_redis.running(run.place()))
            emulator = await stack.enter_async_context(run.emulator())
            service = Stack(emulator, redis.url, run.place())
            stack.push_async_callback(service.close)
            service.environment |= {
                "PYTHONPATH": str(FAKE),
                "DATABASE_URL": postgres.url(database),
                "MAX_SESSIONS": str(EACH + EACH // 10),
                "MAX_ATTEMPTS": "5",
            }
            places = asyncio.Semaphore(STARTED_AT_ONCE)

            async def start() -> None:
                async with places:
                    await service.start_worker()

            crowd = cls(service, redis, postgres, database, sessions)
            stack.push_async_callback(crowd._kill)
            await start()  # it makes the tables
            await asyncio.gather(*(start() for _ in range(workers - 1)))
            run.say(f"{workers} workers have started")
            yield crowd

    async def take_up(self) -> float:
        """Register the sessions, and call for a sweep, as every worker does that starts; seconds until all are held."""
        await self._postgres.query(_KEYS, len(self.sessions), database=self._database)
        await self._postgres.query(_REGISTRY, now_ms() - keys.DAY, database=self._database)
        self._mark()
        began = time.monotonic()
        queue = client(self.stack.redis.connection_pool)
        await enqueue(queue, keys.QUEUE_SESSIONS, "sweep", job_id=soon_again("sweep"))
        await self._all_logged_in()
        return time.monotonic() - began

    async def lapse(self) -> tuple[float, float, float]:
        """Stop every worker until all heartbeats have lapsed, and wake them; seconds until all sessions are owned again, until
        they are held again, and of processor that workers and Redis took for it. The engines have died meanwhile: they live
        by their worker's word."""
        ids = [WorkerId((await one.said("worker.started"))["worker"]) for one in self.stack.workers]
        for one in self.stack.workers:
            os.kill(one.pid, signal.SIGSTOP)
        await until(lambda: self._none_lives(ids), seconds=30)
        self._mark()
        pids = [self._redis.pid, *(one.pid for one in self.stack.workers)]
        began, spent = time.monotonic(), sum(map(processor.seconds, pids))
        await self._wake()
        held = asyncio.create_task(self._all_logged_in())
        await self._all_owned()
        owned = time.monotonic() - began
        await held
        return owned, time.monotonic() - began, sum(map(processor.seconds, pids)) - spent

    async def emptied(self) -> float:
        """Empty Redis; seconds until all sessions are owned again."""
        began = time.monotonic()
        await self.stack.redis.flushall()
        await self._all_owned()
        return time.monotonic() - began

    async def rest(self, seconds: float) -> Rest:
        """Look on for so long while nothing happens. A minute begins when a sweep has ended: so one comes in it, and never two."""
        if seconds * 1000 > REST_MS:
            await until(self._has_swept, seconds=90)
        workers = [one.pid for one in self.stack.workers]
        assert self._postgres.process is not None
        pids = {"redis": [self._redis.pid], "postgres": [self._postgres.process.pid], "workers": workers}
        spent = {name: -sum(map(processor.seconds, some)) for name, some in pids.items()}
        before, began = await self.stack.redis.info(), time.monotonic()
        await asyncio.sleep(seconds)
        after, took = await self.stack.redis.info(), time.monotonic() - began
        spent = {name: (sum(map(processor.seconds, pids[name])) + one) / took for name, one in spent.items()}
        weighed = workers[:: max(1, len(workers) // WEIGHED)]

        def each_second(*names: str) -> float:
            return float(sum(after[name] - before[name] for name in names)) / took

        return Rest(
            redis_processor=spent["redis"],
            redis_commands=each_second("total_commands_processed"),
            redis_traffic=each_second("total_net_input_bytes", "total_net_output_bytes") / 1024,
            redis_connections=after["connected_clients"] - 1,  # but ours
            redis_mb=after["used_memory"] / 2**20,
            postgres_processor=spent["postgres"],
            postgres_connections=await self._postgres.connections(self._database),
            worker_processor=spent["workers"] / len(workers),
            worker_mb=sum(memory.family(one)[0].own for one in weighed) / len(weighed),
        )

    async def _has_swept(self) -> bool:
        return int(await self.stack.redis.pttl(keys.SWEPT)) > REST_MS - 500

    async def _none_lives(self, ids: list[WorkerId]) -> bool:
        return not await self.stack.redis.exists(*(keys.alive(one) for one in ids))

    async def _wake(self) -> None:
        for one in self.stack.workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one.pid, signal.SIGCONT)

    async def _kill(self) -> None:
        """All at once: whoever stops in order hands over to those who stop next."""
        for worker in self.stack.workers:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(worker.pid)
                family = [process, *process.children(recursive=True)]
                for one in family:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        one.kill()
        await asyncio.gather(*(worker.ended() for worker in self.stack.workers))

    def _mark(self) -> None:
        self._seen = {one.pid: one.said_so_far for one in self.stack.workers}

    async def _all_logged_in(self) -> None:
        """Read each line once: to look takes from what is measured, on the same cores."""
        those: set[str] = set()
        async with asyncio.timeout(SECONDS):
            while len(those) < len(self.sessions):
                await asyncio.sleep(0.2)
                for one in self.stack.workers:
                    news = one.said_so_far - self._seen.get(one.pid, 0)
                    self._seen[one.pid] = one.said_so_far
                    lines = itertools.islice(reversed(one.lines), news)
                    those.update(line["session"] for line in lines if line["event"] == "session.logged-in")

    async def _all_owned(self) -> None:
        """Look at those again that had no owner, and then at all: to look takes from what is measured, on the same cores."""
        without = self.sessions
        async with asyncio.timeout(SECONDS):
            while without := await self._unowned(without) or await self._unowned(self.sessions):
                await asyncio.sleep(0.2)

    async def _unowned(self, sessions: list[SessionId]) -> list[SessionId]:
        owners = await Leases(self.stack.redis).owners(sessions)
        return [one for one, owner in zip(sessions, owners, strict=True) if owner is None]
