"""Growth of cost: `python -m bench.growth [--only workers,sessions,fleet,costs] [--quick]`. Half an hour; keeps bench/growth.json.

* **workers**: 1 to 8, with engines that only pretend, as B8; and with as many places as the machine can serve.
* **sessions**: 10 to 1,000 on one worker, with the unmodified library, idle.
* **fleet**: 100 to 10,000 sessions with engines that only pretend, on a real Redis and Postgres, as B14.
* **costs**: of an onboarding and of a text, with the unmodified library and a real Postgres: processor and commands.

docs/performance.md and its figures are drawn from what is kept.
"""

import argparse
import asyncio
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

import docs.generate
from app.local import redis as local_redis
from bench import b8_workers, figures, machine, memory, processor
from bench.crowd import Crowd
from bench.postgres import Postgres, binaries
from bench.run import Run
from tests.e2e.stack import Stack
from tests.world import fleet as world
from workers.report import processes

RESULTS = Path(__file__).with_name("growth.json")
SETTLE_SECONDS = 15.0
STRANGER = "79990000077"

Point = dict[str, float]


async def workers(run: Run) -> list[Point]:
    """Linkings a minute, and what each costs."""
    points = []
    seconds = float(run.rounds(30, 8))
    async with run.emulator() as emulator:
        for count, places in ((1, 5), (2, 5), (4, 5), (8, 5), (8, 20)):
            found = await b8_workers.rate(run, emulator, count, seconds, places)
            points.append({"workers": count, "places": places, **asdict(found)})
    return points


async def sessions(run: Run) -> list[Point]:
    """One worker, and what it takes at rest."""
    points = []
    for count in (10, 100, 300, 1000) if not run.quick else (5, 20):
        fleet = await run.fleet(count)
        with local_redis.running(run.place()) as redis:
            stack = Stack(fleet.emulator, redis.url, fleet.data(count, run.place()))
            stack.environment["MAX_SESSIONS"] = "1000"
            empty = (await stack.redis.info("memory"))["used_memory"]
            try:
                began = time.monotonic()
                await stack.start_worker()
                held = world.Fleet(stack, numbers=fleet.numbers(count))
                await held.all_logged_in(0, seconds=300)
                took = time.monotonic() - began
                await asyncio.sleep(SETTLE_SECONDS)
                family = processes(stack.worker.pid)
                before, spent, quiet = await stack.redis.info(), processor.seconds(stack.worker.pid), time.monotonic()
                await asyncio.sleep(run.rounds(60, 10))
                after, passed = await stack.redis.info(), time.monotonic() - quiet
                points.append(
                    {
                        "sessions": count,
                        "started_seconds": took,
                        "worker_mb": memory.family(stack.worker.pid)[0].own,
                        "processes": len(family),
                        "descriptors": sum(psutil.Process(one).num_fds() for one in family),
                        "threads": sum(psutil.Process(one).num_threads() for one in family),
                        "worker_processor": (processor.seconds(stack.worker.pid) - spent) / passed,
                        "redis_commands": (after["total_commands_processed"] - before["total_commands_processed"])
                        / passed,
                        "redis_mb": (after["used_memory"] - empty) / 2**20,
                    }
                )
            finally:
                await stack.close()
        run.say(f"{count} sessions: {points[-1]['worker_mb']:.0f} MB")
    return points


async def fleet(run: Run) -> list[Point]:
    """Many workers at rest."""
    points = []
    for count in (100, 1_000, 10_000) if not run.quick else (20, 200):
        async with Crowd.running(run, count) as crowd:
            taken = await crowd.take_up()
            rest = await crowd.rest(run.rounds(60, 10))
            points.append({"sessions": count, "workers": len(crowd.stack.workers), "taken_up": taken, **asdict(rest)})
        run.say(f"{count} sessions: {rest.redis_processor * 100:.1f} % of a core in Redis")
    return points


async def costs(run: Run) -> list[dict[str, Any]]:
    """Milliseconds of processor for one onboarding by QR, one text out and one text in, beyond what passes at rest."""
    found = binaries()
    if found is None:
        pytest.skip("NO POSTGRESQL on this machine")
    companies, texts = run.rounds(40, 6), run.rounds(25, 5)
    points: list[dict[str, Any]] = []
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

        async def look() -> Point:
            spent = {name: processor.seconds(pid) * 1000 for name, pid in pids.items()}
            commands = (await service.redis.info("stats"))["total_commands_processed"]
            return {**spent, "commands": commands, "seconds": time.monotonic()}

        async def passed(work: Awaitable[object]) -> Point:
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
        await asyncio.sleep(SETTLE_SECONDS)
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
            await asyncio.sleep(SETTLE_SECONDS)
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


PARTS: dict[str, Callable[[Run], Awaitable[list[Any]]]] = {
    "workers": workers,
    "sessions": sessions,
    "fleet": fleet,
    "costs": costs,
}


async def _measured(names: list[str], run: Run) -> dict[str, Any]:
    """All that could be measured; a part that fails leaves the others as they are."""
    found = {}
    try:
        for name in names:
            run.say(name)
            of = machine.described()
            try:
                found[name] = {"of": of, "points": await PARTS[name](run)}
            except Exception as raised:  # noqa: BLE001 - it is told, and the exit code says it
                traceback.print_exception(raised)
                await run.forget_fleet()
            except pytest.skip.Exception as why:  # of the tests' own helpers
                run.say(f"SKIPPED: {why}")
    finally:
        await run.forget_fleet()
    return found


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), metavar="workers,costs", help="these parts")
    parser.add_argument("--quick", action="store_true", help="small numbers: whether it works")
    asked = parser.parse_args()
    names = [name.strip() for name in asked.only.split(",") if name.strip()]
    if unknown := set(names) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    with machine.clean() as (folder, left):
        found = asyncio.run(_measured(names, Run(asked.quick, full=False, folder=folder)))
    if asked.quick:
        print(json.dumps(found, indent=1))
    else:
        kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        kept |= found
        RESULTS.write_text(json.dumps({one: kept[one] for one in PARTS if one in kept}, indent=1) + "\n")
        figures.draw_growth(kept)
        docs.generate.write()
    return 1 if left or found.keys() != set(names) else 0


if __name__ == "__main__":
    sys.exit(main())
