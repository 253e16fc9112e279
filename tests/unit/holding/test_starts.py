"""Starts of held sessions: tried again, not after a hand-over, and by one worker only."""

import asyncio
from contextlib import suppress

import pytest

from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.failures import FailureCode
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from tests.unit.holding.house import (
    HOUR_AGO,
    OTHER,
    PHONE,
    SESSION,
    R,
)
from tests.unit.world import stop_beating
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed
from workers.holding import carrying, roster
from workers.holding.holders import Room
from workers.store.device import StoreAway, StoredDevice


async def test_while_its_holder_is_recycled_a_session_is_not_online(house):
    await house.up()
    held = house.sessions._held[SESSION]
    await house.holders.hear(pipe.Dropped(session=SESSION))
    assert not held.online
    assert (await house.body()).state is State.RECONNECTING
    await house.holders.hear(pipe.Held(session=SESSION))
    assert held.online


async def test_many_that_are_taken_up_at_once_are_no_more_than_there_is_room_for(house):
    house.sessions._admission.most = 1
    house.store.devices[OTHER] = StoredDevice(OTHER, f"{PHONE[1:]}:2@s.whatsapp.net", now_ms() - HOUR_AGO, "/nowhere")
    await asyncio.gather(house.sessions.resume(SESSION), house.sessions.resume(OTHER))
    assert len(house.sessions) == 1


async def test_a_session_that_was_logging_in_at_two_deaths_gets_a_process_of_its_own(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    for deaths in (1, 2):
        await house.holders.hear(pipe.Starting(session=SESSION))
        await house.holders.died([SESSION])
        await house.until(lambda deaths=deaths: len(house.holders.held) == deaths + 1)
    assert house.holders.rooms == [Room.ORDINARY, Room.ORDINARY, Room.ALONE]
    assert house.sessions.quarantined == [SESSION]
    await house.holders.hear(pipe.Starting(session=SESSION))
    await house.holders.died([SESSION])  # tried again later, not at once: it would keep us busy
    assert len(house.holders.held) == 3
    await house.until(lambda: len(house.holders.held) == 4)
    assert house.holders.rooms[-1] is Room.ALONE
    await house.holders.hear(pipe.Held(session=SESSION))
    await house.holders.died([SESSION])  # it was online: it comes back all the same
    await house.until(lambda: len(house.holders.held) == 5)


async def test_a_session_that_was_online_at_the_death_of_its_process_is_not_suspected(house):
    await house.up()
    for deaths in range(1, 4):
        await house.holders.hear(pipe.Starting(session=SESSION))
        await house.holders.hear(pipe.Held(session=SESSION))
        await house.holders.died([SESSION])
        await house.until(lambda deaths=deaths: len(house.holders.held) == deaths + 1)
    assert house.sessions.quarantined == []


async def test_keys_that_are_gone_are_our_fault_and_the_library_is_not_started_on_them(house):
    house.store.there = False
    await house.sessions.resume(SESSION)
    body = await house.body()
    assert (body.state, body.failure.code) == (State.UNLINKED, FailureCode.INTERNAL)
    assert house.holders.held == []
    assert house.store.devices == {}


async def test_a_session_lost_while_the_store_is_asked_is_not_started(house):
    house.store.answers.clear()
    resuming = asyncio.ensure_future(house.sessions.resume(SESSION))
    await house.store.asked.wait()
    house.sessions._held[SESSION].lost()
    house.store.answers.set()
    await resuming
    assert house.holders.held == []


async def test_nothing_is_started_while_sessions_are_handed_over(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0, 0))
    await house.up()
    house.store.answers.clear()
    house.store.asked.clear()
    dying = asyncio.ensure_future(house.holders.died([SESSION]))
    await house.store.asked.wait()
    assert await house.sessions.hand_over() == [("resume", SESSION)]
    house.store.answers.set()
    await dying
    assert house.holders.held == [SESSION], "only the first time"
    assert await house.leases.owner(SESSION) is None
    assert (await house.body()).state is State.RECONNECTING


