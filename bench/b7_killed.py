"""B7: kill -9 of a worker with 50 sessions; until another has logged all of them in again.

The floor is bare neonize, which logs the same devices in one after the other, as if told at once.
"""

import asyncio
import time
from pathlib import Path

from bench.floor import Bare
from bench.result import Line, median
from bench.run import Run
from emulator.client import Emulator
from tests.e2e.processes import Service
from tests.e2e.stack import Stack

SESSIONS = 50
LAPSE_SECONDS = 12.0
EACH_SECONDS = 0.1


async def measure(run: Run) -> list[Line]:
    """The worst of some deaths."""
    many = run.rounds(SESSIONS, 10)
    fleet = await run.fleet(many)
    files = [str(path) for path in fleet.files(many, run.place())]
    async with Bare.running(fleet.emulator) as bare:
        floor = (await bare.ask("hold", files=files))["seconds"]
    firsts, lasts = await _deaths(run, fleet.emulator, fleet.data(many, run.place()), fleet.sessions(many))
    worst = max(lasts)
    bar = LAPSE_SECONDS + EACH_SECONDS * many
    return [
        Line(f"all {many} held again, worst of {len(lasts)}", worst, "s", bar=bar, floor=floor, samples=len(lasts)),
        Line("all held again, median", median(lasts), "s", samples=len(lasts)),
        Line("the first held again", median(firsts), "s", samples=len(firsts)),
    ]


async def _deaths(run: Run, emulator: Emulator, data: Path, sessions: list[str]) -> tuple[list[float], list[float]]:
    firsts, lasts = [], []
    with run.redis() as redis:
        stack = Stack(emulator, redis, data)
        stack.environment["MAX_SESSIONS"] = "1000"
        try:
            holder = await stack.start_worker()
            await _held(holder, sessions)
            for _ in range(run.rounds(4, 1)):
                heir = await stack.start_worker()
                await asyncio.sleep(6)  # its first sweep is over: it has seen that all are held
                began = time.monotonic()
                await holder.kill()
                times = await _held(heir, sessions)
                firsts.append(min(times) - began)
                lasts.append(max(times) - began)
                run.say(f"held again after {lasts[-1]:.1f} s")
                holder = heir
        finally:
            await stack.close()
    return firsts, lasts


async def _held(worker: Service, sessions: list[str]) -> list[float]:
    """When each was logged in here."""

    async def one(session: str) -> float:
        await worker.said("session.logged-in", session=session, seconds=120)
        return time.monotonic()

    return await asyncio.gather(*(one(session) for session in sessions))
