"""B1: from the click to the QR, or the code, on the socket; over what bare neonize takes for the same, warm.

Rounds of ours and of the bare library alternate, and each comes after the same rest, so that they meet the same machine.
The click comes when a linker is warm, as a person's does; several at once are B10.
"""

import asyncio
import contextlib
import time

import psutil

from bench.floor import QUICK_STORE, Bare
from bench.result import Line, median, percentile
from bench.run import Run
from tests.e2e.stack import Socket, Stack, new_number

RATIO = {"qr": 1.5, "code": 1.25}
P95_MS = 40.0
AT_REST = 2
"""Processes below the worker: the zygote and the spare linker."""
SETTLED_SECONDS = 0.5
"""After the pool is full again: the new linker warms itself up."""


async def measure(run: Run) -> list[Line]:
    """QR and code."""
    rounds = run.rounds(50, 3)
    ours: dict[str, list[float]] = {"qr": [], "code": []}
    floor: dict[str, list[float]] = {"qr": [], "code": []}
    plain: list[float] = []
    restless: list[float] = []
    with run.redis() as redis:
        async with (
            run.emulator() as emulator,
            Stack.running(emulator, redis, run.place(), MAX_ATTEMPTS="50") as stack,
            Bare.running(emulator) as bare,
        ):
            for number in range(rounds + 1):
                for what in ("qr", "code"):
                    phone = new_number()
                    await settled(stack)
                    base = (await bare.ask(what, phone=phone.lstrip("+"), options=QUICK_STORE))["ms"]
                    took = await click(stack, what, phone)
                    if number:  # the first round warms everything up
                        floor[what].append(base)
                        ours[what].append(took)
                if number:
                    plain.append((await bare.ask("qr"))["ms"])
                    restless.append((await bare.ask("qr", options=QUICK_STORE))["ms"])
                if number % 10 == 0:
                    run.say(f"round {number} of {rounds}")
    lines = []
    for what, name in (("qr", "QR"), ("code", "code")):
        base = median(floor[what])
        added = [took - base for took in ours[what]]
        lines += [
            Line(
                f"{name}: click to socket",
                median(ours[what]),
                "ms",
                floor=base,
                p95=percentile(ours[what], 0.95),
                samples=rounds,
            ),
            Line(
                f"{name}: times bare neonize, median", median(ours[what]) / base, "x", bar=RATIO[what], samples=rounds
            ),
            Line(f"{name}: added to bare neonize, median", median(added), "ms", samples=rounds),
            Line(f"{name}: added to bare neonize, p95", percentile(added, 0.95), "ms", bar=P95_MS, samples=rounds),
            Line(f"{name}: bare neonize, its p95", percentile(floor[what], 0.95), "ms", samples=rounds),
        ]
    return [
        *lines,
        Line("QR: bare neonize with its default store", median(plain), "ms", samples=rounds),
        Line("QR: bare neonize that has just shown another", median(restless), "ms", samples=rounds),
    ]


async def click(stack: Stack, what: str, phone: str) -> float:
    """The waits of the page, in ms."""
    await settled(stack)
    async with stack.socket(await stack.link()) as socket:
        took = await shown(socket, what, phone)
        await cancel(socket)
    return took


async def shown(socket: Socket, what: str, phone: str) -> float:
    """From the command to the QR or code, in ms."""
    began = time.perf_counter()
    if what == "qr":
        await socket.send("request-qr")
    else:
        await socket.send("request-pairing-code", phoneNumber=phone)
    await socket.snapshot(lambda seen: what in seen, 60)
    return (time.perf_counter() - began) * 1000


async def cancel(socket: Socket) -> None:
    """End the attempt."""
    await socket.send("cancel")
    await socket.state("cancelled", 60)


async def settled(stack: Stack) -> None:
    """Until nothing but the spare linker is there, and that is warm."""
    async with asyncio.timeout(60):
        while _living(stack) != AT_REST:
            await asyncio.sleep(0.05)
    await asyncio.sleep(SETTLED_SECONDS)


def _living(stack: Stack) -> int:
    """The library leaves a zombie or two below each linker, which are nobody's linkers."""
    living = 0
    for process in stack.worker.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            living += process.status() != psutil.STATUS_ZOMBIE
    return living
