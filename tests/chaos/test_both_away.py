"""Redis and the device store away together: linked sessions stay connected, and whoever is overtaken learns it from WhatsApp
alone. Nobody parks, fights or forgets anything."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bench.postgres import Postgres
from emulator.client import Emulator
from shared.state.lease import LEASE_MS
from tests.chaos.invariants import all_quiet
from tests.chaos.servers import Name, Server, server
from tests.e2e.processes import logged_in
from tests.e2e.stack import Stack
from tests.recovery import Recovery
from tests.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.postgres]

BACK = 15.0
"""Postgres starts with its recovery, and each worker looks at it again after 5 s."""
LONG = LEASE_MS / 1000 + 3
"""Longer than any lease lives."""
TEXT = {"to": "+79161234567", "text": "Still up."}


@pytest.fixture
def redis() -> Iterator[Server]:
    with ExitStack() as stack:
        yield stack.enter_context(server())


@pytest_asyncio.fixture(loop_scope="session")
async def database(own_postgres: Postgres) -> AsyncIterator[str]:
    """The name of a database on a server that runs again afterwards."""
    yield await own_postgres.database()
    if own_postgres.process is None:
        own_postgres.start()


async def _is_linked(stack: Stack, link: dict[str, str]) -> bool:
    answer = await stack.http.get(f"/api/v1/companies/{link['company']}")
    return answer.status_code == 200 and bool(answer.json()["state"] == "linked")


async def _sends(stack: Stack, link: dict[str, str], number: str) -> None:
    """A text is accepted, and reaches its phone."""
    before = await stack.emulator.now()

    async def accepted() -> bool:
        answer = await stack.http.post(f"/api/v1/companies/{link['company']}/messages", json=TEXT)
        return answer.status_code == 202

    await until(accepted)
    await stack.emulator.wait_for("message.received", after=before, phone=number.lstrip("+"))


async def _parked(postgres: Postgres, database: str) -> list[str]:
    return [why for (why,) in await postgres.query("SELECT parked FROM wa_devices", database=database) if why]


@pytest.mark.parametrize("first", ["redis", "postgres"])
async def test_both_are_gone_for_everybody_and_come_back(
    emulator: Emulator,
    folder: Path,
    redis: Server,
    own_postgres: Postgres,
    database: str,
    recovery: Recovery,
    first: str,
) -> None:
    url = own_postgres.url(database)
    async with Stack.running(emulator, redis.url, folder, workers=2, DATABASE_URL=url) as stack:
        linked = [await stack.linked() for _ in range(2)]
        await all_are_held(stack, linked)
        await stack.resume()  # or a slow machine meets their move to another process
        await all_are_held(stack, linked)
        before = await emulator.now()
        redis.kill()
        own_postgres.stop()
        await asyncio.sleep(LONG)  # the outage itself
        assert len(await emulator.connections(stack.tag)) == len(linked)
        servers = [redis.start, own_postgres.start]
        with recovery.within(f"Redis and Postgres away, {first} back first: all linked", BACK):
            for start in servers if first == "redis" else reversed(servers):
                start()
            for link, number in linked:
                await until(lambda link=link: _is_linked(stack, link))
                await _sends(stack, link, number)
        for _, number in linked:
            kinds = {event.kind for event in await emulator.events(before, phone=number.lstrip("+"))}
            assert not kinds & {"connection.closed", "device.connected"}, "the session stayed up"
        assert await _parked(own_postgres, database) == []
        await all_quiet(stack)


async def all_are_held(stack: Stack, linked: list[tuple[dict[str, Any], str]]) -> None:
    """Wait until a worker has each of these sessions logged in."""
    sessions = {link["session"] for link, _ in linked}
    await until(lambda: sessions <= set().union(*map(logged_in, stack.workers)))


async def test_both_are_gone_for_one_worker_and_the_other_takes_over(
    emulator: Emulator, folder: Path, redis: Server, own_postgres: Postgres, database: str, recovery: Recovery
) -> None:
    async with (
        Name(redis) as way,
        Name(own_postgres) as store,
        Stack.running(emulator, redis.url, folder, workers=0, DATABASE_URL=own_postgres.url(database)) as stack,
    ):
        theirs = own_postgres.url(database, port=store.port)
        older = await stack.start_worker(REDIS_URL=way.url, DATABASE_URL=theirs)
        link, number = await stack.linked()
        await older.said("session.logged-in", session=link["session"])
        newer = await stack.start_worker()
        before = await emulator.now()
        for one in (way, store):
            one.cut = True
            one.drop()
        with recovery.within("one worker cut off from Redis and Postgres: held by the other", 20):
            await newer.said("session.logged-in", session=link["session"])
            yielded = await older.said("session.yielded", session=link["session"])
        assert yielded["why"] == "replaced", "WhatsApp alone could tell it"
        await until(lambda: _is_linked(stack, link))
        for one in (way, store):
            one.cut = False
        await older.said("heartbeat.back")
        await _sends(stack, link, number)
        kinds = [event.kind for event in await emulator.events(before, phone=number.lstrip("+"))]
        assert kinds.count("device.connected") == 1, f"nobody fights: {kinds}"
        assert len(await emulator.connections(stack.tag)) == 1
        assert await _parked(own_postgres, database) == []
        assert not [line for line in newer.lines if line["event"] in {"session.lost", "lease.lost"}]
        await all_quiet(stack)


async def test_both_are_gone_for_the_only_worker_and_nobody_takes_over(
    emulator: Emulator, folder: Path, redis: Server, own_postgres: Postgres, database: str, recovery: Recovery
) -> None:
    async with (
        Name(redis) as way,
        Name(own_postgres) as store,
        Stack.running(emulator, redis.url, folder, workers=0, DATABASE_URL=own_postgres.url(database)) as stack,
    ):
        theirs = own_postgres.url(database, port=store.port)
        worker = await stack.start_worker(REDIS_URL=way.url, DATABASE_URL=theirs)
        link, number = await stack.linked()
        await worker.said("session.logged-in", session=link["session"])
        before = await emulator.now()
        for one in (way, store):
            one.cut = True
            one.drop()
        await asyncio.sleep(LONG)  # the outage itself
        assert len(await emulator.connections(stack.tag)) == 1
        for one in (way, store):
            one.cut = False
        with recovery.within("the only worker was cut off from Redis and Postgres: it sends", BACK):
            await worker.said("heartbeat.back")
            await until(lambda: _is_linked(stack, link))
            await _sends(stack, link, number)
        kinds = {event.kind for event in await emulator.events(before, phone=number.lstrip("+"))}
        assert not kinds & {"connection.closed", "device.connected"}, "the session stayed up"
        assert await _parked(own_postgres, database) == []
        await all_quiet(stack)
