"""B10: ten clicks at once, each of another company; until the last of them sees its QR.

The floor is ten processes of bare neonize that are started at once, until the last of them has a QR: nobody who links
ten companies at once without us can do it with less.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

from bench.b1_click import cancel, settled, shown
from bench.floor import Driver
from bench.result import Line, median
from bench.run import Run
from emulator.client import Emulator
from tests.e2e.stack import Stack

CLICKS = 10
RATIO = 1.3
BAR_MS = 570.0


async def measure(run: Run) -> list[Line]:
    """Rounds of both alternate."""
    rounds = run.rounds(7, 1)
    ours: list[float] = []
    floor: list[float] = []
    with run.redis() as redis:
        async with (
            run.emulator() as emulator,
            Stack.running(emulator, redis, run.place(), MAX_ATTEMPTS="50") as stack,
        ):
            for number in range(rounds):
                floor.append(await _bare(emulator, run.place()))
                ours.append(await _ours(stack))
                run.say(f"round {number}: {ours[-1]:.0f} ms, bare neonize {floor[-1]:.0f} ms")
    middle, base = median(ours), median(floor)
    return [
        Line(
            f"{CLICKS} clicks at once, the last QR", middle, "ms", bar=BAR_MS, floor=base, p95=max(ours), samples=rounds
        ),
        Line("times bare neonize", middle / base, "x", bar=RATIO, samples=rounds),
    ]


async def _ours(stack: Stack) -> float:
    await settled(stack)
    async with AsyncExitStack() as sockets:
        clickers = [await sockets.enter_async_context(stack.socket(await stack.link())) for _ in range(CLICKS)]
        took = await asyncio.gather(*(shown(one, "qr", "") for one in clickers))
        await asyncio.gather(*(cancel(one) for one in clickers))
    return max(took)


async def _bare(emulator: Emulator, folder: Path) -> float:
    async with AsyncExitStack() as processes:
        began = time.perf_counter()
        drivers = await asyncio.gather(
            *(processes.enter_async_context(Driver.running(emulator, folder / f"{one}.db")) for one in range(CLICKS))
        )
        await asyncio.gather(*(one.said("qr") for one in drivers))
        return (time.perf_counter() - began) * 1000
