"""B3: the memory of web and worker with nothing held; and of a worker that holds 200 idle sessions, against bare neonize
that holds the same 200. The floor of nothing held is three Pythons that have imported the packages and do nothing.

All of the worker's processes count: worker, zygote, the spare linker, holders; what forked relatives share counts once
(bench/memory.py). The slope is what a session costs more, from the second measurement with a quarter of them. With
--full 600 are linked and measured; else what they take is computed from the slope and the weight of further holders.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bench import memory
from bench.fleet import Fleet
from bench.floor import Bare
from bench.memory import Memory
from bench.result import Line
from bench.run import Run
from tests.e2e.processes import Service
from tests.e2e.stack import Stack
from workers.capacity import SESSIONS_EACH

SESSIONS = 200
MANY = 600
RATIO = 1.5
SLOPE = 1.1
HOST_MB = 512.0
IDLE_MB = 120.0
SETTLE_SECONDS = 15.0
PACKAGES = (
    "starlette.applications, starlette.websockets, uvicorn, websockets.server, redis.asyncio, arq, phonenumbers",
    "redis.asyncio, arq, phonenumbers",
    "neonize.aioze.client",
)
"""The packages that a web process, a worker and an engine process cannot do without."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker's memory: all of it, and that of its first holder."""

    all: Memory
    holder: Memory
    processes: int


async def measure(run: Run) -> list[Line]:
    """Bare and ours, with a quarter and with all."""
    idle, processes = await _idle(run)
    imported = await _imported()
    many = run.rounds(SESSIONS, 10)
    few = many // 4
    fleet = await run.fleet(MANY if run.full else many)
    bare = {count: await _bare(run, fleet, count) for count in (few, many)}
    ours = {count: await _ours(run, fleet, count) for count in (few, many)}
    floor, slope = bare[many].own, (bare[many].own - bare[few].own) / (many - few)
    ours_slope = (ours[many].all.own - ours[few].all.own) / (many - few)
    whole = ours[many]
    note = f"{whole.processes} processes; private {whole.all.private:.0f}, pss {whole.all.pss:.0f}"
    if run.full:
        measured = await _ours(run, fleet, MANY)
        host, how = measured.all.pss, f"measured; own {measured.all.own:.0f}, {measured.processes} processes"
    else:
        # A further holder weighs what the first one does but for its sessions; pages of files included, as a host counts.
        base = ours[few].holder.own - few * ours_slope
        holders = -(-MANY // SESSIONS_EACH) - 1
        host = whole.all.pss + ours_slope * (MANY - many) + max(base, 0) * holders
        how = f"extrapolated with {holders} further holders of {base:.0f} MB"
    return [
        Line(
            "web and worker with nothing held: pss",
            idle,
            "MB",
            bar=IDLE_MB,
            floor=imported,
            note=f"{processes} processes",
        ),
        Line(f"{many} sessions: the worker's own memory", whole.all.own, "MB", floor=floor, note=note),
        Line(f"{many} sessions: times bare neonize", whole.all.own / floor, "x", bar=RATIO),
        Line("a session more", ours_slope, "MB", floor=slope),
        Line("a session more: times bare neonize", ours_slope / slope, "x", bar=SLOPE),
        Line(f"{MANY} sessions: pss of all processes", host, "MB", bar=HOST_MB, note=how),
    ]


async def _idle(run: Run) -> tuple[float, int]:
    with run.redis() as redis:
        async with run.emulator() as emulator, Stack.running(emulator, redis, run.place()) as stack:
            await run.settle(SETTLE_SECONDS)
            web, worker = memory.family(stack.web.pid), memory.family(stack.worker.pid)
    return web[0].pss + worker[0].pss, web[1] + worker[1]


async def _imported() -> float:
    """The pss, in MB, of a Python for each of PACKAGES that has imported them and waits."""
    async with AsyncExitStack() as stack:
        pids = []
        for packages in PACKAGES:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", f"import {packages}; print(flush=True); input()"), stdin=PIPE, stdout=PIPE
            )
            stack.push_async_callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            assert await process.stdout.readline(), f"import {packages}"
            pids.append(process.pid)
        return sum(memory.of(pid).pss for pid in pids)


async def _bare(run: Run, fleet: Fleet, count: int) -> Memory:
    files = [str(path) for path in fleet.files(count, run.place())]
    async with Bare.running(fleet.emulator) as bare:
        await bare.ask("hold", files=files)
        await run.settle(SETTLE_SECONDS)
        found = memory.of(bare.pid)
    run.say(f"bare neonize with {count}: {found.own:.0f} MB")
    return found


async def _ours(run: Run, fleet: Fleet, count: int) -> Worker:
    with run.redis() as redis:
        stack = Stack(fleet.emulator, redis, fleet.data(count, run.place()))
        stack.environment["MAX_SESSIONS"] = "1000"
        try:
            worker = await stack.start_worker()
            for session in fleet.sessions(count):
                await worker.said("session.logged-in", session=session, seconds=300)
            await run.settle(SETTLE_SECONDS)
            found = await weigh(worker)
        finally:
            await stack.close()
    run.say(f"ours with {count}: {found.all.own:.0f} MB in {found.processes} processes")
    return found


async def weigh(worker: Service) -> Worker:
    """A worker that holds sessions."""
    started = await worker.said("holder.started")
    whole, processes = memory.family(worker.pid)
    return Worker(whole, memory.of(int(started["holder"])), processes)
