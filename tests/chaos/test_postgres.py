"""Postgres is killed or told to go while sessions are held and phones agree: nothing linked is lost."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.local.redis import LocalRedis
from bench.postgres import Postgres
from emulator.client import Emulator
from tests.chaos.invariants import Watch, all_quiet
from tests.e2e.stack import Stack, new_number
from tests.recovery import Recovery

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.postgres]

BACK = 15.0


@pytest_asyncio.fixture(loop_scope="session")
async def stored(
    emulator: Emulator, own_redis: LocalRedis, own_postgres: Postgres, folder: Path
) -> AsyncIterator[Stack]:
    """A web and a worker on Postgres, which runs again afterwards."""
    database = await own_postgres.database()
    try:
        async with Stack.running(emulator, own_redis.url, folder, DATABASE_URL=own_postgres.url(database)) as stack:
            yield stack
    finally:
        if own_postgres.process is None:
            own_postgres.start()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT])
async def test_a_phone_that_agrees_while_postgres_is_gone_is_linked_once_it_is_back(
    stored: Stack, own_postgres: Postgres, recovery: Recovery, how: signal.Signals
) -> None:
    held, held_number = await stored.linked()
    await stored.worker.said("session.logged-in", session=held["session"])
    number = new_number()
    async with Watch(stored), stored.socket(await stored.link()) as socket:
        await socket.send("request-qr")
        shown = await socket.snapshot(lambda s: "qr" in s)
        own_postgres.stop(how)
        await stored.emulator.phone(number).scan(shown["qr"]["text"])
        await socket.state("linking")
        before = await stored.emulator.now()
        with recovery.within(f"Postgres gone by {how.name}, then back: linked", BACK):
            own_postgres.start()
            await socket.state("linked")
        await stored.emulator.wait_for("device.connected", after=before, phone=number.lstrip("+"))
        # Who was held all the while sends as before.
        answer = await stored.http.post(
            f"/api/v1/companies/{held['company']}/messages", json={"to": "+79161234567", "text": "Still up."}
        )
        assert answer.status_code == 202
        await stored.emulator.wait_for("message.received", after=before, phone=held_number.lstrip("+"))
    await all_quiet(stored)