async def test_a_device_that_is_linked_while_sessions_are_handed_over_is_not_held_here_and_offered_too(house):
    assert await house.sessions.hand_over() == []
    device = house.store.devices[SESSION]
    lease = await house.links.ownership.acquire(SESSION, house)
    await house.sessions.adopt(lease, device, house.links.body(device), ())
    await house.settled()
    assert house.holders.held == []
    assert await house.sessions.hand_over() == [("resume", SESSION)]
    assert await house.leases.owner(SESSION) is None


async def test_a_device_that_is_refused_is_not_handed_over_and_its_keys_are_kept_for_the_next_who_logs_it_out(house):
    device = house.store.devices[SESSION]
    lease = await house.links.ownership.acquire(SESSION, house)
    refusing = asyncio.ensure_future(house.sessions.refuse(lease, device, 30.0))
    await house.store.asked.wait()
    assert await house.sessions.hand_over() == []
    async with asyncio.timeout(5):
        await refusing
    assert house.store.devices == {SESSION: device}
    assert house.sessions.devices == []
    assert await house.leases.owner(SESSION) == "w", "the lease is the attempt's"


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("holders", EngineFailed("none could be had")),
        ("holders", KeyError()),
        ("store", StoreAway("the disk is full")),
        ("store", asyncio.CancelledError()),  # the limit of the job
    ],
)
async def test_a_start_that_fails_is_tried_again(house, monkeypatch, where, fault):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    (house.holders if where == "holders" else house.store).fault = fault
    with suppress(KeyError, asyncio.CancelledError):
        await house.sessions.resume(SESSION)
    await house.until(lambda: house.holders.held == [SESSION])


async def test_a_redis_that_fails_before_the_start_leaves_nothing_unstarted(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    save, faults = house.snapshots.save, [asyncio.CancelledError(), ConnectionResetError()]

    async def failing(*args):
        if faults:
            raise faults.pop()
        return await save(*args)

    monkeypatch.setattr(house.snapshots, "save", failing)
    await house.sessions.resume(SESSION)
    await house.until(lambda: house.holders.held == [SESSION])


async def test_one_session_that_cannot_be_started_keeps_no_other_of_its_holder_waiting(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    house.store.devices[OTHER] = StoredDevice(OTHER, f"{PHONE[1:]}:2@s.whatsapp.net", now_ms() - HOUR_AGO, "/nowhere")
    await house.sessions.resume(SESSION)
    await house.sessions.resume(OTHER)
    house.holders.fault = KeyError()
    await house.holders.died([SESSION, OTHER])
    assert house.holders.held == [SESSION, OTHER, OTHER]
    await house.until(lambda: house.holders.held == [SESSION, OTHER, OTHER, SESSION])


async def test_a_device_that_was_just_linked_stays_linked_when_it_cannot_be_started(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    device = house.store.devices[SESSION]
    lease = await house.links.ownership.acquire(SESSION, house)
    house.holders.fault = KeyError()
    await house.sessions.adopt(lease, device, house.links.body(device), ())
    await house.until(lambda: house.holders.held == [SESSION])


async def test_a_session_that_could_not_be_connected_for_days_is_still_tried_again(house):
    await house.up()
    held = house.sessions._held[SESSION]
    held.tenure = replace(held.tenure, tries=10_000)
    await house.lose(R.START_FAILED)
    assert len(held.timers) == 1


async def test_a_sleeper_whose_process_died_writes_nothing_before_its_heartbeat_has_taken_the_lease_anew(
    house, monkeypatch
):
    """Redis would refuse it, and the session would be let go of."""
    monkeypatch.setattr(roster, "SAY_AGAIN_SECONDS", 0.01)
    await house.up()
    house.ownership._renewed = asyncio.get_running_loop().time() - 10
    await stop_beating(house.redis, WorkerId("w"))
    dying = asyncio.create_task(house.holders.died([SESSION]))
    await house.until(lambda: house.ownership._beaten._waiters)
    await house.ownership._beat()
    await dying
    await house.until(lambda: house.holders.held == [SESSION, SESSION])  # now, or when its lease has been told
    await house.settled()
    assert (house.holders.held, house.holders.released) == ([SESSION, SESSION], [])
    assert (await house.body()).state is State.RECONNECTING
