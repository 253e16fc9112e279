"""One owner at a time, under a token that only grows. The lease's rules hold only together, hence one file."""

import asyncio

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import State
from shared.scripts import SETTLING_MS
from shared.state.lease import GIVE_UP_MS, HEARTBEAT_MS, LEASE_MS, NOBODY, Beat, Lease, LeaseLook
from tests.unit.world import ONE, OTHER, SESSION, change, stop_beating

OTHER_SESSION = SessionId("company_salon-2")


def test_the_limits_are_in_order():
    assert 2 * HEARTBEAT_MS < GIVE_UP_MS < LEASE_MS


async def test_of_many_workers_one_gets_the_lease(world):
    workers = [WorkerId(f"worker-{number}") for number in range(50)]
    leases = [
        lease for lease in await asyncio.gather(*(world.leases.acquire(SESSION, one) for one in workers)) if lease
    ]
    assert len(leases) == 1
    assert await world.leases.owner(SESSION) == leases[0].worker
    assert await world.leases.living() == {leases[0].worker: 1}


async def test_a_clock_that_redis_host_sets_back_takes_no_living_worker_for_dead(world, pass_ms):
    """Whatever lapses lives longer by then: that is no sign of a stranger."""
    lease = await world.serve()
    await world.leases.beat(ONE, 1)
    pass_ms(-5_000)
    assert await world.leases.owner(SESSION) == ONE
    assert await world.leases.acquire(SESSION, OTHER) is None
    assert await world.snapshots.save(lease, change(State.AWAITING_PHONE))
    assert not (await world.leases.beat(OTHER, 1)).lapsed
    assert await world.leases.dead() == []


async def test_a_lapsed_lease_can_be_taken_under_a_higher_token(world):
    first = await world.leases.acquire(SESSION, ONE)
    await world.lapse()
    assert await world.leases.owner(SESSION) is None
    assert await world.leases.dead() == [ONE]
    assert await world.leases.held_by(ONE) == [SESSION]
    second = await world.leases.acquire(SESSION, OTHER)
    assert second.token > first.token
    assert await world.leases.owner(SESSION) == OTHER
    assert await world.leases.held_by(ONE) == []
    assert await world.leases.held_by(OTHER) == [SESSION]


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


async def test_a_heartbeat_says_that_a_worker_lives_and_its_leases_with_it(world):
    await world.leases.acquire(SESSION, ONE)
    assert await world.leases.beat(ONE, 1) == Beat(before=0, held=1, taken=0, lapsed=False)
    await world.redis.pexpire(keys.alive(ONE), 100)
    assert await world.leases.beat(ONE, 2) == Beat(before=1, held=1, taken=0, lapsed=False)
    assert await world.redis.pttl(keys.alive(ONE)) > LEASE_MS - 2000
    assert await world.redis.zscore(keys.WORKERS, ONE) > now_ms() - 2000
    assert await world.leases.owner(SESSION) == ONE


async def test_a_heartbeat_tells_of_a_lapse_and_of_a_redis_that_has_gone_back(world):
    assert (await world.leases.beat(ONE, 1)).before is None
    assert (await world.leases.beat(ONE, 2)).before == 1
    await stop_beating(world.redis, ONE)
    assert (await world.leases.beat(ONE, 3)).before is None
    await world.redis.set(keys.alive(ONE), 2)
    assert (await world.leases.beat(ONE, 4)).before == 2


async def test_a_look_tells_apart_what_is_lost_unknown_and_ours(world):
    taken, forgotten, older, kept = (SessionId(f"company_{name}") for name in ("taken", "forgotten", "older", "kept"))
    leases = [await world.leases.acquire(one, ONE) for one in (taken, forgotten, older, kept)]
    await world.lapse(taken)
    await world.leases.acquire(taken, OTHER)
    await world.redis.delete(keys.lease(forgotten))
    await world.redis.set(keys.lease(older), f"{ONE}:1")
    beat = await world.leases.beat(ONE, 1)
    assert beat.taken == 1
    looked = await world.leases.look(ONE, leases)
    assert looked.lost == (taken,)
    assert looked.unknown == (forgotten, older)
    [retaken] = await world.leases.retake(ONE, [leases[2]])
    assert retaken.token > leases[2].token, "it grows over a Redis that has gone back"


async def test_a_newer_lease_whose_answer_was_lost_is_the_workers_own(world):
    lease = await world.leases.acquire(SESSION, ONE)
    [unheard] = await world.leases.retake(ONE, [lease])
    assert (await world.leases.look(ONE, [lease])).unknown == (SESSION,)
    [retaken] = await world.leases.retake(ONE, [lease])
    assert retaken.token > unheard.token > lease.token
    await world.redis.incr(keys.fence(SESSION))  # somebody has ended that ownership
    assert await world.leases.retake(ONE, [lease]) == [None]


