"""The heartbeat over a real Redis: whoever cannot renew stops before the lease lapses, and learns of it."""

import asyncio
import signal

import orjson
import pytest

from app.local import redis as local_redis
from shared.core import keys
from shared.core.ids import SessionId
from shared.jobs.queue import client
from shared.state import pool as redis_pool
from shared.state.lease import GIVE_UP_MS, HEARTBEAT_MS, LEASE_MS, NOBODY
from shared.state.rescue import Rescue
from tests.integration.beating import Acting, Beating, after
from tests.unit.world import ONE, OTHER, SESSION, stop_beating
from tests.waiting import played_time, until
from workers import ownership as ownership_module


async def test_a_lease_is_kept_for_as_long_as_its_worker_beats(redis, operator):
    async with Beating(redis) as worker:
        owner = Acting()
        await worker.ownership.acquire(SESSION, owner)
        await operator.pexpire(keys.alive(ONE), 3000)
        await until(lambda: is_renewed(operator))
        assert owner.lost_at is None
        assert worker.ownership.owner(SESSION) is owner


async def test_a_stale_attempt_that_asks_first_does_not_cost_the_claimed_one_its_lease(redis, world):
    claimed = (await world.ask()).attempt
    async with Beating(redis) as worker:
        stale, asked = (worker.ownership.acquire(SESSION, Acting(), attempt=one) for one in (claimed - 1, claimed))
        refused, lease = await asyncio.gather(stale, asked)
    assert refused is None
    assert lease is not None
    assert lease.token == claimed


async def is_renewed(operator):
    return await operator.pttl(keys.alive(ONE)) > 4500


@pytest.mark.parametrize("how", ["taken over", "closed", "freed"])
async def test_a_lost_lease_is_told_once_and_not_fought_for(redis, operator, how):
    async with Beating(redis) as worker:
        owner, other = Acting(), Acting()
        lease = await worker.ownership.acquire(SESSION, owner)
        await worker.ownership.acquire(SessionId("company_other"), other)
        if how == "closed":  # past its deadline, though its worker lives
            body = {"state": "connecting", "method": "qr", "deadline": 1}
            await operator.hset(keys.snapshot(SESSION), mapping={"attempt": 1, "seq": 1, "body": orjson.dumps(body)})
            assert await Rescue(redis).close_overdue(SESSION)
        else:
            take = worker.leases.acquire if how == "taken over" else worker.leases.free
            whom = (SESSION, OTHER) if how == "taken over" else (ONE, [SESSION])
            # A heartbeat may come between the two.
            await until(lambda: after(operator.delete(keys.alive(ONE)), take, *whom))
        await until(lambda: owner.lost_at)
        assert worker.ownership.owner(SESSION) is None
        assert other.lost_at is None
        assert await worker.leases.owner(SESSION) == (OTHER if how == "taken over" else None)
        assert owner.leases == []
        assert await worker.leases.advance(lease) is None


async def test_a_worker_whose_heartbeat_lapsed_keeps_what_nobody_has_taken(redis, operator):
    async with Beating(redis) as worker:
        owner = Acting()
        await worker.ownership.acquire(SESSION, owner)
        await operator.delete(keys.alive(ONE))
        await until(lambda: operator.exists(keys.alive(ONE)))
        count = len(worker.beats)
        await until(lambda: len(worker.beats) > count + 1)
        assert owner.lost_at is None
        assert await worker.leases.owner(SESSION) == ONE


async def test_a_lease_that_was_retaken_unheard_is_nobody_elses(redis, operator, monkeypatch):
    """The heartbeat was cut short between Redis and us."""
    async with Beating(redis) as worker:
        owner = Acting()
        await worker.ownership.acquire(SESSION, owner)
        retake = worker.leases.retake

        async def unheard(*about):
            monkeypatch.setattr(worker.leases, "retake", retake)
            await retake(*about)
            raise TimeoutError

        monkeypatch.setattr(worker.leases, "retake", unheard)
        await operator.delete(keys.alive(ONE))
        await until(lambda: owner.leases or owner.lost_at)
        assert owner.lost_at is None
        assert await worker.leases.owner(SESSION) == ONE


async def test_what_follows_a_heartbeat_has_the_time_until_the_next(redis, operator, monkeypatch):
    async with Beating(redis) as worker:
        owner = Acting()
        await worker.ownership.acquire(SESSION, owner)
        look = worker.leases.look

        async def long(*leases):
            await asyncio.sleep(1)  # a thousand take their time
            return await look(*leases)

        monkeypatch.setattr(worker.leases, "look", long)
        worker.ownership._renewed -= 10  # as after some seconds without Redis
        await operator.delete(keys.alive(ONE))
        await until(lambda: owner.leases or owner.lost_at)
        assert owner.lost_at is None


