"""B8: 1, 2, 4 workers: linkings a minute with a fake engine, in which the owner takes his time at the phone.

A worker has so many places, and each is taken for as long as a linking lasts: what is measured is whether workers share
one queue without standing in each other's way, and how soon a free place finds its next attempt. It is not what a
processor can do: this machine may have fewer cores than the workers need. The seconds of processor that a linking costs
are told, so that everybody can see how much of the machine was used.
"""

import asyncio
import os
from dataclasses import dataclass

from app.access import Access
from app.local import redis as local_redis
from app.onboarding import Onboarding
from bench import processor
from bench.crowd import FAKE
from bench.result import Line
from bench.run import Run
from emulator.client import Emulator
from shared.core.ids import company_id
from shared.jobs.queue import client
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.state.claims import Claims
from shared.state.cooldowns import Cooldowns
from tests.e2e.stack import Stack

PLACES = 5
PHONE_SECONDS = 2.0
WORKERS = (1, 2, 4)
BAR = 0.9


@dataclass(frozen=True, slots=True)
class Rate:
    """Linkings a minute, and what each takes: ms of processor of the workers and of Redis, and commands in Redis."""

    per_minute: float
    worker_ms: float
    redis_ms: float
    commands: float


async def measure(run: Run) -> list[Line]:
    """Half a minute, or so, for each number of workers."""
    seconds = float(run.rounds(20, 5))
    rates: dict[int, Rate] = {}
    async with run.emulator() as emulator:
        for workers in WORKERS:
            rates[workers] = await rate(run, emulator, workers, seconds)
    lines = []
    for workers, found in rates.items():
        note = f"{PLACES} places each, {PHONE_SECONDS:g} s at the phone; at most {PLACES * 60 / PHONE_SECONDS:.0f}"
        alone = workers == WORKERS[0]
        what = f"{workers} worker" + ("" if alone else "s")
        lines.append(Line(what, found.per_minute, "/min", note=note if alone else f"{os.cpu_count()} cores"))
        if not alone:
            share = found.per_minute / (workers * rates[WORKERS[0]].per_minute)
            lines.append(Line(f"{what}: of linear", share, "x", bar=BAR, at_least=True))
    lines.append(Line("processor time of a linking, all processes", rates[WORKERS[0]].worker_ms, "ms"))
    return lines


async def rate(run: Run, emulator: Emulator, workers: int, seconds: float, places: int = PLACES) -> Rate:
    """So many workers with so many places, and a queue that never runs dry."""
    with local_redis.running(run.place()) as redis:
        stack = Stack(emulator, redis.url, run.place())
        stack.environment |= {
            "PYTHONPATH": str(FAKE),
            "WA_BENCH_PHONE_SECONDS": str(PHONE_SECONDS),
            "MAX_ATTEMPTS": str(places),
            "MAX_SESSIONS": "1000",
        }

        async def look() -> tuple[float, ...]:
            spent = sum(processor.seconds(one.pid) for one in stack.workers)
            commands = (await stack.redis.info("stats"))["total_commands_processed"]
            return await _linked(stack), spent * 1000, processor.seconds(redis.pid) * 1000, commands

        try:
            for _ in range(workers):
                await stack.start_worker()
            await _click(stack, redis.url, int(workers * places * (seconds + 15) / PHONE_SECONDS))
            await run.settle(6.0)
            before = await look()
            await asyncio.sleep(seconds)
            linked, *costs = (now - one for now, one in zip(await look(), before, strict=True))
            assert await stack.redis.zcard("arq:queue:linking") > 0, "the queue ran dry"
        finally:
            await stack.close()
    found = Rate(linked * 60 / seconds, *(one / max(linked, 1) for one in costs))
    run.say(f"{workers} workers: {found.per_minute:.0f} linkings/min, {found.worker_ms:.0f} ms of processor")
    return found


async def _click(stack: Stack, redis_url: str, count: int) -> None:
    """So many companies ask for a QR, as web asks."""
    given = {"redis_url": redis_url, "secret_key": stack.environment["SECRET_KEY"]}
    settings = Settings(**given, api_keys=stack.environment["API_KEYS"])  # type: ignore[arg-type]
    redis = client(redis_pool.pool(settings))
    access = Access(settings)
    cooldowns = Cooldowns(redis, settings.secret_key)
    onboarding = Onboarding(redis, Claims(redis, most_waiting=count), cooldowns, region="RU")
    for number in range(count):
        link = access.new_link(company_id(f"many-{number}"), ttl_seconds=3600, company_name="Aurora")
        await onboarding.request_qr(link)
    await redis.aclose(close_connection_pool=True)


async def _linked(stack: Stack) -> int:
    stats = await stack.redis.hgetall("wa:stats")  # type: ignore[misc]
    return sum(int(value) for name, value in stats.items() if name.startswith(b"linked{"))
