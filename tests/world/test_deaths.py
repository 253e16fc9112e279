"""A refusal that aborts the library's process costs the neighbours little, and its session is found and named."""

from pathlib import Path

import pytest

from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from tests.e2e.stack import Stack
from tests.waiting import until
from tests.world.fleet import Fleet

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

NEIGHBOURS = 4
MOST_DEATHS = 2
"""A neighbour dies with the session at its first refusal, and once more before the session has a process of its own."""


async def test_a_session_whose_login_kills_the_process_ends_up_alone_and_named(
    emulator: Emulator, own_redis: LocalRedis, folder: Path
) -> None:
    async with Stack.running(emulator, own_redis.url, folder) as stack:
        fleet = Fleet(stack)
        await fleet.link(NEIGHBOURS + 1)
        await fleet.resume()  # neither a login of the hand-over nor one of a move is one after a death
        for link in fleet.links:
            await stack.worker.said("session.logged-in", session=link["session"], seconds=60)
        killer, link = fleet.numbers.pop(), fleet.links.pop()
        before = await emulator.now()
        rule = await emulator.arm("login-refused", phone=killer, status=413, times=None)
        await emulator.cut(phone=killer)
        quarantined = await stack.worker.said("session.quarantined", seconds=60, session=link["session"])
        assert quarantined["deaths"] == MOST_DEATHS
        await until(lambda: _named(stack, link["session"]), seconds=30)
        since = await emulator.now()
        deaths = [line for line in stack.worker.lines if line["event"] == "holder.ended" and line["signal"] == 6]
        assert len(deaths) >= MOST_DEATHS
        logins = [e for e in await emulator.events(before) if e.kind == "device.logged-in" and e.phone in fleet.numbers]
        assert len(logins) <= MOST_DEATHS * NEIGHBOURS
        await fleet.send_each("all is well next door")
        await fleet.has_arrived("all is well next door")
        closed = [e for e in await emulator.events(since) if e.kind == "connection.closed" and e.phone in fleet.numbers]
        assert closed == [], "the neighbours are not disturbed any more"
        await emulator.disarm(rule)
        await emulator.wait_for("device.logged-in", phone=killer, after=since, seconds=90)


async def _named(stack: Stack, session: str) -> bool:
    (worker,) = await stack.redis.zrange(keys.WORKERS, 0, -1)
    told = await stack.redis.hget(f"wa:worker:{worker.decode()}", "quarantined")
    return told == session.encode()
