"""A device paired into a file is handed over to Postgres and held from there, by the real library.

Every test holds the same device, in good and in bad times: one file.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from bench.postgres import Postgres
from shared.core.ids import SessionId
from tests import waiting
from tests.e2e.processes import program
from tests.engine.steps import Linked, Steps, until
from tests.postgres.conftest import AT, POOL, count_rows
from tests.recovery import at_most
from workers.engine.processes import Holder
from workers.engine.protocol import Held, Hold, Lost, LostReason, Release, Released, Send, SendFailed, Sent, Starting
from workers.store.device import Fence, StoreAway, StoredDevice
from workers.store.postgres.dsn import server_of
from workers.store.postgres.reach import reached
from workers.store.postgres.store import PostgresStore
from workers.store.scratch import discard


async def linked(steps: Steps, store: PostgresStore, session: str) -> tuple[Linked, StoredDevice]:
    """A device, paired and handed over."""
    link = await steps.link()
    device = await store.adopt(SessionId(session), link.database, link.jid, AT, Fence(1))
    discard(link.database)
    return link, device


async def held(holder: Holder, store: PostgresStore, device: StoredDevice) -> None:
    assert await store.holds(device)
    await holder.send(Hold(session=device.session, database=device.database, jid=device.jid))
    assert (await until(holder, Held)).session == device.session


async def sent(holder: Holder, device: StoredDevice, message: str, text: str = "hi") -> Sent | SendFailed:
    """What became of a text."""
    await holder.send(Send(session=device.session, message=message, to="+79990000000", text=text))
    async with asyncio.timeout(45):
        async for event in holder:
            if isinstance(event, Sent | SendFailed) and event.message == message:
                return event
    raise AssertionError("the holder ended")


async def sent_at_last(holder: Holder, device: StoredDevice, name: str) -> bool:
    """Whether a text goes out within a few tries: the first ones may find a dead connection."""
    return any([isinstance(await sent(holder, device, f"{name}{number}"), Sent) for number in range(4)])


async def test_a_paired_device_is_held_from_postgres_and_sends(steps, store):
    link, device = await linked(steps, store, "company_1")
    async with steps.holder() as holder:
        await held(holder, store, device)
        assert isinstance(await sent(holder, device, "m1", "from Postgres"), Sent)
    [message] = await steps.emulator.messages(link.phone.number)
    assert message["text"] == "from Postgres"


async def test_tidying_deletes_the_secrets_of_one_device_while_it_is_held(steps, store, postgres, database):
    _, device = await linked(steps, store, "company_1")
    _, other = await linked(steps, store, "company_2")
    async with steps.holder() as holder:
        await held(holder, store, device)
        for one, rows in ((device, 2500), (other, 3)):
            await postgres.query(
                "INSERT INTO whatsmeow_message_secrets (our_jid, chat_jid, sender_jid, message_id, key) "
                f"SELECT '{one.jid}', 'c', 's', n::text, decode(repeat('00', 32), 'hex') FROM generate_series(1, {rows}) n",
                database=database,
            )
        assert await store.tidy(device) == 2500
        assert await store.tidy(device) == 0
        assert await store.tidy(other) == 3
        assert isinstance(await sent(holder, device, "m1"), Sent)


async def test_sessions_of_two_companies_are_never_mixed(steps, store):
    links, devices = zip(*[await linked(steps, store, f"company_{n}") for n in (1, 2)], strict=True)
    first, second = devices
    assert not await store.holds(StoredDevice(first.session, second.jid, AT, first.database))
    assert await store.device(first.session) == first
    async with steps.holder() as holder:
        for device in devices:
            await held(holder, store, device)
        for number in range(4):
            device = devices[number % 2]
            assert isinstance(await sent(holder, device, f"m{number}", f"of {device.session}"), Sent)
    for link, device in zip(links, devices, strict=True):
        assert {one["text"] for one in await steps.emulator.messages(link.phone.number)} == {f"of {device.session}"}


async def test_a_device_that_is_not_there_is_seen_before_the_start(steps, store, postgres, database):
    _, device = await linked(steps, store, "company_1")
    assert await store.holds(device)
    await postgres.query("TRUNCATE whatsmeow_device CASCADE", database=database)
    assert not await store.holds(device)
    await store.forget(device, Fence(1))
    assert not await store.holds(device)
    assert await store.device(device.session) is None


async def until_lost(holder: Holder) -> AsyncIterator[Lost]:
    async for event in holder:
        if isinstance(event, Lost):
            yield event
            return


async def test_a_device_that_the_phone_logs_out_stays_until_the_worker_forgets_it(steps, store):
    link, device = await linked(steps, store, "company_1")
    async with steps.holder() as holder:
        await held(holder, store, device)
        await link.phone.logout()
        async with asyncio.timeout(20):
            [lost] = [event async for event in until_lost(holder)]
        assert lost.reason in {LostReason.LOGGED_OUT, LostReason.RESTRICTED}
    assert await store.holds(device)
    await store.forget(device, Fence(1))
    assert not await store.holds(device)


async def test_nothing_of_a_forgotten_device_stays(steps, store, postgres, database):
    before = await count_rows(postgres, database)
    _, device = await linked(steps, store, "company_1")
    async with steps.holder() as holder:
        await held(holder, store, device)
        assert isinstance(await sent(holder, device, "m1"), Sent)
        await holder.send(Release(session=device.session))
        await until(holder, Released)
    await store.forget(device, Fence(1))
    await store.forget(device, Fence(1))
    await store.forget_strangers()
    assert await count_rows(postgres, database) == before


async def test_knowledge_of_people_stays_as_long_as_a_device_knows_them(steps, store, postgres, database):
    _, gone = await linked(steps, store, "company_1")
    _, stays = await linked(steps, store, "company_2")
    async with steps.holder() as holder:
        for device in (gone, stays):
            await held(holder, store, device)
            assert isinstance(await sent(holder, device, "m1"), Sent)
            await holder.send(Release(session=device.session))
            await until(holder, Released)
    before = (await count_rows(postgres, database))["whatsmeow_lid_map"]
    await store.forget(gone, Fence(1))
    await store.forget_strangers()
    assert 0 < (await count_rows(postgres, database))["whatsmeow_lid_map"] < before


async def test_a_restart_of_postgres_is_survived_by_held_sessions(steps, store, postgres):
    _, device = await linked(steps, store, "company_1")
    async with steps.holder() as holder:
        await held(holder, store, device)
        assert isinstance(await sent(holder, device, "m1"), Sent)
        await asyncio.to_thread(postgres.stop)
        with pytest.raises(StoreAway):
            await store.device(device.session)
        assert store.away
        await asyncio.to_thread(postgres.start)
        assert await waiting.until(lambda: reachable(store))
        assert not store.away
        assert await sent_at_last(holder, device, "after")


async def test_while_postgres_is_away_only_one_goes_to_see(store, postgres):
    await asyncio.to_thread(postgres.stop)
    with pytest.raises(StoreAway):
        await store.device(SessionId("company_1"))
    with at_most(2):
        results = await asyncio.gather(
            *(store.device(SessionId("company_1")) for _ in range(100)), return_exceptions=True
        )
    assert {type(one) for one in results} == {StoreAway}


async def reachable(store: PostgresStore) -> bool:
    with contextlib.suppress(StoreAway):
        await store.holds(StoredDevice(SessionId("company_1"), "1:1@s.whatsapp.net", AT, ""))
        return True
    return False


async def test_a_resume_while_postgres_is_down_says_try_again_and_not_logged_out(steps, store, postgres):
    _, device = await linked(steps, store, "company_1")
    async with steps.holder() as holder:
        await asyncio.to_thread(postgres.stop)
        with pytest.raises(StoreAway):
            await store.holds(device)
        await holder.send(Hold(session=device.session, database=device.database, jid=device.jid))
        async with asyncio.timeout(45):
            event = await anext(holder)
            while isinstance(event, Starting):
                event = await anext(holder)
        assert isinstance(event, Lost)
        assert event.reason is LostReason.START_FAILED
        await asyncio.to_thread(postgres.start)
        assert await waiting.until(lambda: reachable(store))
        await held(holder, store, device)


async def test_a_killed_pgbouncer_is_started_anew(steps, store):
    _, device = await linked(steps, store, "company_1")
    async with steps.holder() as holder:
        await held(holder, store, device)
        [pid] = bouncers()
        os.kill(pid, signal.SIGKILL)
        assert await waiting.until(lambda: reachable(store))
        assert [new for new in bouncers() if new != pid]
        assert await sent_at_last(holder, device, "after")


def bouncers() -> list[int]:
    return [one.pid for one in psutil.Process().children() if program(one) == "pgbouncer"]


@pytest.mark.slow
async def test_thirty_sessions_share_a_few_connections(steps, store, postgres, database):
    devices = [(await linked(steps, store, f"company_{number}"))[1] for number in range(30)]
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, await postgres.connections(database))

    async with steps.holder() as holder, waiting.beside(watch()):
        for device in devices:
            assert await store.holds(device)
            await holder.send(Hold(session=device.session, database=device.database, jid=device.jid))
        up = [await until(holder, Held) for _ in devices]
        assert {one.session for one in up} == {device.session for device in devices}
        for device in devices:
            await holder.send(Send(session=device.session, message=device.session, to="+79990000000", text="hi"))
        results = [await until(holder, Sent) for _ in devices]
        assert {one.message for one in results} == {device.session for device in devices}
        assert 1 <= most <= POOL
        assert await waiting.until(lambda: nobody(postgres, database))


async def nobody(postgres: Postgres, database: str) -> bool:
    return await postgres.connections(database) == 0


async def test_without_a_pooler_the_server_closes_what_idles(steps, postgres, database, tmp_path, store):
    link, device = await linked(steps, store, "company_1")
    async with reached(server_of(postgres.url(database)), None, POOL) as direct, steps.holder() as holder:
        own = StoredDevice(device.session, link.jid, AT, direct.dsn)
        await held(holder, store, own)
        assert isinstance(await sent(holder, own, "m1"), Sent)
        assert await postgres.connections(database) > 0
        assert await waiting.until(lambda: nobody(postgres, database), 30)
        assert isinstance(await sent(holder, own, "m2"), Sent)
