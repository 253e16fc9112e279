"""Two hundred sessions on two workers with Postgres: one worker is killed, and all two hundred are held again."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from app.local.redis import LocalRedis
from bench.postgres import Postgres
from emulator.client import Emulator
from tests.chaos.invariants import Watch, all_quiet
from tests.e2e.processes import logged_in
from tests.e2e.stack import Stack
from tests.recovery import Recovery
from tests.waiting import beside, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.postgres,
    pytest.mark.timeout(600),
]

SESSIONS = 200
AT_ONCE = 6
LAPSE = 12.0
EACH = 0.1
POSTGRES = 20
"""Connections of a small plan."""
REDIS = 20


async def test_two_hundred_sessions_outlive_their_worker(
    emulator: Emulator, own_redis: LocalRedis, own_postgres: Postgres, folder: Path, recovery: Recovery
) -> None:
    database = await own_postgres.database()
    most = {"postgres": 0, "redis": 0}

    async def count(stack: Stack) -> None:
        while True:
            most["postgres"] = max(most["postgres"], await own_postgres.connections(database))
            most["redis"] = max(most["redis"], len(await stack.redis.client_list()))
            await asyncio.sleep(0.2)

    more: dict[str, Any] = {"DATABASE_URL": own_postgres.url(database), "MAX_SESSIONS": str(SESSIONS)}
    async with (
        Stack.running(emulator, own_redis.url, folder, workers=2, **more) as stack,
        beside(count(stack)),
    ):
        async with Watch(stack):
            places = asyncio.Semaphore(AT_ONCE)

            async def link_one() -> tuple[str, str]:
                async with places:
                    link, number = await stack.linked()
                    return link["session"], number.lstrip("+")

            phones = dict(await asyncio.gather(*(link_one() for _ in range(SESSIONS))))
            # A fresh device waits up to a minute for its turn to be loud.
            await until(lambda: phones.keys() <= set().union(*map(logged_in, stack.workers)), seconds=120)
            victim = stack.workers[0]
            mine = logged_in(victim)
            assert mine, "both workers hold some"
            before = await emulator.now()
            with recovery.within(f"kill -9 of a worker with {len(mine)} of 200 sessions", LAPSE + EACH * len(mine)):
                await victim.kill()
                other = stack.workers[1]
                for session in mine:
                    await other.said("session.logged-in", session=session, seconds=60)

        async def all_are_online() -> bool:
            """Those that have settled move to another process meanwhile, one after the other."""
            online = {one["phone"] for one in await emulator.connections(stack.tag) if one["status"] == "online"}
            return set(phones.values()) <= online

        await until(all_are_online)
        await all_quiet(stack)
        events = await emulator.events(before, tag=stack.tag)
        # Those that settled moved to another process one by one until the kill: such a login was on its way before it.
        fresh = {event.connection for event in events if event.kind == "connection.opened"}
        logins = [event for event in events if event.kind == "device.connected" and event.connection in fresh]
        connected = Counter(event.phone for event in logins)
        assert {connected[phones[session]] for session in mine} == {1}, "each was taken up once"
    assert most["postgres"] <= POSTGRES, most
    assert most["redis"] <= REDIS, most
