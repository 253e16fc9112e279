"""Held sessions while Redis or the store forgets them, is away, or names another owner."""

import asyncio

import pytest

from shared.core import keys
from shared.core.datum import replace
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from shared.state.rescue import Rescue
from tests.unit.holding.house import (
    SESSION,
    R,
)
from tests.unit.world import stop_beating
from workers.engine import protocol as pipe
from workers.holding import carrying, roster
from workers.store.device import StoreAway


async def forgotten(house):
    """Redis is emptied, and then hears of the session before its worker's next heartbeat."""
    await house.up()
    await house.redis.flushall()
    await house.holders.hear(pipe.Dropped(session=SESSION))


async def test_a_snapshot_that_redis_forgot_is_saved_again_once_the_lease_is_retaken(house, monkeypatch):
    monkeypatch.setattr(roster, "SAY_AGAIN_SECONDS", 0.01)
    await forgotten(house)
    assert house.sessions.holds(house.sessions._held[SESSION])
    await house.links.ownership._beat()
    await house.until(lambda: not house.sessions._held[SESSION].timers)
    assert house.holders.released == []
    assert await house.leases.owner(SESSION) == "w"
    assert (await house.body()).state is State.RECONNECTING


async def test_a_write_while_the_lease_is_being_retaken_ends_nothing(house, monkeypatch):
    monkeypatch.setattr(roster, "SAY_AGAIN_SECONDS", 0.01)
    await house.up()
    await house.redis.flushall()
    retake = house.leases.retake

    async def retaken_but_not_yet_known(*about):
        leases = await retake(*about)
        await house.holders.hear(pipe.Dropped(session=SESSION))
        return leases

    monkeypatch.setattr(house.leases, "retake", retaken_but_not_yet_known)
    await house.links.ownership._beat()
    await house.until(lambda: not house.sessions._held[SESSION].timers)
    await house.settled()
    assert house.holders.released == []
    assert await house.leases.owner(SESSION) == "w"
    assert (await house.body()).state is State.RECONNECTING


async def test_a_sleeper_that_met_the_job_to_take_its_own_session_up_takes_it_up_once_it_has_lost_it(house):
    """A sweep freed the session of a worker that slept, and offered it; the worker awoke, and took that very job."""
    await house.up()
    lease = house.sessions._held[SESSION].lease
    await house.redis.delete(keys.lease(SESSION))
    await house.redis.incr(keys.fence(SESSION))  # as `free` does
    await house.sessions.resume(SESSION)
    assert len(house.holders.held) == 1
    await house.ownership._retake([lease])
    await house.settled()
    [(session, _)] = house.offered
    assert session == SESSION
    await house.up()
    assert await house.leases.owner(SESSION) is not None
    assert (await house.body()).state is State.LINKED


async def test_a_session_of_another_worker_is_neither_held_nor_owned_any_more(house):
    await house.up()
    await stop_beating(house.redis, WorkerId("w"))
    await house.leases.acquire(SESSION, WorkerId("another"))
    await house.holders.hear(pipe.Dropped(session=SESSION))
    await house.settled()
    assert (len(house.sessions), house.holders.released) == (0, [SESSION])
    assert house.links.ownership.owner(SESSION) is None
    assert await house.leases.owner(SESSION) == "another"
    assert house.offered == [], "nobody shall look at what is held well"


async def test_an_end_is_said_no_more_once_the_lease_is_somebody_elses(house, monkeypatch):
    monkeypatch.setattr(roster, "SAY_AGAIN_SECONDS", 0.01)
    await house.up()
    tried = asyncio.Event()

    async def away(*_args):
        tried.set()
        raise ConnectionResetError

    monkeypatch.setattr(house.snapshots, "save", away)
    losing = asyncio.ensure_future(house.lose(R.LOGGED_OUT))
    await tried.wait()
    house.links.ownership._drop([SESSION], "taken over")
    await losing


async def test_a_loss_that_the_store_cannot_take_is_written_down_when_it_is_back(house, monkeypatch):
    monkeypatch.setattr(carrying, "STORE_SECONDS", 1.0)
    await house.up()
    house.store.fault = StoreAway("Postgres is away")
    await house.lose(R.REPLACED)
    assert house.store.devices[SESSION].parked == ""
    await house.until(lambda: house.ownership.owner(SESSION) is None)  # its end is said, and its lease given back
    assert house.store.devices[SESSION].parked == R.REPLACED.value
    assert (await house.body()).state is State.FAILED
    assert house.holders.held == [SESSION], "and meanwhile it did not fight back"


