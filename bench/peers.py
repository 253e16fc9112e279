"""The peer: Baileys alone, unmodified, in one warm process of Node, against the same emulator (tests/baileys/).

What it has: no page, no queue, no second worker; its auth folders are its store. So it is a floor of another kind, to read
beside B1 (click to QR), B10 (ten at once), B9 (scan to linked), B11 (texts), B3 (memory) and B7 (50 online again).
"""

import asyncio
import itertools
import time
from pathlib import Path

from bench import memory
from bench.b11_texts import FAR_SECONDS, arrived
from bench.result import Line, median, percentile
from bench.run import Run
from emulator.client import Emulator
from tests.baileys.client import Baileys, installed

TAG = "baileys"
SESSIONS, CLICKS, SETTLE_SECONDS = 50, 10, 10.0
SAVED_SECONDS = 2.0
"""Baileys writes its keys a moment after it is open."""
_phones, _people = itertools.count(79_600_000_000), itertools.count(79_610_000_000)


async def measure(run: Run) -> list[Line]:
    """First without a device, then with 50."""
    await asyncio.to_thread(installed)  # once a machine; skips without Node
    many, rounds = run.rounds(SESSIONS, 4), run.rounds(20, 2)
    places = [run.place() for _ in range(many)]
    async with run.emulator() as emulator:
        alone, together = await _codes(run, emulator, rounds)
        linking = await _link(emulator, places)
        run.say(f"{many} are linked")
        few, _ = await _resume(run, emulator, places[: many // 4])
        whole, back = await _resume(run, emulator, places)
        texts = await _texts(run, emulator, places[0])
    slope = (whole.own - few.own) / (many - many // 4)
    return [
        Line("QR: connect to QR", median(alone), "ms", p95=percentile(alone, 0.95), samples=rounds),
        Line(f"{CLICKS} at once, the last QR", median(together), "ms", samples=len(together)),
        Line("scan to open", median(linking), "ms", p95=percentile(linking, 0.95), samples=many),
        *texts,
        Line(f"its process with {many} sessions", whole.own, "MB"),
        Line("a session more", slope, "MB"),
        Line(f"process started: all {many} open", back, "s"),
    ]


async def _codes(run: Run, emulator: Emulator, rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds until the QR: of one after the other, and of the last of ten, three times."""
    folders = [run.place() for _ in range(1 + rounds + 3 * CLICKS)]
    async with Baileys.fleet(emulator, folders, TAG) as clients:
        waiting = iter(clients.values())
        alone = [await _shown([next(waiting)]) for _ in range(1 + rounds)][1:]  # the first warms everything up
        return alone, [await _shown(list(itertools.islice(waiting, CLICKS))) for _ in range(3)]


async def _shown(clients: list[Baileys]) -> float:
    began = time.perf_counter()
    for one in clients:
        await one.do("connect")
    await asyncio.gather(*(one.until("qr") for one in clients))
    took = (time.perf_counter() - began) * 1000
    for one in clients:
        await one.do("close")
    return took


async def _link(emulator: Emulator, places: list[Path]) -> list[float]:
    took = []
    async with Baileys.fleet(emulator, places, TAG) as clients:
        for client in clients.values():
            await client.do("connect")
            text = (await client.until("qr"))["text"]
            began = time.perf_counter()
            await emulator.phone(str(next(_phones))).scan(text)
            await client.until("open")
            took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(SAVED_SECONDS)
    return took


async def _resume(run: Run, emulator: Emulator, places: list[Path]) -> tuple[memory.Memory, float]:
    """The weight of a fresh process that has them all open, and the seconds until it had."""
    began = time.monotonic()
    async with Baileys.fleet(emulator, places, TAG) as clients:
        for one in clients.values():
            await one.do("connect")
        await asyncio.gather(*(one.until("open") for one in clients.values()))
        took = time.monotonic() - began
        await run.settle(SETTLE_SECONDS)
        return memory.of(next(iter(clients.values())).pid), took


async def _texts(run: Run, emulator: Emulator, place: Path) -> list[Line]:
    """As B11 has them."""
    lines = []
    texts, people, new = (60, 10, 20) if run.quick else (200, 20, 60)
    async with Baileys.running(emulator, place, TAG) as client:
        number = (await client.until("open"))["me"]["id"].partition(":")[0]
        for where, seconds in (("near", 0.0), ("100 ms away", FAR_SECONDS)):
            await emulator.settings(TAG, answer_delay=seconds)
            known = [str(next(_people)) for _ in range(people)]
            await _rate(emulator, client, number, known)  # makes them known
            rates = {
                "known": await _rate(emulator, client, number, known * (texts // people)),
                "new": await _rate(emulator, client, number, [str(next(_people)) for _ in range(new)]),
            }
            note = "it does not wait for WhatsApp's word"
            lines += [Line(f"texts to {kind} people, {where}", rate, "/s", note=note) for kind, rate in rates.items()]
            run.say(f"texts, {where}: {rates['known']:.1f} and {rates['new']:.1f} /s")
    return lines


async def _rate(emulator: Emulator, client: Baileys, number: str, receivers: list[str]) -> float:
    before = len(await emulator.messages(number))
    await client.do("texts", to=receivers)
    return await arrived(emulator, number, before, len(receivers))
