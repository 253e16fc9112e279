"""A device paired into a file is handed over to Postgres and held from there, by the real library."""

import asyncio
import signal

import pytest

from shared.ids import SessionId
from tests.engine.steps import Linked, Steps, until
from tests.postgres.conftest import POOL
from tests.postgres.servers import Postgres, eventually
from workers.engine.processes import Holder
from workers.engine.protocol import Held, Hold, Lost, LostReason, Send, SendFailed, Sent
from workers.store import Device, StoreAway
from workers.store_postgres import PostgresStore
from workers.store_reach import Reached

AT = 1_760_000_000_000


async def linked(steps: Steps, store: PostgresStore, session: str) -> tuple[Linked, Device]:
    """A device, paired and handed over."""
    link = await steps.link()
    return link, await store.adopt(SessionId(session), link.database, link.jid, AT)


def hold(device: Device) -> Hold:
    return Hold(session=device.session, database=device.database, jid=device.jid)


async def held(holder: Holder, store: PostgresStore, device: Device) -> None:
    assert await store.holds(device)
    await holder.send(hold(device))
    assert (await until(holder, Held)).session == device.session


async def sent(holder: Holder, device: Device, message: str, text: str = "hi") -> Sent | SendFailed:
    await holder.send(Send(session=device.session, message=message, to="+79990000000", text=text))
    async with asyncio.timeout(45):
        async for event in holder:
            if isinstance(event, Sent | SendFailed) and event.message == message:
                return event
    raise AssertionError("the holder ended")


async def test_a_paired_device_is_held_from_postgres_and_sends(steps, store):
    link, device = await linked(steps, store, "company_1")
    store.discard(link.database)
    async with steps.holder() as holder:
        await held(holder, store, device)
        assert isinstance(await sent(holder, device, "m1", "from Postgres"), Sent)
    [message] = await steps.emulator.messages(link.phone.number)
    assert message["text"] == "from Postgres"
