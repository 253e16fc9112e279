"""B11: texts a second through one session, over a loop of bare neonize: 200 to 20 known people, 60 first ones to 60.

WhatsApp is near, and 100 ms away. Measured at the emulator, from the first text to the last: all of them, in order. The
ratio is that of each pair of rounds.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from bench.floor import Driver
from bench.result import Line, median
from bench.run import Run
from emulator.client import Emulator
from tests.e2e.stack import API_KEY, Stack, new_number

FAR_SECONDS = 0.1
KNOWN_BAR, NEW_BAR = 0.95, 1.7
_people = itertools.count(79_500_000_000)


async def measure(run: Run) -> list[Line]:
    """Both kinds of people, near and far, in turns with bare neonize."""
    rounds = run.rounds(5, 1)
    texts, people, new = (200, 20, 60) if rounds > 1 else (60, 10, 20)
    lines: list[Line] = []
    async with run.emulator() as emulator:
        with run.redis() as redis:
            async with Stack.running(emulator, redis, run.place(), MAX_RATE="0") as stack:
                link, number = await stack.linked()
                async with _linked(emulator, run.place()) as (driver, bare):
                    for where, seconds in (("near", 0.0), ("100 ms away", FAR_SECONDS)):
                        for tag in (stack.tag, "bare"):
                            await emulator.settings(tag, answer_delay=seconds)
                        known = [str(next(_people)) for _ in range(people)]
                        rates: dict[tuple[str, str], list[float]] = {}
                        some = max(1, rounds // 2) if seconds else rounds
                        for turn in range(some + 1):
                            strangers = [[str(next(_people)) for _ in range(new)] for _ in range(2)]
                            many = {"known": [known * (texts // people)] * 2, "new": strangers}
                            receivers = many if turn else {"known": [known] * 2}  # the first makes them known
                            for kind, (one, other) in receivers.items():
                                ours = await _ours(stack, link["company"], number, one)
                                floor = await _bare(emulator, driver, bare, other)
                                if turn:
                                    rates.setdefault((kind, "ours"), []).append(ours)
                                    rates.setdefault((kind, "bare"), []).append(floor)
                            run.say(f"{where}: round {turn} of {some}")
                        for kind, bar in (("known", KNOWN_BAR), ("new", NEW_BAR if seconds else None)):
                            mine, base = rates[kind, "ours"], rates[kind, "bare"]
                            what = f"texts to {kind} people, {where}"
                            lines += [
                                Line(what, median(mine), "/s", floor=median(base), samples=some),
                                Line(
                                    f"{what}: times bare neonize",
                                    median([one / other for one, other in zip(mine, base, strict=True)]),
                                    "x",
                                    bar=bar,
                                    at_least=True,
                                    samples=some,
                                ),
                            ]
    return lines


@asynccontextmanager
async def _linked(emulator: Emulator, folder: Path) -> AsyncIterator[tuple[Driver, str]]:
    number = new_number().lstrip("+")
    async with Driver.running(emulator, folder / f"{number}.db") as driver:
        text = (await driver.said("qr"))["text"]
        await emulator.phone(number).scan(text)
        await driver.said("Connected")
        yield driver, number


async def arrived(emulator: Emulator, number: str, before: int, count: int) -> float:
    """Texts a second; all that were sent, in their order."""
    async with asyncio.timeout(240):
        while len(found := (await emulator.messages(number))[before:]) < count:
            await asyncio.sleep(0.05)
    assert [one["text"] for one in found] == [str(place) for place in range(count)], "in order, and none lost"
    took: int = found[-1]["at"] - found[0]["at"]
    return (count - 1) * 1000 / took


async def _ours(stack: Stack, company: str, number: str, receivers: list[str]) -> float:
    before = len(await stack.emulator.messages(number.lstrip("+")))
    bodies = [orjson.dumps({"to": f"+{to}", "text": str(place)}) for place, to in enumerate(receivers)]
    await _post(stack, f"/api/v1/companies/{company}/messages", bodies)
    return await arrived(stack.emulator, number.lstrip("+"), before, len(receivers))


async def _post(stack: Stack, path: str, bodies: list[bytes]) -> None:
    """One after the other, over one connection. By hand: on two cores a client's own work would be measured as well."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    head = (
        f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {API_KEY}\r\ncontent-type: application/json\r\n"
    )
    for body in bodies:
        while True:
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r")[0]))
            if answer.split()[1] != b"429":
                break
            await asyncio.sleep(0.1)
        assert answer.split()[1] == b"202", answer
    writer.close()


async def _bare(emulator: Emulator, driver: Driver, number: str, receivers: list[str]) -> float:
    before = len(await emulator.messages(number))
    await driver.order(do="texts", to=json.dumps(receivers))
    return await arrived(emulator, number, before, len(receivers))
