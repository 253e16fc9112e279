"""Ends of claims: cancelled, begun anew, closed past the deadline."""

import asyncio
import time

import pytest

from shared.core import clock, keys
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.lifecycle import CANCELLABLE, RUNNING, State
from shared.core.protocol import Method
from shared.state.claims import (
    Cancelled,
    Outcome,
    queued,
)
from shared.state.rescue import SWEEP_GRACE_MS, lost_worker
from tests.unit.world import ONE, OTHER, PHONE, SESSION, Ear, change


async def test_a_queued_attempt_is_cancelled_at_once(world):
    asked = await world.ask(PHONE)
    async with Ear(world.redis) as ear:
        cancelled = await world.claims.cancel(SESSION, change(State.CANCELLED))
        assert [news["body"]["state"] for news in await ear.heard()] == ["cancelled"]
    assert cancelled == Cancelled(done=True, attempt=asked.attempt, owner=None)
    assert await world.redis.exists(keys.claim(SESSION), keys.subject(SESSION)) == 0
    assert (await world.ask()).attempt > asked.attempt


async def test_a_served_attempt_is_cancelled_by_its_worker(world):
    lease = await world.serve()
    before = await world.everything()
    assert await world.claims.cancel(SESSION, change(State.CANCELLED)) == Cancelled(False, lease.token, ONE)
    assert await world.everything() == before


@pytest.mark.parametrize("state", sorted(set(State) - CANCELLABLE - {State.UNLINKED}))
async def test_nothing_else_can_be_cancelled(world, state):
    lease = await world.serve(state=state)
    await world.leases.release(lease)
    before = await world.everything()
    cancelled = await world.claims.cancel(SESSION, change(State.CANCELLED))
    assert (cancelled.done, cancelled.owner) == (False, None)
    assert await world.everything() == before


async def test_cancelling_where_nothing_was_ever_asked_does_nothing(world):
    assert await world.claims.cancel(SESSION, change(State.CANCELLED)) == Cancelled(False, 0, None)
    assert await world.everything() == {}


async def test_an_attempt_begins_anew_only_when_its_owner_is_gone(world):
    lease = await world.serve()
    assert await world.rescue.restart(SESSION, queued(Method.QR, "again")) is None
    await world.lapse()
    attempt = await world.rescue.restart(SESSION, queued(Method.QR, "again"))
    assert attempt is not None
    assert attempt > lease.token
    assert await world.state() is State.QUEUED
    assert int(await world.redis.get(keys.claim(SESSION))) == attempt
    assert await world.snapshots.save(lease, change()) is None
    assert await world.leases.acquire(SESSION, OTHER, attempt=attempt)


@pytest.mark.parametrize("state", sorted(set(State) - CANCELLABLE))
async def test_an_attempt_past_the_phones_yes_is_not_begun_anew(world, state):
    await world.serve(state=state)
    await world.lapse()
    assert await world.rescue.restart(SESSION, queued(Method.QR, "again")) is None


@pytest.mark.parametrize(
    ("late", "closed"), [(-1000, False), (SWEEP_GRACE_MS - 2000, False), (SWEEP_GRACE_MS + 1, True)]
)
@pytest.mark.parametrize("state", sorted(RUNNING))
async def test_a_running_onboarding_is_closed_only_past_its_deadline_and_grace(world, late, closed, state):
    lease = await world.serve(state=state, deadline=now_ms() - late)
    assert await world.rescue.close_overdue(SESSION) is closed
    end = State.EXPIRED if state is State.QUEUED else State.FAILED
    assert (await world.state() is end) is closed
    assert bool(await world.redis.exists(keys.claim(SESSION))) is not closed
    assert (await world.snapshots.save(lease, change(State.FAILED)) is None) is closed


@pytest.mark.parametrize("ahead_ms", [-200_000, 200_000])
async def test_whoever_looks_goes_by_redis_clock_and_not_by_its_own(world, monkeypatch, ahead_ms):
    await world.serve(deadline=now_ms() + 60_000)
    host = time.time_ns
    monkeypatch.setattr(clock._clock, "ahead", host() - time.monotonic_ns() + ahead_ms * 1_000_000)
    assert not await world.rescue.close_overdue(SESSION)
    assert await world.rescue.overdue() == []


async def test_an_attempt_that_waited_in_vain_expires_and_no_worker_is_called_lost(world):
    await world.ask()
    await world.redis.zadd(keys.CLAIMS, {SESSION: 1})
    assert await world.rescue.close_overdue(SESSION)
    body = (await world.snapshots.read(SESSION)).body
    assert (body.state, body.failure) == (State.EXPIRED, None)
    assert await world.redis.hgetall(keys.STATS) == {b'endings{state="expired"}': b"1"}
    assert (await world.ask()).outcome is Outcome.STARTED


async def test_of_many_who_close_one_does(world):
    await world.serve(deadline=now_ms() - SWEEP_GRACE_MS - 1)
    async with Ear(world.redis) as ear:
        closed = await asyncio.gather(*(world.rescue.close_overdue(SESSION) for _ in range(10)))
        assert sum(closed) == 1
        (news,) = await ear.heard()
    assert news["body"]["failure"] == {"code": "worker-lost", "retryable": True}
    assert (await world.ask()).outcome is Outcome.STARTED


@pytest.mark.parametrize("state", sorted(set(State) - RUNNING - {State.UNLINKED}))
async def test_an_ended_attempt_is_never_overdue(world, state):
    await world.serve(state=state, deadline=1)
    assert not await world.rescue.close_overdue(SESSION)


def test_a_lost_worker_is_told_as_such():
    failure = lost_worker().body.failure
    assert failure is not None
    assert failure.code is FailureCode.WORKER_LOST


async def test_an_owner_that_was_closed_does_not_take_redis_for_a_forgetful_one(world):
    lease = await world.serve(deadline=now_ms() - SWEEP_GRACE_MS - 1)
    assert await world.rescue.close_overdue(SESSION)
    assert await world.leases.retake(ONE, [lease]) == [None]
    await world.redis.flushall()
    assert await world.leases.retake(ONE, [lease]) != [None]


async def test_an_owner_whose_attempt_began_anew_elsewhere_takes_nothing_back(world):
    lease = await world.serve()
    await world.lapse()
    attempt = await world.rescue.restart(SESSION, queued(Method.QR, "again"))
    assert await world.leases.retake(ONE, [lease]) == [None]
    assert await world.leases.acquire(SESSION, OTHER, attempt=attempt)


async def test_an_attempt_of_a_dead_worker_is_cancelled_at_once(world):
    lease = await world.serve()
    await world.lapse()
    cancelled = await world.claims.cancel(SESSION, change(State.CANCELLED))
    assert cancelled == Cancelled(done=True, attempt=lease.token, owner=None)
    assert await world.state() is State.CANCELLED
    assert await world.rescue.restart(SESSION, queued(Method.QR, "again")) is None
    assert await world.leases.retake(ONE, [lease]) == [None]
