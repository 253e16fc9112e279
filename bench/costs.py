"""Costs of an onboarding and a text, in processor time and commands; a part of `python -m bench.growth`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.local import redis as local_redis
from bench import processor
from bench.postgres import Postgres, binaries
from bench.run import Run
from tests.e2e.stack import Stack
from tests.world import fleet as world

SETTLE_SECONDS = 15.0
STRANGER = "79990000077"

Point = dict[str, Any]


async def measure(run: Run, _: Point) -> list[Point]:
    """Milliseconds of processor for one onboarding by QR, one text out and one text in, beyond what passes at rest."""
    found = binaries()
    if found is None:
        pytest.skip("NO POSTGRESQL on this machine")
    companies, texts = run.rounds(40, 6), run.rounds(25, 5)
    points: list[Point] = []
    postgres = Postgres(found)
    async with AsyncExitStack() as stack:
        stack.callback(postgres.remove)
        postgres.create()
        postgres.start()
        redis = stack.enter_context(local_redis.running(run.place()))
        emulator = await stack.enter_async_context(run.emulator())
        database = postgres.url(await postgres.database())
        service = await stack.enter_async_context(
            Stack.running(emulator, redis.url, run.place(), DATABASE_URL=database, MAX_RATE="0")
        )
        assert postgres.process is not None
        pids = {"redis": redis.pid, "postgres": postgres.process.pid, "web": service.web.pid}
        pids["worker"] = service.worker.pid
        held = world.Fleet(service)
        friend = emulator.phone(STRANGER)

        async def look() -> dict[str, float]:
            spent = {name: processor.seconds(pid) * 1000 for name, pid in pids.items()}
            commands = (await service.redis.info("stats"))["total_commands_processed"]
            return {**spent, "commands": commands, "seconds": time.monotonic()}

        async def passed(work: Awaitable[object]) -> dict[str, float]:
            before = await look()
            await work
            return {name: now - before[name] for name, now in (await look()).items()}

        async def out(rounds: int, what: str) -> None:
            for number in range(rounds):
                await held.send_each(f"{what} {number}")
                await held.has_arrived(f"{what} {number}", seconds=120)

        async def into(rounds: int) -> None:
            for number in range(rounds):
                await asyncio.gather(*(friend.say(phone, f"in {number}") for phone in held.numbers))

        await held.link(4)  # warms everything up
        await run.settle(SETTLE_SECONDS)
        rest = await passed(asyncio.sleep(run.rounds(30, 10)))
        each: dict[str, tuple[int, Callable[[], Awaitable[object]]]] = {
            "onboarding by QR": (companies, lambda: held.link(companies)),
            "text out": (texts, lambda: out(texts, "out")),
            "text in": (texts, lambda: _and_rest(into(texts), 5)),
        }
        for what, (count, work) in each.items():
            if what == "text out":
                await out(2, "known")
            if what == "text in":
                await into(2)
            await run.settle(SETTLE_SECONDS)
            took = await passed(work())
            done = count * (1 if what.startswith("onboarding") else len(held.numbers))
            share = took.pop("seconds") / rest["seconds"]
            points.append(
                {"what": what, "count": done, **{k: max(0.0, v - rest[k] * share) / done for k, v in took.items()}}
            )
            run.say(f"{what}: {points[-1]['worker']:.1f} ms of the worker")
    return points


async def _and_rest(work: Awaitable[object], seconds: float) -> None:
    await work
    await asyncio.sleep(seconds)
