"""Unlinking a held device: WhatsApp is told first, and the keys are kept until it has answered."""

import asyncio

import pytest

from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.failures import FailureCode
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from tests.unit.holding.house import (
    HOUR_AGO,
    OTHER,
    SESSION,
    House,
    R,
)
from tests.unit.world import change
from workers.engine import protocol as pipe
from workers.holding import admission, carrying
from workers.holding.tenure import UNLINKING, UNWELCOME
from workers.store.device import EXPORTED, StoreAway, Told


async def unlinking(house):
    """An unlink that waits for WhatsApp's answer."""
    task = asyncio.ensure_future(house.sessions.unlink(SESSION))
    await house.holders.heard.wait()
    assert house.holders.sent == [pipe.LogOut(session=SESSION)]
    return task


async def test_the_keys_are_kept_until_whatsapp_has_answered_the_log_out(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    await house.lose(R.START_FAILED)
    await house.until(lambda: len(house.holders.held) == 2)
    await house.holders.hear(pipe.Held(session=SESSION))
    task = await unlinking(house)
    assert await task is True
    assert SESSION in house.store.devices
    assert (await house.body()).state is State.LINKED
    await house.lose(R.LOGGED_OUT)
    assert house.store.devices == {}
    body = await house.body()
    assert (body.state, body.failure) == (State.UNLINKED, None)


async def test_a_device_is_unlinked_once_and_shows_no_trouble_meanwhile(house):
    await house.up()
    task = await unlinking(house)
    assert await house.sessions.unlink(SESSION) is True
    await house.holders.hear(pipe.Dropped(session=SESSION))
    assert (await house.body()).state is State.LINKED
    await house.holders.hear(pipe.Released(session=SESSION, detail="no answer"))
    assert await task is True
    assert len(house.holders.sent) == 1


async def test_an_unlink_that_the_store_cannot_keep_is_tried_again(house, monkeypatch):
    monkeypatch.setattr(carrying, "STORE_SECONDS", 0.01)
    await house.up()
    house.store.fault = StoreAway("Postgres is away")
    assert await house.sessions.unlink(SESSION) is True
    await house.until(lambda: house.holders.sent == [pipe.LogOut(session=SESSION)])
    assert house.store.devices[SESSION].parked.startswith("unlinking:")


async def test_while_whatsapp_is_away_an_unlink_waits_and_is_done_when_it_is_back(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    await house.lose(R.START_FAILED)
    assert await house.sessions.unlink(SESSION) is True
    for tries in range(2, 5):
        await house.until(lambda tries=tries: len(house.holders.held) >= tries)
        await house.lose(R.START_FAILED)
    assert (await house.body()).state is State.RECONNECTING
    assert SESSION in house.store.devices
    await house.holders.hear(pipe.Held(session=SESSION))
    assert house.holders.sent == [pipe.LogOut(session=SESSION)]
    await house.lose(R.LOGGED_OUT)
    assert house.store.devices == {}
    body = await house.body()
    assert (body.state, body.failure) == (State.UNLINKED, None)


async def test_an_unlink_that_was_tried_for_a_day_says_that_it_was_not_done(house, monkeypatch):
    monkeypatch.setattr(admission, "UNLINK_MS", 100)
    await house.up()
    await house.lose(R.START_FAILED)
    assert await house.sessions.unlink(SESSION) is True
    await house.until(lambda: len(house.sessions) == 0)
    await house.settled()
    body = await house.body()
    assert (body.state, body.failure.code) == (State.UNLINKED, FailureCode.CONNECTION_FAILED)
    assert house.store.devices == {}


async def test_an_unlink_that_ran_out_while_redis_was_away_is_told_of_a_banned_device_too(house, monkeypatch):
    await house.up()
    await house.lose(R.BANNED, now_ms() - 2_000)
    wish = f"{UNLINKING}:{now_ms() - 1}"
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], parked=wish, again_at=1)
    monkeypatch.setattr(house.ownership, "cut_off", True)
    await house.sessions.resume(SESSION)
    await house.until(lambda: not house.store.devices)
    await house.settled()
    body = await house.body()
    assert (body.state, body.failure.code) == (State.UNLINKED, FailureCode.CONNECTION_FAILED)


async def test_a_log_out_that_whatsapp_does_not_answer_is_asked_again(house, monkeypatch):
    monkeypatch.setattr(carrying, "UNLINK_SECONDS", 0.05)
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    assert await house.sessions.unlink(SESSION) is True
    await house.until(lambda: len(house.holders.held) == 2)
    assert house.holders.released == [SESSION]
    await house.holders.hear(pipe.Held(session=SESSION))
    assert len(house.holders.sent) == 2
    await house.lose(R.LOGGED_OUT)
    assert (await house.body()).state is State.UNLINKED


