"""One owner at a time, under a token that only grows."""

import asyncio

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.state.lease import GIVE_UP_MS, HEARTBEAT_MS, LEASE_MS, Lease
from tests.unit.world import ONE, OTHER, SESSION


def test_the_limits_are_in_order():
    assert 2 * HEARTBEAT_MS < GIVE_UP_MS < LEASE_MS


async def test_of_many_workers_one_gets_the_lease(world):
    workers = [WorkerId(f"worker-{number}") for number in range(50)]
    leases = [
        lease for lease in await asyncio.gather(*(world.leases.acquire(SESSION, one) for one in workers)) if lease
    ]
    assert len(leases) == 1
    assert await world.leases.owner(SESSION) == leases[0].worker
    assert await world.leases.alive() == [SESSION]


async def test_a_lapsed_lease_can_be_taken_under_a_higher_token(world):
    first = await world.leases.acquire(SESSION, ONE)
    await world.lapse()
    assert await world.leases.owner(SESSION) is None
    assert await world.leases.lapsed() == [SESSION]
    second = await world.leases.acquire(SESSION, OTHER)
    assert second.token > first.token
    assert await world.leases.owner(SESSION) == OTHER
    assert await world.leases.lapsed() == []


async def test_a_lease_for_an_attempt_takes_the_attempts_number(world):
    asked = await world.ask()
    lease = await world.leases.acquire(SESSION, ONE, attempt=asked.attempt)
    assert lease == Lease(SESSION, ONE, asked.attempt)


async def test_an_attempt_that_is_no_longer_the_claimed_one_gets_no_lease(world):
    asked = await world.ask()
    assert await world.leases.acquire(SESSION, ONE, attempt=asked.attempt + 1) is None
    assert await world.leases.acquire(SESSION, ONE, attempt=asked.attempt - 1) is None
    await world.redis.delete(keys.claim(SESSION))
    assert await world.leases.acquire(SESSION, ONE, attempt=asked.attempt) is None


async def test_an_attempt_is_served_once_even_when_its_job_runs_twice(world):
    asked = await world.ask()
    lease = await world.leases.acquire(SESSION, ONE, attempt=asked.attempt)
    await world.leases.release(lease)
    advanced = await world.leases.acquire(SESSION, ONE)
    assert advanced.token > asked.attempt
    await world.leases.release(advanced)
    assert await world.leases.acquire(SESSION, OTHER, attempt=asked.attempt) is None


async def test_a_further_attempt_keeps_the_ownership_and_carries_the_claim_on(world):
    lease = await world.serve()
    await world.redis.pexpire(keys.claim(SESSION), 1000)
    newer = await world.leases.advance(lease)
    assert newer.token > lease.token
    assert int(await world.redis.get(keys.claim(SESSION))) == newer.token
    assert await world.redis.pttl(keys.claim(SESSION)) > 60_000
    assert await world.leases.advance(lease) is None, "the older token is worth nothing now"
    assert (await world.ask()).attempt == newer.token


async def test_nobody_advances_a_lease_that_is_gone(world):
    lease = await world.serve()
    await world.lapse()
    assert await world.leases.advance(lease) is None
    await world.leases.acquire(SESSION, OTHER)
    assert await world.leases.advance(lease) is None


async def test_an_advance_makes_no_claim_where_there_is_none(world):
    lease = await world.leases.acquire(SESSION, ONE)
    assert await world.leases.advance(lease)
    assert await world.redis.exists(keys.claim(SESSION)) == 0


async def test_giving_back_is_idempotent_and_leaves_others_alone(world):
    lease = await world.leases.acquire(SESSION, ONE)
    await world.leases.release(lease)
    await world.leases.release(lease)
    assert await world.leases.owner(SESSION) is None
    other = await world.leases.acquire(SESSION, OTHER)
    await world.leases.release(lease)
    assert await world.leases.owner(SESSION) == OTHER
    assert other.token > lease.token


async def test_tokens_only_grow_even_over_a_redis_that_lost_its_memory(world):
    tokens = []
    for _ in range(3):
        for worker in (ONE, OTHER):
            lease = await world.leases.acquire(SESSION, worker)
            tokens.append(lease.token)
            tokens.append((await world.leases.advance(lease)).token)
            await world.lapse()
        newest = tokens[-1]
        await world.redis.flushall()
        # A session that saw fewer than one attempt a second since the last loss: always.
        await world.redis.set(keys.fence(SESSION), newest)
    assert tokens == sorted(set(tokens))


