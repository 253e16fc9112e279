"""B12: what comes in. 300 sessions, 20 texts a second over all, told to a receiver one by one: for a minute,
with --full for ten minutes.

Processor time is that of all of the worker's processes, over bare neonize that hears the same texts in one process, with
what the sessions cost at rest. Bare neonize tells nobody; so beside it stands bare neonize that tells each text to the same
receiver by one POST. Memory is the worker's own, after a quarter of the time and at the end.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench import memory, processor
from bench.fleet import FIRST, Fleet
from bench.floor import Bare
from bench.result import Line
from bench.run import Run
from tests.e2e.stack import Stack
from tests.receiver import Receiver
from tests.waiting import until

SESSIONS = 300
RATE = 20
MINUTES = 10
BAR, MEMORY_BAR, FLAT_BAR = 1.3, 1.4, 1.1
DRAIN_SECONDS = 60.0
FLOOR_SECONDS = 120
"""The floors need not be measured for as long: they are processor time a text."""
_people = itertools.count(79_700_000_000)


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of so many texts: ms of processor each, and the memory (MB) early and late. `untold`: nobody heard of them."""

    ms: float
    early: float
    late: float
    texts: int
    untold: int


async def measure(run: Run) -> list[Line]:
    """Bare neonize, the same telling, then ours, with the same devices and other people."""
    sessions, seconds = run.rounds(SESSIONS, 10), MINUTES * 60 if run.full else run.rounds(60, 6)
    short = min(seconds, FLOOR_SECONDS)
    fleet = await run.fleet(sessions)
    async with _bare(run, fleet, sessions) as (pid, heard):
        bare = await _talk(run, fleet, sessions, short, pid, heard)
    run.say(f"bare: {bare.ms:.2f} ms a text")
    async with Receiver.running() as receiver, _bare(run, fleet, sessions, receiver) as (pid, heard):
        telling = await _talk(run, fleet, sessions, short, pid, heard)
    run.say(f"bare, telling: {telling.ms:.2f} ms a text, {telling.untold} of {telling.texts} not told")
    async with _ours(run, fleet, sessions) as (pid, heard):
        ours = await _talk(run, fleet, sessions, seconds, pid, heard)
    what = f"{sessions} sessions, {RATE} texts/s in, {seconds} s"
    return [
        Line(f"{what}: processor time a text", ours.ms, "ms", floor=bare.ms, samples=ours.texts),
        Line("processor time: times bare neonize, which tells nobody", ours.ms / bare.ms, "x", bar=BAR),
        Line("bare neonize that tells each text by one POST", telling.ms, "ms", floor=bare.ms, samples=telling.texts),
        Line("processor time: times bare neonize that tells", ours.ms / telling.ms, "x"),
        Line("texts that were not told a minute later", ours.untold, "", bar=0),
        Line("memory a session, at the end", ours.late / sessions, "MB", bar=MEMORY_BAR, floor=bare.late / sessions),
        Line("memory at the end: times that after a quarter", ours.late / ours.early, "x", bar=FLAT_BAR),
    ]


@asynccontextmanager
async def _bare(
    run: Run, fleet: Fleet, sessions: int, receiver: Receiver | None = None
) -> AsyncIterator[tuple[int, Callable[[], int]]]:
    files = [str(path) for path in fleet.files(sessions, run.place())]
    async with Bare.running(fleet.emulator) as bare:
        tell = {} if receiver is None else {"tell": receiver.url}
        await bare.ask("hold", files=files, inbound=True, **tell)
        yield bare.pid, lambda: len(receiver.received) if receiver else 0


@asynccontextmanager
async def _ours(run: Run, fleet: Fleet, sessions: int) -> AsyncIterator[tuple[int, Callable[[], int]]]:
    async with Receiver.running() as receiver:
        with run.redis() as redis:
            stack = Stack(fleet.emulator, redis, fleet.data(sessions, run.place()))
            stack.environment |= {
                "MAX_SESSIONS": "1000",
                "WEBHOOK_URL": receiver.url,
                "WEBHOOK_SECRET": "the integrator's own secret",
                "WEBHOOK_EVENTS": "message.received",
            }
            try:
                worker = await stack.start_worker()
                for session in fleet.sessions(sessions):
                    await worker.said("session.logged-in", session=session, seconds=300)
                yield worker.pid, lambda: len(receiver.received)
            finally:
                await stack.close()


async def _talk(run: Run, fleet: Fleet, sessions: int, seconds: int, pid: int, heard: Callable[[], int]) -> Cost:
    """Somebody writes to each company in turn; the first text of each pair, which makes their keys, is not measured."""
    friends = [fleet.emulator.phone(str(next(_people))) for _ in range(sessions)]
    turns = itertools.cycle(range(sessions))

    async def say(count: int) -> None:
        began = time.monotonic()
        for number in range(count):
            company = next(turns)
            await friends[company].say(str(FIRST + company), f"text {number}")
            await asyncio.sleep(max(0.0, began + (number + 1) / RATE - time.monotonic()))

    await say(sessions)
    await run.settle(5.0)
    before, already = processor.seconds(pid), heard()
    texts = seconds * RATE
    await say(texts // 4)
    early = memory.family(pid)[0].own
    run.say(f"{texts // 4} of {texts} texts, {early:.0f} MB")
    await say(texts - texts // 4)
    if already:
        with contextlib.suppress(TimeoutError):
            await until(lambda: heard() >= already + texts, DRAIN_SECONDS)
    else:
        await asyncio.sleep(2)
    untold = max(0, already + texts - heard()) if already else 0
    return Cost((processor.seconds(pid) - before) * 1000 / texts, early, memory.family(pid)[0].own, texts, untold)
