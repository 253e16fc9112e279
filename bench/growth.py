"""Growth of cost: `python -m bench.growth [--only workers,sessions,fleet,costs] [--missing] [--quick]`. Most of an hour.

* **workers**: 1 to 8, with engines that only pretend, as B8; and with as many places as the machine can serve.
* **sessions**: 10 to 1,000 on one worker, with the unmodified library, idle.
* **fleet**: 100 to 10,000 sessions with engines that only pretend, on a real Redis and Postgres. B14 keeps its own there as well.
* **costs**: of an onboarding and of a text, with the unmodified library and a real Postgres: processor and commands.

Each point is kept in bench/growth.json as soon as it is measured, the small ones first; `--missing` leaves out those that are
younger than a day, and so goes on where a run was stopped. A point that takes longer than half an hour is given up, and the
others are measured all the same. docs/performance.md and its figures are drawn from what is kept.

Most of what is kept are counts, processor time and memory, which a busy machine hardly changes; each point tells the load
beside which it was measured. Linkings a minute and seconds until all are online are waits: they want a quiet machine.
"""

import argparse
import asyncio
import datetime
import json
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import docs.generate
from app.local import redis as local_redis
from bench import b8_workers, costs, figures, machine, memory, processor
from bench.crowd import Crowd, Rest
from bench.run import Run
from tests.e2e.stack import Stack
from tests.world import fleet as world
from workers.report import processes

RESULTS = Path(__file__).with_name("growth.json")
SETTLE_SECONDS = 15.0
POINT_SECONDS = 1800.0
"""The longest, 1,000 sessions that must be linked first, takes ten minutes on a quiet machine."""
FRESH = datetime.timedelta(days=1)

Point = dict[str, Any]


async def workers(run: Run, asked: Point) -> list[Point]:
    """Linkings a minute, and what each costs."""
    async with run.emulator() as emulator:
        seconds = float(run.rounds(30, 8))
        return [asdict(await b8_workers.rate(run, emulator, asked["workers"], seconds, asked["places"]))]


async def sessions(run: Run, asked: Point) -> list[Point]:
    """One worker, and what it takes at rest."""
    count = asked["sessions"]
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
            await run.settle(SETTLE_SECONDS)
            family = processes(stack.worker.pid)
            before, spent, quiet = await stack.redis.info(), processor.seconds(stack.worker.pid), time.monotonic()
            await asyncio.sleep(run.rounds(60, 10))
            after, passed = await stack.redis.info(), time.monotonic() - quiet
            commands = after["total_commands_processed"] - before["total_commands_processed"]
            return [
                {
                    "started_seconds": took,
                    "worker_mb": memory.family(stack.worker.pid)[0].own,
                    "processes": len(family),
                    "descriptors": sum(psutil.Process(one).num_fds() for one in family),
                    "threads": sum(psutil.Process(one).num_threads() for one in family),
                    "worker_processor": (processor.seconds(stack.worker.pid) - spent) / passed,
                    "redis_commands": commands / passed,
                    "redis_mb": (after["used_memory"] - empty) / 2**20,
                }
            ]
        finally:
            await stack.close()


async def fleet(run: Run, asked: Point) -> list[Point]:
    """Many workers at rest."""
    async with Crowd.running(run, asked["sessions"]) as crowd:
        taken = await crowd.take_up()
        rest = await crowd.rest(run.rounds(60, 10))
        return [at_rest(crowd, taken, rest)]


def at_rest(crowd: Crowd, taken: float, rest: Rest) -> Point:
    """The point of a fleet; B14 keeps the largest as well."""
    return {"sessions": len(crowd.sessions), "workers": len(crowd.stack.workers), "taken_up": taken, **asdict(rest)}


@dataclass(frozen=True, slots=True)
class Part:
    """One question: what names a point, the points of a run and those of a quick one, and how one of them is measured."""

    names: tuple[str, ...]
    points: tuple[tuple[Any, ...], ...]
    quick: tuple[tuple[Any, ...], ...]
    measure: Callable[[Run, Point], Awaitable[list[Point]]]

    def name(self, point: Point) -> tuple[Any, ...]:
        """The values that tell this point from the others."""
        return tuple(point[one] for one in self.names)


PARTS = {
    "workers": Part(("workers", "places"), ((1, 5), (2, 5), (4, 5), (8, 5), (8, 20)), ((1, 5), (2, 5)), workers),
    "sessions": Part(("sessions",), ((10,), (100,), (300,), (1_000,)), ((5,), (20,)), sessions),
    "fleet": Part(("sessions",), ((100,), (1_000,), (10_000,)), ((20,), (200,)), fleet),
    # One run of the service tells the costs of everything.
    "costs": Part(("what",), (("onboarding by QR",),), (("onboarding by QR",),), costs.measure),
}


def kept() -> dict[str, list[Point]]:
    """The points of each part that were measured so far."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def keep(part: str, points: list[Point], of: dict[str, Any]) -> None:
    """Put points of this machine and code beside what was measured before, also by another run meanwhile; figures and
    documents follow."""
    found, name = kept(), PARTS[part].name
    points = [{**one, "load": round(os.getloadavg()[0], 1), "of": of} for one in points]
    beside = {name(one): one for one in found.get(part, [])} | {name(one): one for one in points}
    found[part] = [beside[one] for one in sorted(beside)]
    written = RESULTS.with_suffix(f".{os.getpid()}")
    written.write_text(json.dumps({one: found[one] for one in PARTS if one in found}, indent=1) + "\n")
    written.replace(RESULTS)
    figures.draw_growth(found)
    docs.generate.write()


def _fresh(part: str) -> set[tuple[Any, ...]]:
    since = (datetime.datetime.now(datetime.UTC) - FRESH).isoformat()
    return {PARTS[part].name(one) for one in kept().get(part, []) if one["of"]["at"] > since}


async def _point(part: str, name: tuple[Any, ...], run: Run, of: dict[str, Any]) -> bool:
    """Measure one, and keep it; whether that went well."""
    asked = dict(zip(PARTS[part].names, name, strict=True))
    run.say(f"{part}: {asked}")
    try:
        async with asyncio.timeout(POINT_SECONDS):
            points = [asked | one for one in await PARTS[part].measure(run, asked)]
    except pytest.skip.Exception as why:  # of the tests' own helpers
        run.say(f"SKIPPED: {why}")
        return False
    except Exception as raised:  # noqa: BLE001 - it is told, and the exit code says it
        traceback.print_exception(raised)
        await run.forget_fleet()
        return False
    if run.quick:
        print(json.dumps(points, indent=1))
    else:
        keep(part, points, of)
        run.say(f"{part}: {asked} is kept")
    return True


async def _measured(parts: list[str], run: Run, *, missing: bool) -> bool:
    """All that could be measured; whether that is everything."""
    of = machine.described()
    well = True
    try:
        for part in parts:
            known = _fresh(part) if missing else set()
            for name in PARTS[part].quick if run.quick else PARTS[part].points:
                if name not in known:
                    well &= await _point(part, name, run, of)
    finally:
        await run.forget_fleet()
    return well


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), metavar="workers,costs", help="these parts")
    parser.add_argument("--missing", action="store_true", help="leave out the points that are younger than a day")
    parser.add_argument("--quick", action="store_true", help="small numbers: whether it works")
    asked = parser.parse_args()
    parts = [name.strip() for name in asked.only.split(",") if name.strip()]
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    with machine.clean() as (folder, left):
        well = asyncio.run(_measured(parts, Run(asked.quick, full=False, folder=folder), missing=asked.missing))
    return 1 if left or not well else 0


if __name__ == "__main__":
    sys.exit(main())
