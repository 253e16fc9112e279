"""Many onboardings with faults at random: every one is accounted for, and nothing grows.

`SOAK=1000 SOAK_SEED=7 SOAK_MINUTES=60` sets how many, which, and over how long they come; `make chaos` runs the long
one. After the first quarter web and one worker are killed no more, so that they can be compared with themselves at the
end.

Player, faults and accounts are one experiment, hence one file.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

import httpx
import psutil
import pytest
from websockets import ConnectionClosed

from app.local.redis import LocalRedis
from emulator.client import Emulator
from tests.chaos.invariants import Watch, all_quiet
from tests.e2e.processes import Service, signal_all
from tests.e2e.stack import Socket, Stack, new_number

ONBOARDINGS = int(os.environ.get("SOAK", "48"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))
#: At which share of stanzas something of ordinary life happens (emulator/life.py), from the emulator's seed, 0; `make chaos`: 0.01.
LIFE = float(os.environ.get("SOAK_LIFE", "0"))
AT_ONCE = 4
PATIENCE = 90.0
"""Seconds until an onboarding must have ended or shown something new: the attempt's own limits are far below."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(120 + 10 * ONBOARDINGS + 60 * MINUTES),
]

T = TypeVar("T")

PHONE_FAULTS = (
    None,
    None,
    None,
    None,
    "pair-wrong-hmac",
    "code-refused",
    "restart-cut",
    "success-cut",
    "phone-dawdles",
)
ENDINGS = {"linked", "failed", "cancelled", "expired"}


class Owner:
    """One impatient owner with one phone: comes back when the socket breaks, tries again when it may."""

    def __init__(self, stack: Stack, rng: random.Random) -> None:
        self._stack = stack
        self._rng = rng
        self._number = new_number()
        self._phone = stack.emulator.phone(self._number)

    async def onboard(self) -> str:
        """How it ended: `linked`, `cancelled`, or a failure code."""
        fault = self._rng.choice(PHONE_FAULTS)
        if fault is not None:
            await self._stack.emulator.arm(fault, phone=self._phone.number, times=1, delay=1)
        link = await self._asked(self._stack.link)
        by_code = self._rng.random() < 0.4
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with self._stack.socket(link) as socket:
                        ending = await self._drive(socket, by_code)
                except (OSError, ConnectionClosed):
                    continue  # web or Redis was hit: the browser comes back
                if ending == "linked":
                    await self._asked(self._stack.http.delete, f"/api/v1/companies/{link['company']}/session")
                return ending

    async def _asked(self, ask: Callable[..., Awaitable[T]], *arguments: str) -> T:
        """The API's answer, asked again while web is being restarted."""
        while True:
            try:
                return await ask(*arguments)
            except httpx.TransportError:
                continue

    async def _drive(self, socket: Socket, by_code: bool) -> str:
        snapshot = socket.seen[-1]["snapshot"]
        if snapshot["state"] in {"linked", "reconnecting"}:
            return "linked"
        if by_code:
            await socket.send("request-pairing-code", phoneNumber=self._number)
        else:
            await socket.send("request-qr")
        tried: set[str] = set()
        cancels = self._rng.random() < 0.1
        while True:
            message = await socket.until(lambda m: True, seconds=PATIENCE)
            if "error" in message:
                return str(message["error"]["code"])
            snapshot = message["snapshot"]
            if snapshot["state"] in ENDINGS:
                return str(snapshot.get("failure", {}).get("code", snapshot["state"]))
            if cancels and "qr" in snapshot:
                await socket.send("cancel")
                cancels = False
            elif by_code and "code" in snapshot and snapshot["code"]["text"] not in tried:
                tried.add(snapshot["code"]["text"])
                await self._phone.type_code(snapshot["code"]["text"])
            elif "qr" in snapshot and (not by_code or "failure" in snapshot) and snapshot["qr"]["text"] not in tried:
                tried.add(snapshot["qr"]["text"])
                await self._phone.scan(snapshot["qr"]["text"])


