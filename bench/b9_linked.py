"""B9: from the phone's scan, or the typed code, to `linked` on the socket; over bare neonize on its default SQLite.

Ours says `linked` when the device is durable. Once with SQLite, once with a Postgres 5 ms away. Rounds alternate.
"""

import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bench.floor import Driver
from bench.postgres import Postgres, binaries, distance
from bench.result import Line, median, percentile
from bench.run import Run
from emulator.client import Emulator
from tests.e2e.stack import Stack, new_number

BAR = 0.4
DISTANCE_MS = 5.0
POSTGRES = f"Postgres {DISTANCE_MS:g} ms away"


async def measure(run: Run) -> list[Line]:
    """Both ways, on both stores."""
    rounds = run.rounds(8, 2)
    took: dict[tuple[str, str], list[float]] = defaultdict(list)
    folder = run.place()
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(run.emulator())
        redis = stack.enter_context(run.redis())
        stacks = {"SQLite": await stack.enter_async_context(Stack.running(emulator, redis, run.place()))}
        found = binaries()
        if found is None:
            run.say("no PostgreSQL here: that half is not measured")
        else:
            url = await stack.enter_async_context(_far(Postgres(found)))
            redis = stack.enter_context(run.redis())
            far = Stack.running(emulator, redis, run.place(), DATABASE_URL=url)
            stacks[POSTGRES] = await stack.enter_async_context(far)
        for number in range(rounds + 1):
            for way in ("scan", "code"):
                measured = {"bare": await _bare(emulator, way, folder)}
                measured |= {store: await _ours(one, way) for store, one in stacks.items()}
                if number:  # the first round warms everything up
                    for store, ms in measured.items():
                        took[way, store].append(ms)
            if number % 5 == 0:
                run.say(f"round {number} of {rounds}")
    lines = []
    for way, name in (("scan", "scan to linked"), ("code", "code typed to linked")):
        floor = median(took[way, "bare"])
        for store in stacks:
            values = took[way, store]
            lines += [
                Line(
                    f"{name}, {store}", median(values), "ms", floor=floor, p95=percentile(values, 0.95), samples=rounds
                ),
                Line(f"{name}, {store}: times bare neonize", median(values) / floor, "x", bar=BAR, samples=rounds),
            ]
    return lines


@asynccontextmanager
async def _far(postgres: Postgres) -> AsyncIterator[str]:
    """Its URL, at a distance."""
    try:
        postgres.create()
        postgres.start()
        async with distance(postgres.port, DISTANCE_MS) as port:
            yield postgres.url(await postgres.database(), port=port)
    finally:
        postgres.remove()


async def _bare(emulator: Emulator, way: str, folder: Path) -> float:
    """In ms, of neonize by itself."""
    number = new_number().lstrip("+")
    phone = emulator.phone(number)
    async with Driver.running(emulator, folder / f"{number}.db") as driver:
        text = (await driver.said("qr"))["text"]
        if way == "code":
            await driver.order(do="code", phone=number)
            text = (await driver.said("code"))["code"]
        began = time.perf_counter()
        await (phone.scan(text) if way == "scan" else phone.type_code(text))
        await driver.said("Connected")
        return (time.perf_counter() - began) * 1000


async def _ours(stack: Stack, way: str) -> float:
    """In ms, from the same moment to `linked` on the socket."""
    number = new_number()
    phone = stack.emulator.phone(number)
    async with stack.socket(await stack.link()) as socket:
        if way == "scan":
            await socket.send("request-qr")
            text = (await socket.snapshot(lambda seen: "qr" in seen, 60))["qr"]["text"]
        else:
            await socket.send("request-pairing-code", phoneNumber=number)
            text = (await socket.snapshot(lambda seen: "code" in seen, 60))["code"]["text"]
        began = time.perf_counter()
        await (phone.scan(text) if way == "scan" else phone.type_code(text))
        await socket.state("linked", 60)
        return (time.perf_counter() - began) * 1000