async def test_a_heartbeat_sees_that_another_worker_is_dead(world):
    await world.leases.acquire(SESSION, OTHER)
    assert not (await world.leases.beat(ONE, 1)).lapsed
    await world.lapse()
    assert (await world.leases.beat(ONE, 2)).lapsed


async def test_a_lease_that_is_abandoned_is_left_to_the_sweep_and_to_nobody_else(world):
    lease = await world.leases.acquire(SESSION, ONE)
    await world.leases.abandon(SESSION, ONE)
    assert await world.leases.owner(SESSION) is None
    assert (await world.leases.beat(ONE, 1)) == Beat(before=0, held=0, taken=0, lapsed=True)
    assert await world.leases.dead() == [NOBODY]
    assert await world.leases.held_by(NOBODY) == [SESSION]
    assert await world.leases.unowned([SESSION]) == {SESSION: NOBODY}
    taken = await world.leases.acquire(SESSION, OTHER)
    assert taken.token > lease.token
    assert await world.leases.held_by(NOBODY) == []


@pytest.mark.parametrize("count", [10, 100, 1000])
async def test_a_heartbeat_costs_the_same_for_any_number_of_sessions(world, count):
    sessions = [SessionId(f"company_{number}") for number in range(count)]
    await world.redis.mset({keys.lease(session): f"{ONE}:1" for session in sessions})
    await world.redis.sadd(keys.held(ONE), *sessions)
    await world.leases.beat(ONE, 1)
    asked = []
    evalsha = world.redis.evalsha

    async def counting(*words):
        asked.append(len(words))
        return await evalsha(*words)

    world.redis.evalsha = counting
    beat = await world.leases.beat(ONE, 2)
    assert beat.held == count
    assert len(asked) == 1
    assert asked[0] < 25, "names and arguments of one script"


async def test_the_names_of_owners_are_kept_as_long_as_somebody_beats(world):
    lease = await world.leases.acquire(SESSION, ONE)
    await world.leases.beat(ONE, 1)
    names = (keys.held(ONE), keys.WORKERS, keys.lease(SESSION))
    for name in names:
        await world.redis.pexpire(name, 1000)
    await world.leases.keep_names(ONE, [lease])
    for name in names:
        assert await world.redis.pttl(name) > keys.DAY


async def test_the_leases_of_a_dead_worker_are_freed_at_once_and_lost_to_it(world):
    sessions = [SessionId(f"company_{number}") for number in range(3)]
    leases = [await world.leases.acquire(one, ONE) for one in sessions]
    assert await world.leases.free(ONE, sessions) == [], "it lives"
    await stop_beating(world.redis, ONE)
    await world.leases.acquire(sessions[0], OTHER)
    assert await world.leases.free(ONE, sessions) == sessions[1:]
    assert await world.leases.unowned(sessions) == dict.fromkeys(sessions[1:])
    await world.leases.beat(ONE, 1)
    assert await world.leases.look(ONE, leases) == LeaseLook(lost=(sessions[0],), unknown=tuple(sessions[1:]))
    assert await world.leases.retake(ONE, leases) == [None] * 3, (
        "one is another's, and the others' fences have moved on"
    )


async def test_a_worker_whose_name_has_colons_is_still_itself(world):
    worker = WorkerId("host:8000:abc")
    await world.leases.acquire(SESSION, worker)
    assert await world.leases.owner(SESSION) == worker
    await world.ask()
    assert (await world.ask()).owner == worker


async def test_while_redis_settles_nobody_is_taken_for_dead_and_nothing_is_closed(world, redis):
    """A heartbeat that Redis does not know the one before of: it was away, or went back. Owners speak first."""
    await world.serve(state=State.AWAITING_PHONE)
    await world.leases.beat(OTHER, 1)
    assert not await redis.exists(keys.SETTLING)
    await world.leases.beat(OTHER, 2)
    assert not await redis.exists(keys.SETTLING)
    await world.leases.beat(OTHER, 7)
    assert 0 < await redis.pttl(keys.SETTLING) <= SETTLING_MS
    await redis.delete(keys.alive(ONE))
    await redis.zadd(keys.WORKERS, {ONE: 1})
    await redis.zadd(keys.CLAIMS, {SESSION: 1})
    for settles in (True, False):
        if not settles:
            await redis.delete(keys.SETTLING)
        assert await world.leases.dead() == ([] if settles else [ONE])
        assert await world.leases.unowned([SESSION, OTHER_SESSION]) == (
            {} if settles else {SESSION: ONE, OTHER_SESSION: None}
        )
        assert await world.rescue.close_overdue(SESSION) is not settles
