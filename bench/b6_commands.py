"""B6: Redis commands of one onboarding, from the click to `linked`: all that web and worker send meanwhile.

Counted by MONITOR (bench/monitor.py), a second longer than the page waits, so that what a job does at its end counts as
well. What both send at rest is in it.
"""

import asyncio

from bench.monitor import Monitor
from bench.result import Line, median
from bench.run import Run
from tests.e2e.stack import Stack, new_number

BAR = 60.0
AFTER_SECONDS = 1.0


async def measure(run: Run) -> list[Line]:
    """By QR and by code."""
    rounds = run.rounds(7, 2)
    lines = []
    with run.redis() as redis:
        async with (
            run.emulator() as emulator,
            Stack.running(emulator, redis, run.place()) as stack,
            Monitor(redis) as monitor,
        ):
            for what in ("qr", "code"):
                sent, inside, most = [], [], ""
                for _ in range(rounds):
                    await _onboard(stack, what, monitor)
                    sent.append(monitor.sent.total())
                    inside.append(monitor.inside.total())
                    most = ", ".join(f"{name.lower()} {count}" for name, count in monitor.sent.most_common(9))
                    await asyncio.sleep(1)
                name = {"qr": "by QR", "code": "by code"}[what]
                lines += [
                    Line(f"{name}: commands sent", median(sent), "", bar=BAR, samples=rounds, note=most),
                    Line(f"{name}: calls inside scripts", median(inside), "", samples=rounds),
                ]
    return lines


async def _onboard(stack: Stack, what: str, monitor: Monitor) -> None:
    number = new_number()
    phone = stack.emulator.phone(number)
    async with stack.socket(await stack.link()) as socket:
        await asyncio.sleep(0.5)
        monitor.reset()
        if what == "qr":
            await socket.send("request-qr")
            shown = await socket.snapshot(lambda seen: "qr" in seen)
            await phone.scan(shown["qr"]["text"])
        else:
            await socket.send("request-pairing-code", phoneNumber=number)
            shown = await socket.snapshot(lambda seen: "code" in seen)
            await phone.type_code(shown["code"]["text"])
        await socket.state("linked", 60)
        await asyncio.sleep(AFTER_SECONDS)
