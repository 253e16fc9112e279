"""Companies with months of chats link at once beside others that are held, on a worker with little memory."""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

from emulator.client import Emulator
from tests.e2e.stack import Stack
from tests.waiting import until
from tests.world.fleet import Fleet
from tests.world.limit import memory_limit, used_mb

COMPANIES, MESSAGES, CHATS = 5, 20_000, 100
FILES = 6
"""Of one history: four chunks of messages, names, and what is not urgent."""
LIMIT_MB = 512


@dataclass(frozen=True, slots=True)
class Outcome:
    """`mb`: of the worker and all its processes (Pss), at the end. `kills`: by the kernel, for memory. `died`: processes
    that ended by themselves. `disturbed`: phones of those held before whose device logged in again."""

    mb: float
    kills: int
    died: int
    disturbed: set[str]


async def read_history(emulator: Emulator, redis_url: str, folder: Path, held: int, later: float = 0.0) -> Outcome:
    """Play it with `held` companies beside, and look `later` seconds after all of it was fetched. Every company can still
    send then."""
    with memory_limit(LIMIT_MB) as limit:
        async with Stack.running(emulator, redis_url, folder) as stack:
            fleet = Fleet(stack)
            await fleet.link(held)
            worker = await fleet.resume(*limit.command)
            async with limit.kept(worker.pid):
                since = await emulator.now()
                await fleet.link(COMPANIES)
                fresh = set(fleet.numbers[-COMPANIES:])
                for number in fresh:
                    await emulator.phone(number).live("history", messages=MESSAGES, chats=CHATS)
                await until(lambda: _all_fetched(emulator, stack, since), seconds=120)
                await asyncio.sleep(later)
                used = await asyncio.to_thread(used_mb, worker.pid)
                await fleet.send_each("the history is read")
                await fleet.has_arrived("the history is read")
            ends = [line for line in worker.lines if line["event"] == "holder.ended"]
            logins = [one for one in await emulator.events(since, tag=stack.tag) if one.kind == "device.logged-in"]
            return Outcome(
                mb=used,
                kills=limit.kills,
                died=sum(bool(line["panic"]) or line["signal"] != signal.SIGKILL for line in ends),
                disturbed={str(one.phone) for one in logins} - fresh,
            )


async def _all_fetched(emulator: Emulator, stack: Stack, since: int) -> bool:
    seen = await emulator.events(since, tag=stack.tag)
    return sum(event.kind == "media.served" for event in seen) >= COMPANIES * FILES
