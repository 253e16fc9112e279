"""Traffic on held sessions, for a while: every text is read or sent, and memory, descriptors and files stay as they are.

`make test` does so with 20 companies for half a minute; `make chaos` with a hundred for ten (HELD=100 TRAFFIC_MINUTES=10).
"""

import asyncio
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil
import pytest

from app.local.redis import LocalRedis
from emulator.client import Emulator
from emulator.life import AT_ANY_TIME, Course
from tests.e2e.stack import Stack
from tests.world.fleet import Fleet
from tests.world.limit import used_mb
from workers.report import processes

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

HELD = int(os.environ.get("HELD", "20"))
MINUTES = float(os.environ.get("TRAFFIC_MINUTES", "0.4"))
CONTACTS = 3
"""Who writes to a company. Its sessions with them are made in the first round."""
AT_ONCE = 10
MB, DESCRIPTORS, FILE_MB = 20, 16, 4
"""What may come to it in the second half: breath of a garbage collector, some connections to SQLite and a
log of its for each session. In the first
half the caches of sessions that were idle fill."""
EACH_MB = 0.6
"""A session with traffic takes so much more than an idle one, once its caches are full."""


@dataclass(frozen=True)
class Footprint:
    """What a worker and all below it take, and what lies in its folder."""

    mb: float
    descriptors: int
    files: int
    stored_mb: float

    @classmethod
    def of(cls, pid: int, folder: Path) -> "Footprint":
        """At this moment."""
        files = [path for path in (folder / "devices").iterdir() if path.is_file()]
        stored = sum(path.stat().st_size for path in files) / 2**20
        descriptors = 0
        for one in processes(pid):
            with suppress(psutil.NoSuchProcess):  # gone meanwhile
                descriptors += psutil.Process(one).num_fds()
        return cls(used_mb(pid), descriptors, len(files), stored)


class Traffic:
    """Rounds of texts: each company gets one of each contact and sends one, and something ordinary happens to it."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._emulator = fleet.stack.emulator
        self._course = Course(1.0, self._emulator.seed)
        self._numbers = count(1)
        self._places = asyncio.Semaphore(AT_ONCE)
        self.read = 0

    async def half(self, pid: int, folder: Path) -> Footprint:
        """Rounds for half of the time, two at least; what the worker takes then."""
        ends, rounds = time.monotonic() + 30 * MINUTES, 0
        while rounds < 2 or time.monotonic() < ends:
            await self.round()
            rounds += 1
        return await asyncio.to_thread(Footprint.of, pid, folder)

    async def round(self) -> None:
        """One for everybody, until all is read and sent."""
        number, before = next(self._numbers), await self._emulator.now()
        wanted = {one for ids in await asyncio.gather(*map(self._write, self._fleet.numbers)) for one in ids}
        await self._fleet.send_each(f"round {number}")
        await self._fleet.has_arrived(f"round {number}", seconds=120)
        await self._all_read(before, wanted)
        self.read += len(wanted)

    async def _write(self, company: str) -> list[str]:
        async with self._places:
            contacts = [self._emulator.phone(f"{company[:4]}55{contact}{company[-4:]}") for contact in range(CONTACTS)]
            ids = [await contact.say(company, "Are you open on Sunday?") for contact in contacts]
            await self._emulator.phone(company).live(self._course.dice.choice(AT_ANY_TIME), messages=10, chats=3)
            return ids

    async def _all_read(self, after: int, wanted: set[str]) -> None:
        cursor, missing = after, set(wanted)
        async with asyncio.timeout(120):
            while missing:
                answer = await self._emulator.call(
                    "GET", "/events", after=cursor, kind="receipt.received", tag=self._fleet.stack.tag, wait=5
                )
                cursor = answer["last"]
                missing -= {event["detail"]["message_id"] for event in answer["events"]}


async def test_traffic_leaves_a_worker_as_it_was(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        fleet = Fleet(stack)
        await fleet.link(HELD)
        worker = await fleet.resume()
        since = await emulator.now()
        traffic = Traffic(fleet)
        idle = Footprint.of(worker.pid, folder)
        before, after = [await traffic.half(worker.pid, folder) for _ in range(2)]
        print(f"{HELD} held, {traffic.read} texts read and {traffic.read // CONTACTS} sent: {idle}, {before}, {after}")
        assert after.mb <= before.mb + MB
        assert after.mb <= idle.mb + MB + EACH_MB * HELD
        assert after.descriptors <= before.descriptors + DESCRIPTORS
        assert after.files == before.files
        assert after.stored_mb <= before.stored_mb + FILE_MB * HELD
        seen = await emulator.events(since, tag=stack.tag)
        assert [event.phone for event in seen if event.kind == "device.logged-in"] == [], "nobody was cut off"
        assert [event.detail for event in seen if event.kind == "client.violation"] == []
