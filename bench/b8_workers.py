"""B8: 1, 2, 4 workers: linkings a minute with a fake engine, in which the owner takes his time at the phone.

A worker has so many places, and each is taken for as long as a linking lasts: what is measured is whether workers share
one queue without standing in each other's way, and how soon a free place finds its next attempt. It is not what a
processor can do: this machine may have fewer cores than the workers need. The seconds of processor that a linking costs
are told, so that everybody can see how much of the machine was used.
"""

import asyncio
import os
from pathlib import Path

import psutil

from app.access import Access
from app.onboarding import Onboarding
from bench.result import Line
from bench.run import Run
from emulator.client import Emulator
from shared.core.ids import company_id
from shared.jobs.queue import client
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.state.claims import Claims
from shared.state.cooldowns import Cooldowns
from shared.state.snapshots import Snapshots
from tests.e2e.stack import Stack

PLACES = 5
PHONE_SECONDS = 2.0
WORKERS = (1, 2, 4)
BAR = 0.9
FAKE = Path(__file__).with_name("fake")


async def measure(run: Run) -> list[Line]:
    """A minute, or so, for each number of workers."""
    seconds = float(run.rounds(30, 10))
    rates, costs = {}, {}
    async with run.emulator() as emulator:
        for workers in WORKERS:
            rates[workers], costs[workers] = await _rate(run, emulator, workers, seconds)
            run.say(
                f"{workers} workers: {rates[workers]:.0f} linkings/min, {costs[workers] * 1000:.0f} ms of processor"
            )
    cores = os.cpu_count()
    ideal = PLACES * 60 / PHONE_SECONDS
    note = f"{PLACES} places each, {PHONE_SECONDS:g} s at the phone; at most {ideal:.0f}"
    lines = [Line("1 worker", rates[1], "/min", note=note)]
    for workers in WORKERS[1:]:
        share = rates[workers] / (workers * rates[1])
        lines.append(Line(f"{workers} workers", rates[workers], "/min", note=f"{cores} cores"))
        lines.append(Line(f"{workers} workers: of linear", share, "x", bar=BAR, at_least=True))
    lines.append(Line("processor time of a linking, all processes", costs[1] * 1000, "ms"))
    return lines


async def _rate(run: Run, emulator: Emulator, workers: int, seconds: float) -> tuple[float, float]:
    """Linkings a minute, and seconds of processor for each."""
    with run.redis() as redis:
        stack = Stack(emulator, redis, run.place())
        stack.environment |= {
            "PYTHONPATH": str(FAKE),
            "WA_BENCH_PHONE_SECONDS": str(PHONE_SECONDS),
            "MAX_ATTEMPTS": str(PLACES),
            "MAX_SESSIONS": "1000",
        }
        try:
            for _ in range(workers):
                await stack.start_worker()
            backlog = int(workers * PLACES * (seconds + 15) / PHONE_SECONDS)
            await _click(stack, redis, backlog)
            await asyncio.sleep(6)
            before, spent = await _linked(stack), _processor(stack)
            await asyncio.sleep(seconds)
            linked, used = await _linked(stack) - before, _processor(stack) - spent
            assert await stack.redis.zcard("arq:queue:linking") > 0, "the queue ran dry"
        finally:
            await stack.close()
    return linked * 60 / seconds, used / max(linked, 1)


async def _click(stack: Stack, redis_url: str, count: int) -> None:
    """So many companies ask for a QR, as web asks."""
    given = {"redis_url": redis_url, "secret_key": stack.environment["SECRET_KEY"]}
    settings = Settings(**given, api_keys=stack.environment["API_KEYS"])  # type: ignore[arg-type]
    redis = client(redis_pool.pool(settings))
    access = Access(settings, redis)
    cooldowns = Cooldowns(redis, settings.secret_key)
    onboarding = Onboarding(redis, Snapshots(redis), Claims(redis), cooldowns, region="RU")
    for number in range(count):
        link = access.new_link(company_id(f"many-{number}"), ttl_seconds=3600, company_name="Aurora")
        await onboarding.request_qr(link)
    await redis.aclose(close_connection_pool=True)


async def _linked(stack: Stack) -> int:
    stats = await stack.redis.hgetall("wa:stats")  # type: ignore[misc]
    return sum(int(value) for name, value in stats.items() if name.startswith(b"linked{"))


def _processor(stack: Stack) -> float:
    """Seconds that the workers' processes have used, those that have ended included."""
    total = 0.0
    for worker in stack.workers:
        for process in (psutil.Process(worker.pid), *worker.children()):
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total