async def test_the_first_token_after_a_loss_counts_the_milliseconds_since_2026(world):
    lease = await world.leases.acquire(SESSION, ONE)
    assert abs(lease.token - (now_ms() - 1_767_225_600_000)) <= 2000
    assert lease.token < 2**53, "JavaScript counts no further"


async def test_a_heartbeat_renews_what_is_ours_and_says_that_we_live(world):
    lease = await world.leases.acquire(SESSION, ONE)
    await world.redis.zadd(keys.LEASES, {SESSION: now_ms() + 100})
    beat = await world.leases.heartbeat(ONE, [lease])
    assert (beat.lost, beat.unknown, beat.lapsed) == ((), (), False)
    assert await world.redis.zscore(keys.LEASES, SESSION) > now_ms() + LEASE_MS - 2000
    assert await world.redis.zscore(keys.WORKERS, ONE) > now_ms() - 2000


async def test_a_heartbeat_without_leases_only_says_that_we_live(world):
    beat = await world.leases.heartbeat(ONE, [])
    assert (beat.lost, beat.unknown, beat.lapsed) == ((), (), False)
    assert await world.redis.zcard(keys.WORKERS) == 1


async def test_a_heartbeat_tells_apart_what_is_lost_unknown_and_ours(world):
    taken, lapsed, forgotten, kept = (SessionId(f"company_{name}") for name in ("taken", "lapsed", "forgotten", "kept"))
    leases = [await world.leases.acquire(one, ONE) for one in (taken, lapsed, forgotten, kept)]
    await world.lapse(taken)
    await world.leases.acquire(taken, OTHER)
    await world.lapse(lapsed)
    await world.redis.delete(keys.lease(forgotten))
    await world.redis.zrem(keys.LEASES, forgotten)
    before = await world.redis.zscore(keys.LEASES, taken)
    beat = await world.leases.heartbeat(ONE, leases)
    assert set(beat.lost) == {taken, lapsed}
    assert beat.unknown == (forgotten,)
    assert beat.lapsed
    assert await world.redis.zscore(keys.LEASES, taken) == before, "another's lease is not renewed by us"
    assert await world.redis.zscore(keys.LEASES, lapsed) < now_ms(), "what has lapsed stays lapsed"


async def test_a_heartbeat_sees_that_somebody_elses_lease_has_lapsed(world):
    await world.leases.acquire(SESSION, OTHER)
    assert not (await world.leases.heartbeat(ONE, [])).lapsed
    await world.lapse()
    assert (await world.leases.heartbeat(ONE, [])).lapsed


@pytest.mark.parametrize("count", [1, 150, 1000])
async def test_one_heartbeat_renews_any_number_of_leases(world, count):
    leases = [Lease(SessionId(f"company_{number}"), ONE, 1) for number in range(count)]
    await world.redis.mset({keys.lease(lease.session): lease.owner for lease in leases})
    await world.redis.zadd(keys.LEASES, {lease.session: now_ms() + 1000 for lease in leases})
    beat = await world.leases.heartbeat(ONE, leases)
    assert (beat.lost, beat.unknown) == ((), ())
    assert await world.redis.zcount(keys.LEASES, now_ms() + 3000, "+inf") == count


async def test_the_names_of_owners_are_kept_as_long_as_somebody_beats(world):
    lease = await world.leases.acquire(SESSION, ONE)
    await world.leases.heartbeat(ONE, [lease])
    for name in (keys.LEASES, keys.WORKERS, keys.lease(SESSION)):
        await world.redis.pexpire(name, 1000)
    await world.leases.keep_names([lease])
    for name in (keys.LEASES, keys.WORKERS, keys.lease(SESSION)):
        assert await world.redis.pttl(name) > keys.DAY


async def test_a_worker_whose_name_has_colons_is_still_itself(world):
    worker = WorkerId("host:8000:abc")
    await world.leases.acquire(SESSION, worker)
    assert await world.leases.owner(SESSION) == worker
    await world.ask()
    assert (await world.ask()).owner == worker
