"""Many onboardings with faults at random: every one is accounted for, and nothing grows.

`SOAK=1000 SOAK_SEED=7` sets how many and which; `make chaos` runs the long one.
"""

import asyncio
import os
import random
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest
from websockets import ConnectionClosed

from app.local_redis import LocalRedis
from emulator.client import Emulator
from tests.chaos.invariants import Watch, all_quiet
from tests.e2e.processes import Service
from tests.e2e.stack import Socket, Stack, new_number

ONBOARDINGS = int(os.environ.get("SOAK", "48"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
AT_ONCE = 4
PATIENCE = 90.0
"""Seconds until an onboarding must have ended or shown something new: the attempt's own limits are far below."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(120 + 10 * ONBOARDINGS),
]

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
        link = await self._stack.link()
        by_code = self._rng.random() < 0.4
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    async with self._stack.socket(link) as socket:
                        ending = await self._drive(socket, by_code)
                except (OSError, ConnectionClosed):
                    continue  # web or Redis was hit: the browser comes back
                if ending == "linked":
                    await self._stack.http.delete(f"/api/v1/companies/{link['company']}/session")
                return ending

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
    """Breaks something every now and then."""

    def __init__(self, stack: Stack, rng: random.Random) -> None:
        self._stack = stack
        self._rng = rng
        self.done: Counter[str] = Counter()

    async def run(self, over: asyncio.Event) -> None:
        """Until it is over."""
        acts = (self._kill_linker_or_holder, self._cut_redis, self._cut_whatsapp, self._kill_worker, self._restart_web)
        while not over.is_set():
            act = self._rng.choices(acts, weights=(4, 3, 3, 1, 1))[0]
            await act()
            self.done[act.__name__.strip("_")] += 1
            await self._pause(over)

    async def _pause(self, over: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._rng.uniform(1, 4)):
                await over.wait()
        except TimeoutError:
            return

    async def _kill_linker_or_holder(self) -> None:
        worker = self._rng.choice(self._stack.workers)
        below = [child for child in worker.children() if child.ppid() != worker.pid]
        if below:
            victim = self._rng.choice(below)
            if psutil.pid_exists(victim.pid):
                victim.send_signal(signal.SIGKILL)

    async def _cut_redis(self) -> None:
        await self._stack.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await self._stack.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")

    async def _cut_whatsapp(self) -> None:
        await self._stack.emulator.cut(tag=self._stack.tag)

    async def _kill_worker(self) -> None:
        victim = self._stack.workers.pop(self._rng.randrange(len(self._stack.workers)))
        await victim.kill()
        await self._stack.start_worker()

    async def _restart_web(self) -> None:
        await self._stack.web.stop()
        await self._stack.start_web()


def size(service: Service) -> tuple[int, int, int]:
    """Memory (MB), descriptors and threads of a process."""
    process = psutil.Process(service.pid)
    return process.memory_info().rss // 2**20, process.num_fds(), process.num_threads()


async def test_every_onboarding_is_accounted_for(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    print(f"SOAK={ONBOARDINGS} SOAK_SEED={SEED}")
    rng = random.Random(SEED)
    async with Stack.running(emulator, own_redis.url, folder, workers=2) as stack:
        endings: Counter[str] = Counter()
        async with Watch(stack):
            over, places = asyncio.Event(), asyncio.Semaphore(AT_ONCE)
            mischief = Mischief(stack, random.Random(SEED))
            breaking = asyncio.create_task(mischief.run(over))

            async def one(seed: int) -> None:
                async with places:
                    endings[await Owner(stack, random.Random(seed)).onboard()] += 1

            try:
                await asyncio.gather(*(one(rng.randrange(2**32)) for _ in range(ONBOARDINGS)))
            finally:
                over.set()
                await breaking
        print(dict(endings), dict(mischief.done))
        assert sum(endings.values()) == ONBOARDINGS
        assert endings["linked"] > ONBOARDINGS // 3
        for service in (stack.web, *stack.workers):
            memory, files, threads = size(service)
            assert memory < 200, memory
            assert files < 100, files
            assert threads < 30, threads
        await all_quiet(stack)