async def test_a_session_that_is_ours_by_redis_alone_is_given_up(redis, operator, monkeypatch):
    monkeypatch.setattr(ownership_module, "DIFFERING_BEATS", 1)
    monkeypatch.setattr(ownership_module, "STRAY_BEATS", 1)
    async with Beating(redis) as worker:
        assert await worker.leases.acquire(SESSION, ONE)  # and the answer was lost for good
        await until(lambda: worker.leases.held_by(NOBODY))
        assert await worker.leases.owner(SESSION) is None


async def test_a_worker_hears_that_somebodys_lease_has_lapsed(redis, operator):
    async with Beating(redis) as worker:
        await worker.leases.acquire(SESSION, OTHER)
        await stop_beating(operator, OTHER)
        await until(lambda: worker.lapsed_at)


async def test_one_session_has_one_owner_here(redis):
    async with Beating(redis) as worker:
        first, second = Acting(), Acting()
        lease = await worker.ownership.acquire(SESSION, first)
        assert await worker.ownership.acquire(SESSION, second) is None
        assert worker.ownership.hand_over(SESSION, second) == lease
        assert worker.ownership.owner(SESSION) is second
        await worker.ownership.release(lease)
        await worker.ownership.release(lease)
        assert worker.ownership.owner(SESSION) is None
        assert await worker.leases.owner(SESSION) is None


async def test_a_lease_advanced_or_given_back_during_a_beat_is_not_lost(redis, monkeypatch):
    async with Beating(redis) as worker:
        owner = Acting()
        lease = await worker.ownership.acquire(SESSION, owner)
        look = worker.leases.look

        async def overtaken(who, leases):
            assert await worker.ownership.advance(lease)
            return await look(who, leases)

        monkeypatch.setattr(worker.leases, "look", overtaken)
        await worker.ownership._look()
        assert owner.lost_at is None
        assert worker.ownership.owner(SESSION) is owner


async def test_the_answer_of_a_look_may_overtake_that_of_an_advance(redis, monkeypatch):
    """Two connections: Redis has advanced the token, and the worker hears the later answer first."""
    async with Beating(redis) as worker:
        owner = Acting()
        lease = await worker.ownership.acquire(SESSION, owner)
        advance = worker.leases.advance

        async def late(one):
            newer = await advance(one)
            await worker.ownership._look()
            return newer

        monkeypatch.setattr(worker.leases, "advance", late)
        newer = await worker.ownership.advance(lease)
        assert newer.token > lease.token
        assert owner.lost_at is None
        assert worker.ownership.owner(SESSION) is owner


@pytest.fixture
async def mortal(folder, config_for):
    """A Redis of this test alone, and a client of it."""
    with local_redis.running(folder / "redis") as server:
        redis = client(redis_pool.pool(config_for(server.url)))
        yield server, redis
        server.process.send_signal(signal.SIGCONT)
        await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
async def test_without_redis_everything_is_given_up_before_its_lease_lapses(mortal, fault):
    server, redis = mortal
    loop = asyncio.get_running_loop()
    async with Beating(redis) as worker:
        owners = [Acting() for _ in range(20)]
        for number, owner in enumerate(owners):
            await worker.ownership.acquire(SessionId(f"company_{number}"), owner)
        count = len(worker.beats)
        await until(lambda: len(worker.beats) > count)  # renewed just now: the longest that it can live
        renewed = loop.time()
        server.process.send_signal(fault)
        await until(lambda: all(owner.lost_at for owner in owners), 12)
    for owner in owners:
        assert owner.lost_at is not None
        assert owner.lost_at - renewed < LEASE_MS / 1000, "it acted without a lease"
        assert owner.lost_at - renewed > GIVE_UP_MS / 1000 - HEARTBEAT_MS / 1000, "it gave up far too early"


async def test_a_fault_that_takes_its_time_does_not_make_giving_up_late(redis, monkeypatch):
    """Beats that fail after 0.4 s each: the next would begin after the time is over."""
    async with Beating(redis) as worker:
        owner = Acting()
        await worker.ownership.acquire(SESSION, owner)
        count = len(worker.beats)
        await until(lambda: len(worker.beats) > count)

        async def failing(*_args):
            await asyncio.sleep(0.4)
            raise ConnectionResetError

        monkeypatch.setattr(worker.leases, "beat", failing)
        with played_time():
            began = asyncio.get_running_loop().time()
            await until(lambda: owner.lost_at)
            assert owner.lost_at - began <= GIVE_UP_MS / 1000 + 0.6
