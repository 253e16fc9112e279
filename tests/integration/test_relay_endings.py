"""From Redis to the slots, at the end: a link revoked, a deadline passed, a Redis that forgot or went back."""

import asyncio

import pytest

from app.access import Access
from app.onboarding import Endings
from app.page import relay as relay_module
from app.page.slot import SocketEnded
from shared.core import keys
from shared.core.lifecycle import State
from shared.state.claims import Claims
from tests.integration.slots import has, state_in
from tests.unit.world import SESSION, change
from tests.waiting import until


@pytest.fixture
def access(config, redis):
    return Access(config)


async def ended_with(slot):
    with pytest.raises(SocketEnded) as ended:
        async with asyncio.timeout(5):
            await everything_in(slot)
    return ended.value.code


async def test_a_revoked_links_sockets_are_closed_and_no_others(relay, world, operator, access):
    async with (
        relay.watch(SESSION, "leaked") as one,
        relay.watch(SESSION, "leaked") as two,
        relay.watch(SESSION, "good") as good,
    ):
        await good.first()
        await until(lambda: has(operator, keys.events(SESSION)))
        await Endings(operator, Claims(operator)).revoke_link("leaked")
        assert {await ended_with(one), await ended_with(two)} == {4401}
        await operator.publish(keys.LINKS_CHANNEL, b"\xff rubbish")
        await world.ask()
        assert await state_in(good) == "queued"


async def test_a_link_that_was_revoked_unheard_is_closed_when_we_hear_again(relay, operator, access, monkeypatch):
    async with relay.watch(SESSION, "leaked") as leaked, relay.watch(SESSION, "good") as good:
        await until(lambda: has(operator, keys.events(SESSION)))
        await operator.set(keys.link("leaked"), "revoked")
        await operator.client_kill_filter(_type="pubsub")
        assert await ended_with(leaked) == 4401
        await good.first()


async def everything_in(slot, *, first=False):
    if first:
        await slot.first()
    while True:
        await slot.next()


async def test_over_a_redis_that_forgot_everything_all_tabs_come_back_to_the_truth(relay, world, operator, monkeypatch):
    monkeypatch.setattr(relay_module, "BEHIND_SECONDS", 0.3)
    monkeypatch.setattr(relay_module, "TICK_SECONDS", 0.1)
    await world.ask()
    async with relay.watch(SESSION) as one:
        assert (await one.first()).state is State.QUEUED
        await operator.flushall()
        async with relay.watch(SESSION) as two:  # a second tab, before anybody has noticed
            async with asyncio.timeout(5):
                with pytest.raises(SocketEnded):
                    await everything_in(one)
                with pytest.raises(SocketEnded):
                    await everything_in(two, first=True)
    async with relay.watch(SESSION) as slot, asyncio.timeout(5):
        assert (await slot.first()).state is State.UNLINKED


async def test_an_owner_that_puts_back_what_redis_forgot_keeps_the_tabs(relay, world, operator, monkeypatch):
    monkeypatch.setattr(relay_module, "TICK_SECONDS", 0.1)
    await operator.set(keys.fence(SESSION), 1000)  # as of long ago: within one second numbers would not grow
    lease = await world.serve()
    async with relay.watch(SESSION) as slot:
        await slot.first()
        await operator.flushall()
        again = await world.leases.acquire(SESSION, lease.worker)
        assert await world.snapshots.save(again, change(State.AWAITING_PHONE))
        while await state_in(slot) != "awaiting_phone":
            pass


async def test_an_onboarding_past_its_deadline_is_closed_by_whoever_looks(relay, world):
    lease = await world.serve(deadline=1)
    assert lease
    async with relay.watch(SESSION) as slot:
        first = await slot.first()
    assert first.state is State.FAILED
    assert first.failure is not None
    assert first.failure.code == "worker-lost"


async def test_a_redis_that_went_back_a_second_is_believed_once_its_owner_has_had_time(
    relay, world, operator, monkeypatch
):
    monkeypatch.setattr(relay_module, "BEHIND_SECONDS", 0.3)
    monkeypatch.setattr(relay_module, "TICK_SECONDS", 0.1)
    lease = await world.serve()
    before = await operator.hgetall(keys.snapshot(SESSION))
    for _ in range(5):
        await world.snapshots.save(lease, change(State.AWAITING_PHONE))
    async with relay.watch(SESSION) as slot:
        await slot.first()
        await operator.delete(keys.snapshot(SESSION))
        await operator.hset(keys.snapshot(SESSION), mapping=before)
        # An owner of an older version, which does not notice, goes on: it must not look like life.
        await world.snapshots.save(lease, change(State.AWAITING_PHONE))
        await world.snapshots.save(lease, change(State.LINKING))
        async with asyncio.timeout(5):
            with pytest.raises(SocketEnded):
                await everything_in(slot)
    async with relay.watch(SESSION) as slot, asyncio.timeout(5):
        assert (await slot.first()).state is State.LINKING


async def test_a_redis_that_went_back_and_whose_owner_speaks_keeps_the_tabs(relay, world, operator, monkeypatch):
    monkeypatch.setattr(relay_module, "TICK_SECONDS", 0.1)
    lease = await world.serve()
    before = await operator.hgetall(keys.snapshot(SESSION))
    await world.snapshots.save(lease, change(State.AWAITING_PHONE))
    async with relay.watch(SESSION) as slot:
        await slot.first()
        await operator.hset(keys.snapshot(SESSION), mapping=before)
        [again] = await world.leases.retake(lease.worker, [lease])
        assert again.token > lease.token
        assert await world.snapshots.save(again, change(State.AWAITING_PHONE))
        while await state_in(slot) != "awaiting_phone":
            pass