async def test_while_the_store_thinks_about_a_loss_the_holders_other_sessions_are_heard(house, monkeypatch):
    await house.up()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(*_write):
        asked.set()
        await answer.wait()

    monkeypatch.setattr(house.store, "note", slow)
    async with asyncio.timeout(5):
        await house.holders.hear(pipe.Lost(session=SESSION, reason=R.REPLACED))
        await asked.wait()
    answer.set()
    await house.settled()


async def test_a_late_forgetting_leaves_the_session_that_was_taken_up_since(house, monkeypatch):
    await house.up()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(*_write):
        asked.set()
        await answer.wait()

    monkeypatch.setattr(house.store, "forget", slow)
    losing = asyncio.ensure_future(house.lose(R.LOGGED_OUT))
    await asked.wait()
    house.links.ownership._drop([SESSION], "taken over")
    await stop_beating(house.redis, WorkerId("w"))
    await house.sessions.resume(SESSION)
    answer.set()
    await losing
    assert SESSION in house.sessions._held


async def test_a_take_over_names_itself_in_the_store_before_it_connects(house):
    await house.sessions.resume(SESSION)
    lease = await house.redis.get(keys.lease(SESSION))
    assert lease.decode() == f"w:{house.store.devices[SESSION].token}"


async def test_behind_a_redis_that_went_back_a_take_over_goes_on_to_a_token_that_is_new(house):
    device = house.store.devices[SESSION]
    newest = 3
    house.store.devices[SESSION] = replace(device, token=newest)
    await house.redis.set(keys.fence(SESSION), 1)
    await house.sessions.resume(SESSION)
    assert house.holders.held == [SESSION]
    assert house.store.devices[SESSION].token > newest


async def test_a_worker_that_was_overtaken_in_the_store_neither_parks_nor_tells(house):
    await house.up()
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], token=10**12)
    await house.lose(R.REPLACED)
    assert house.store.devices[SESSION].parked == ""
    assert (await house.body()).state is State.LINKED
    assert house.holders.released == [SESSION]
    assert len(house.sessions) == 0


async def cut_off(house):
    """Redis stays away for so long that others may have taken over."""
    await house.up()
    house.ownership.cut_off = True
    house.ownership.on_alone = house.sessions.ask_store


async def test_without_redis_a_session_is_held_until_the_store_names_another(house):
    await cut_off(house)
    await house.ownership._stand_alone()
    assert house.holders.released == []
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], token=10**12)
    await house.ownership._stand_alone()
    await house.settled()
    assert house.holders.released == [SESSION]
    assert house.store.devices[SESSION].parked == ""


async def test_without_redis_and_without_the_store_a_session_is_held(house):
    await cut_off(house)
    house.store.fault = StoreAway("Postgres is away")
    await house.ownership._stand_alone()
    assert house.sessions.holds(house.sessions._held[SESSION])
    assert house.holders.released == []


@pytest.mark.parametrize("away", [False, True])
async def test_without_redis_whoever_is_replaced_yields_and_parks_nothing(house, away):
    await cut_off(house)
    if away:
        house.store.fault = StoreAway("Postgres is away")
    await house.lose(R.REPLACED)
    assert house.holders.released == [SESSION]
    assert house.store.devices[SESSION].parked == ""
    assert (await house.body()).state is State.LINKED, "nothing was written"


async def test_without_redis_what_a_connection_says_waits_and_holds_up_nobody(house, monkeypatch):
    monkeypatch.setattr(roster, "SAY_AGAIN_SECONDS", 0.01)
    await cut_off(house)
    await house.holders.hear(pipe.Dropped(session=SESSION))
    assert (await house.body()).state is State.LINKED
    house.ownership.cut_off = False
    await house.until(lambda: not house.sessions._held[SESSION].timers)
    await house.settled()  # the timer has only begun to say it
    assert (await house.body()).state is State.RECONNECTING


async def test_a_linked_session_outlives_a_redis_that_knows_its_lease_and_an_older_snapshot(house):
    """Redis went back by less than a lease: the owner says where it stands all the same, and no sweep ends it."""
    await house.up()
    lease = house.sessions._held[SESSION].lease
    old = await house.redis.hgetall(keys.snapshot(SESSION))
    await house.redis.hset(keys.snapshot(SESSION), mapping=old | {"seq": 1, "body": b'{"state":"awaiting_phone"}'})
    await house.redis.zadd(keys.CLAIMS, {SESSION: 1})
    house.ownership.another_server()
    await house.ownership._beat()
    await house.until(lambda: not house.ownership._telling)
    assert not await Rescue(house.redis).close_overdue(SESSION)
    assert (await house.body()).state is State.LINKED
    assert house.sessions._held[SESSION].lease.token > lease.token
    assert house.holders.released == []
