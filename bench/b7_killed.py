"""B7: a worker with 50 sessions is killed, until another has logged all of them in again; and everything is stopped and
started again, until all are online.

The floor is bare neonize, which logs the same devices in one after the other, as if told at once. A killed worker has a
last will (workers/lastwill/), so nobody waits for its heartbeat to lapse.
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
KILLED_SECONDS = 3.0
EACH_SECONDS = 0.1
RESTART_SECONDS = 3.4


async def measure(run: Run) -> list[Line]:
    """The worst of some deaths."""
    many = run.rounds(SESSIONS, 10)
    fleet = await run.fleet(many)
    files = [str(path) for path in fleet.files(many, run.place())]
    async with Bare.running(fleet.emulator) as bare:
        floor = (await bare.ask("hold", files=files))["seconds"]
    firsts, lasts = await _deaths(run, fleet.emulator, fleet.data(many, run.place()), fleet.sessions(many))
    restarts = await _restarts(run, fleet.emulator, fleet.data(many, run.place()), fleet.sessions(many))
    worst = max(lasts)
    bar = KILLED_SECONDS + EACH_SECONDS * many
    return [
        Line(f"all {many} held again, worst of {len(lasts)}", worst, "s", bar=bar, floor=floor, samples=len(lasts)),
        Line("all held again, median", median(lasts), "s", samples=len(lasts)),
        Line("the first held again", median(firsts), "s", samples=len(firsts)),
        Line(
            f"SIGTERM of everything, started again: all {many} online",
            median(restarts),
            "s",
            bar=RESTART_SECONDS,
            floor=floor,
            p95=max(restarts),
            samples=len(restarts),
        ),
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


async def _restarts(run: Run, emulator: Emulator, data: Path, sessions: list[str]) -> list[float]:
    took = []
    with run.redis() as redis:
        stack = Stack(emulator, redis, data)
        stack.environment["MAX_SESSIONS"] = "1000"
        try:
            await asyncio.gather(stack.start_web(), stack.start_worker())
            await _held(stack.worker, sessions)
            for _ in range(run.rounds(4, 1)):
                began = time.monotonic()
                await asyncio.gather(stack.web.stop(), stack.worker.stop())
                await asyncio.gather(stack.start_web(), stack.start_worker())
                took.append(max(await _held(stack.worker, sessions)) - began)
                run.say(f"online after {took[-1]:.1f} s")
        finally:
            await stack.close()
    return took


async def _held(worker: Service, sessions: list[str]) -> list[float]:
    """The moment at which each was logged in here."""

    async def one(session: str) -> float:
        await worker.said("session.logged-in", session=session, seconds=120)
        return time.monotonic()

    return await asyncio.gather(*(one(session) for session in sessions))