class Mischief:
    """Breaks something every now and then while its block lasts; what is `spared` is not killed."""

    def __init__(self, stack: Stack, rng: random.Random) -> None:
        self._stack = stack
        self._rng = rng
        self._over = asyncio.Event()
        self._at_work: asyncio.Task[None] | None = None
        self.spared: tuple[Service, ...] = ()
        self.done: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._over.clear()
        self._at_work = asyncio.create_task(self._break())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        assert self._at_work is not None
        await self._at_work

    async def _break(self) -> None:
        acts = (self._kill_linker_or_holder, self._cut_redis, self._cut_whatsapp, self._kill_worker, self._restart_web)
        while not self._over.is_set():
            act = self._rng.choices(acts, weights=(4, 3, 3, 1, 1))[0]
            await act()
            self.done[act.__name__.strip("_")] += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._rng.uniform(1, 4)):
                    await self._over.wait()

    async def _kill_linker_or_holder(self) -> None:
        worker = self._rng.choice(self._stack.workers)
        if below := worker.engines():
            signal_all([self._rng.choice(below)], signal.SIGKILL)

    async def _cut_redis(self) -> None:
        await self._stack.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await self._stack.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")

    async def _cut_whatsapp(self) -> None:
        await self._stack.emulator.cut(tag=self._stack.tag)

    async def _kill_worker(self) -> None:
        victim = self._rng.choice([one for one in self._stack.workers if one not in self.spared])
        self._stack.workers.remove(victim)
        await victim.kill()
        await self._stack.start_worker()

    async def _restart_web(self) -> None:
        if self._stack.web not in self.spared:
            await self._stack.web.stop()
            await self._stack.start_web()


@dataclass(frozen=True)
class Size:
    """What a process takes, and how many it has below."""

    memory: float  # MB
    descriptors: int
    threads: int
    processes: int

    @classmethod
    def of(cls, service: Service) -> "Size":
        """At this moment."""
        process = psutil.Process(service.pid)
        memory = round(process.memory_info().rss / 2**20, 1)
        return cls(memory, process.num_fds(), process.num_threads(), len(service.children()))

    def is_flat_since(self, before: "Size") -> bool:
        """Whether the difference is breath, not growth: 10 KB an onboarding would be seen in the long run."""
        return (
            self.memory <= before.memory + 8
            and self.descriptors <= before.descriptors + 10
            and self.threads <= before.threads + 4
            and self.processes <= before.processes + 2
        )


class Season:
    """All onboardings of a run: so many at a time, or as slowly as they shall come."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._rng = random.Random(SEED)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._began = time.monotonic()
        self._came = 0
        self.endings: Counter[str] = Counter()

    async def come(self, how_many: int) -> None:
        """The next ones, until each has its ending."""
        numbers = range(self._came, self._came + how_many)
        self._came += how_many
        await asyncio.gather(*(self._one(number, self._rng.randrange(2**32)) for number in numbers))

    async def _one(self, number: int, seed: int) -> None:
        await asyncio.sleep(self._began + 60 * MINUTES * number / ONBOARDINGS - time.monotonic())
        async with self._places:
            self.endings[await Owner(self._stack, random.Random(seed)).onboard()] += 1


async def test_every_onboarding_is_accounted_for(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    print(f"SOAK={ONBOARDINGS} SOAK_SEED={SEED} SOAK_MINUTES={MINUTES:g} SOAK_LIFE={LIFE:g}")
    async with Stack.running(emulator, own_redis.url, folder, workers=2) as stack:
        await emulator.settings(stack.tag, life=LIFE)
        season, mischief = Season(stack), Mischief(stack, random.Random(SEED))
        async with Watch(stack):
            async with mischief:
                await season.come(ONBOARDINGS // 4)
            lasting = mischief.spared = (stack.web, stack.workers[0])
            sizes = []
            for part in range(1, 4):  # of which the first still warms up what was started last
                async with mischief:
                    await season.come((part + 1) * ONBOARDINGS // 4 - part * ONBOARDINGS // 4)
                sizes.append([Size.of(service) for service in lasting])
                print(f"after {(part + 1) * ONBOARDINGS // 4}: web {sizes[-1][0]}, worker {sizes[-1][1]}")
        print(dict(season.endings), dict(mischief.done))
        assert season.endings.total() == ONBOARDINGS
        assert season.endings["linked"] > ONBOARDINGS // 3
        for before, after in zip(sizes[0], sizes[-1], strict=True):
            assert after.is_flat_since(before), (before, after)
        for size in map(Size.of, (stack.web, *stack.workers)):
            assert size.memory < 200, size
            assert size.descriptors < 100, size
            assert size.threads < 30, size
        await all_quiet(stack)
