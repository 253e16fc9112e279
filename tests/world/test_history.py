"""Companies with months of chats link at once beside others that are held, on a worker with little memory: nobody dies.

`make test` holds 20 companies; `make chaos` a hundred (HELD=100), and looks a minute later as well.
"""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from app.local.redis import LocalRedis
from emulator.client import Emulator
from tests.e2e.stack import Stack
from tests.waiting import until
from tests.world.fleet import Fleet
from tests.world.limit import memory_limit, used_mb

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

HELD = int(os.environ.get("HELD", "20"))
LONG = HELD >= 100
COMPANIES, MESSAGES, CHATS = 5, 20_000, 100
FILES = 6
"""Of one history: four chunks of messages, names, and what is not urgent."""
LIMIT_MB = 512
LATER_SECONDS, LATER_MB = 60.0, 250


async def test_months_of_history_kill_nobody(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    with memory_limit(LIMIT_MB) as limit:
        async with Stack.running(emulator, own_redis.url, folder) as stack:
            fleet = Fleet(stack)
            await fleet.link(HELD)
            worker = await fleet.resume(*limit.command)
            async with limit.kept(worker.pid):
                since = await emulator.now()
                await fleet.link(COMPANIES)
                fresh = fleet.numbers[-COMPANIES:]
                for number in fresh:
                    await emulator.phone(number).live("history", messages=MESSAGES, chats=CHATS)
                await until(lambda: _all_fetched(emulator, stack, since), seconds=120)
                if LONG:
                    await asyncio.sleep(LATER_SECONDS)
                    used = await asyncio.to_thread(used_mb, worker.pid)
                    print(f"{HELD} held, {COMPANIES} with {MESSAGES} messages each: {used:.0f} MB a minute later")
                    assert used <= LATER_MB
                await fleet.send_each("the history is read")
                await fleet.has_arrived("the history is read")
            assert limit.kills == 0
            ends = [line for line in worker.lines if line["event"] == "holder.ended"]
            assert [line for line in ends if line["panic"] or line["signal"] != signal.SIGKILL] == []
            logins = [one for one in await emulator.events(since, tag=stack.tag) if one.kind == "device.logged-in"]
            assert {one.phone for one in logins} == set(fresh), "those who were held before are not disturbed"


async def _all_fetched(emulator: Emulator, stack: Stack, since: int) -> bool:
    seen = await emulator.events(since, tag=stack.tag)
    return sum(event.kind == "media.served" for event in seen) >= COMPANIES * FILES
