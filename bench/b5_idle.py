"""B5: what a worker at rest sends to Redis: with nothing to do, and with 200 sessions held.

Counted by MONITOR (bench/monitor.py): the commands that the worker sends. Calls inside scripts are told beside them.
A window of whole minutes, as the sweep comes once a minute.
"""

import asyncio
from pathlib import Path

from bench.monitor import Monitor
from bench.result import Line
from bench.run import Run
from emulator.client import Emulator
from tests.e2e.stack import Stack

SESSIONS = 200
EMPTY_BAR = 1.5
HELD_BAR = 3.0
SETTLE_SECONDS = 10.0


async def measure(run: Run) -> list[Line]:
    """Without sessions, then with them."""
    many = run.rounds(SESSIONS, 10)
    fleet = await run.fleet(many)
    seconds = float(run.rounds(60, 6))
    empty = await _at_rest(run, fleet.emulator, run.place(), [], seconds)
    held = await _at_rest(run, fleet.emulator, fleet.data(many, run.place()), fleet.sessions(many), seconds)
    return [
        *_lines("idle worker", empty, seconds, EMPTY_BAR),
        *_lines(f"{many} sessions held", held, seconds, HELD_BAR),
    ]


def _lines(what: str, counted: Monitor, seconds: float, bar: float) -> list[Line]:
    sent, inside = counted.sent.total(), counted.inside.total()
    most = ", ".join(f"{name.lower()} {count}" for name, count in counted.sent.most_common(8))
    return [
        Line(f"{what}: commands sent", sent / seconds, "/s", bar=bar, note=f"in {seconds:.0f} s: {most}"),
        Line(f"{what}: with those inside scripts", (sent + inside) / seconds, "/s"),
    ]


async def _at_rest(run: Run, emulator: Emulator, data: Path, sessions: list[str], seconds: float) -> Monitor:
    with run.redis() as redis:
        stack = Stack(emulator, redis, data)
        stack.environment["MAX_SESSIONS"] = "1000"
        try:
            worker = await stack.start_worker()
            for session in sessions:
                await worker.said("session.logged-in", session=session, seconds=300)
            await run.settle(SETTLE_SECONDS)
            run.say(f"{len(sessions)} sessions held; counting for {seconds:.0f} s")
            async with Monitor(redis) as monitor:
                await asyncio.sleep(seconds)
            return monitor
        finally:
            await stack.close()