async def test_an_unlink_outlives_the_worker_that_was_asked(moment, house, redis):
    await house.up()
    assert await house.sessions.unlink(SESSION) is True
    device = house.store.devices[SESSION]
    assert 0 < device.again_at <= moment, "a sweep offers it"
    await house.leases.release(house.sessions._held[SESSION].lease)
    other = House(redis, now_ms() - HOUR_AGO)
    other.store.devices = house.store.devices
    await other.up()
    assert other.holders.sent == [pipe.LogOut(session=SESSION)]
    assert other.sessions._held[SESSION].tenure.leave_by == int(device.parked.partition(":")[2])


async def test_an_unlink_without_a_device_ends_a_snapshot_that_shows_one(house):
    await house.up()
    await house.sessions.hand_over()
    house.store.devices.clear()
    house.sessions._carrier.over = False
    assert (await house.body()).state is State.RECONNECTING
    assert await house.sessions.unlink(SESSION) is True
    assert (await house.body()).state is State.UNLINKED
    assert await house.leases.owner(SESSION) is None


@pytest.mark.parametrize("believed", [False, True])
async def test_a_device_that_was_exported_is_forgotten_and_its_new_client_is_left_alone(house, believed):
    if believed:
        await house.up()
        await house.sessions.hand_over()
        house.sessions._carrier.over = False
    started = list(house.holders.held)
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], parked=EXPORTED)
    assert await house.sessions.unlink(SESSION) is True
    assert house.store.devices == {}
    assert (house.holders.held, house.holders.sent) == (started, []), "WhatsApp hears nothing"
    assert (await house.body()).state is State.UNLINKED
    assert await house.leases.owner(SESSION) is None


async def test_an_unlink_that_cannot_be_done_here_says_so(house):
    await house.leases.acquire(SESSION, WorkerId("another"))
    assert await house.sessions.unlink(SESSION) is False
    assert await house.sessions.unlink(OTHER) is True, "there is nothing to do"


@pytest.mark.parametrize("how", ["lost", "handed over"])
async def test_a_session_lost_while_it_is_unlinked_keeps_its_keys_and_is_unlinked_elsewhere(house, how):
    await house.up()
    task = await unlinking(house)
    if how == "lost":
        house.links.ownership._drop([SESSION], "taken over")
    else:
        assert await house.sessions.hand_over() == [("unlink", SESSION)]
    await task
    assert house.store.devices[SESSION].parked.startswith("unlinking:")


async def test_a_device_that_must_not_stay_is_asked_to_go_again_if_the_first_time_fails(house, monkeypatch):
    """The page shows the attempt meanwhile, which tells the end itself."""
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    device = house.store.devices[SESSION]
    lease = await house.links.ownership.acquire(SESSION, house)
    await house.snapshots.save(lease, change(State.LINKING))
    refusing = asyncio.ensure_future(house.sessions.refuse(lease, device, 30.0))
    await house.until(lambda: len(house.holders.held) == 1)
    await house.holders.hear(pipe.Held(session=SESSION))
    await house.holders.hear(pipe.Released(session=SESSION, detail="no answer"))
    await house.until(lambda: len(house.holders.held) == 2)
    await house.holders.hear(pipe.Held(session=SESSION))
    await house.lose(R.LOGGED_OUT)
    await refusing
    assert house.store.devices == {}
    assert (await house.body()).state is State.LINKING


async def test_a_device_that_must_not_stay_keeps_its_keys_if_whatsapp_does_not_answer_in_time(house):
    lease = await house.links.ownership.acquire(SESSION, house)
    await house.sessions.refuse(lease, house.store.devices[SESSION], 0.01)
    await house.settled()
    assert SESSION in house.store.devices
    assert house.holders.released == [SESSION]
    assert house.sessions.devices == []


@pytest.mark.parametrize("why", sorted(UNWELCOME))
async def test_a_device_that_must_not_stay_is_logged_out_by_whoever_takes_it_up_and_nobody_is_told(house, why):
    """The worker of its attempt has died before it could."""
    lease = await house.links.ownership.acquire(SESSION, house)
    await house.snapshots.save(lease, change(State.FAILED, ending=True))
    await house.links.ownership.release(lease)
    device = house.store.devices[SESSION]
    house.store.devices[SESSION] = replace(device, parked=why, again_at=1, told=Told.NOTHING)
    await house.up()
    assert house.holders.sent == [pipe.LogOut(session=SESSION)]
    await house.ownership._beat()
    await house.lose(R.LOGGED_OUT)
    assert house.store.devices == {}
    assert (await house.body()).state is State.FAILED
    assert await house.leases.owner(SESSION) is None
