"""Companies with months of chats link at once beside others that are held, on a worker with little memory: nobody dies.

`make test` holds 20 companies; `make chaos` a hundred (HELD=100), and looks a minute later as well, as `make bench` does.
"""

import os
from pathlib import Path

import pytest

from app.local.redis import LocalRedis
from emulator.client import Emulator
from tests.world.history import read_history

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

HELD = int(os.environ.get("HELD", "20"))
LONG = HELD >= 100
LATER_SECONDS, LATER_MB = 60.0, 250


async def test_months_of_history_kill_nobody(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> None:
    seen = await read_history(emulator, own_redis.url, folder, HELD, LATER_SECONDS if LONG else 0.0)
    assert (seen.kills, seen.died) == (0, 0)
    assert seen.disturbed == set(), "those who were held before are not disturbed"
    if LONG:
        print(f"{HELD} held, and history read: {seen.mb:.0f} MB a minute later")
        assert seen.mb <= LATER_MB
