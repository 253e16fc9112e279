"""From many clicks to one attempt."""

import asyncio
import json

import pytest
from arq.constants import job_key_prefix

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.lifecycle import DEVICE, State
from shared.core.protocol import Method
from shared.jobs.queue import enqueue, link_job_id
from shared.state.claims import (
    LEAST_WAITING,
    MOST_STARTS,
    QUEUE_WAIT_MS,
    WAITING_EACH,
    Claims,
    Outcome,
    Subject,
    queued,
)
from shared.telemetry.metrics import Counter, field
from tests.unit.world import ONE, OTHER, OTHER_PHONE, PHONE, SESSION, Ear, change


async def test_of_fifty_requests_at_once_exactly_one_starts(world):
    asked = await asyncio.gather(*(world.ask() for _ in range(50)))
    outcomes = [one.outcome for one in asked]
    assert outcomes.count(Outcome.STARTED) == 1
    assert outcomes.count(Outcome.JOINED) == 49
    assert len({one.attempt for one in asked}) == 1
    assert (await world.snapshots.read(SESSION)).version == (asked[0].attempt, 1)


async def job_of(redis, attempt):
    """What a worker would find of the attempt's job, and when that is due."""
    name = link_job_id(SESSION, attempt)
    return json.loads(await redis.get(f"{job_key_prefix}{name}")), await redis.zscore(keys.QUEUE_LINKING, name)


@pytest.mark.parametrize("begun", ["by a click", "anew"])
async def test_an_attempt_comes_into_being_together_with_its_job_which_is_as_any_other(world, redis, moment, begun):
    calls = redis.pubsub(ignore_subscribe_messages=True)
    await calls.subscribe(keys.wake(keys.QUEUE_LINKING))
    attempt = (await world.ask()).attempt
    if begun == "anew":
        attempt = await world.rescue.restart(SESSION, queued(Method.QR, "again"))
    made = await job_of(redis, attempt)
    assert [one for _ in range(4) if (one := await calls.get_message(timeout=0))]
    await calls.aclose()
    await redis.delete(f"{job_key_prefix}{link_job_id(SESSION, attempt)}", keys.QUEUE_LINKING)
    await enqueue(redis, keys.QUEUE_LINKING, "link", SESSION, attempt, job_id=link_job_id(SESSION, attempt))
    job = {"t": None, "f": "link", "a": [SESSION, attempt], "k": {}, "et": moment}
    assert made == await job_of(redis, attempt) == (job, moment)


async def outcomes(claims, sessions):
    asked = (claims.request(f"company_{one}", Subject("L", 0), queued(Method.QR, "asked")) for one in sessions)
    return [one.outcome for one in await asyncio.gather(*asked)]


async def test_of_four_times_as_many_as_may_wait_for_a_place_the_others_are_refused(redis):
    claims = Claims(redis, most_waiting=5)
    said = await outcomes(claims, range(20))
    assert (said.count(Outcome.STARTED), said.count(Outcome.CROWDED)) == (5, 15)
    assert await redis.zcard(keys.QUEUE_LINKING) == await redis.zcard(keys.CLAIMS) == 5, "nothing is left of the others"
    waits = [one for one, word in enumerate(said) if word is Outcome.STARTED]
    assert await outcomes(claims, waits) == [Outcome.JOINED] * 5, "who waits may click again"
    await redis.zpopmin(keys.QUEUE_LINKING)  # a worker begins with it
    assert sorted(await outcomes(claims, ["late", "later"])) == [Outcome.CROWDED, Outcome.STARTED]


async def test_who_is_refused_in_a_crowd_hears_when_to_come_again(redis, moment):
    claims = Claims(redis, most_waiting=1)
    await outcomes(claims, "a")
    asked = await claims.request(SESSION, Subject("L", 0), queued(Method.QR, "asked"))
    assert 0 < asked.retry_at - moment <= keys.MINUTE
    assert not await redis.exists(keys.snapshot(SESSION), keys.claim(SESSION), keys.subject(SESSION))


async def wait_in_the_queue(redis, number, at):
    await redis.zadd(keys.QUEUE_LINKING, {f"link:company_before-{one}:1": at for one in range(number)})


async def test_as_many_may_wait_as_the_living_workers_can_serve_in_time(redis, world):
    await world.leases.acquire(SESSION, ONE)  # it lives
    await redis.hset(keys.worker(ONE), "maxAttempts", 12)
    await redis.hset(keys.worker(OTHER), "maxAttempts", 50)
    await redis.zadd(keys.WORKERS, {OTHER: 0})  # it has died
    await wait_in_the_queue(redis, 12 * WAITING_EACH - 1, now_ms())
    assert sorted(await outcomes(Claims(redis), ["a", "b"])) == [Outcome.CROWDED, Outcome.STARTED]


async def test_without_a_worker_some_may_wait_and_those_whose_wait_is_over_count_no_more(redis):
    await wait_in_the_queue(redis, 5 * LEAST_WAITING, now_ms() - QUEUE_WAIT_MS - 1)
    assert await outcomes(Claims(redis), range(LEAST_WAITING)) == [Outcome.STARTED] * LEAST_WAITING
    assert await outcomes(Claims(redis), "z") == [Outcome.CROWDED]


async def test_an_attempt_that_starts_is_counted_once(world):
    counter = field(Counter.ATTEMPTS, method="qr")
    subject = Subject("L", 0)
    await asyncio.gather(
        *(world.claims.request(SESSION, subject, queued(Method.QR, "asked", counter)) for _ in range(5))
    )
    assert await world.redis.hgetall(keys.STATS) == {counter.encode(): b"1"}


async def test_sessions_do_not_mind_each_other(world):
    first = await world.claims.request("company_a", Subject("L", 0), queued(Method.QR, "asked"))
    second = await world.claims.request("company_b", Subject("L", 0), queued(Method.QR, "asked"))
    assert first.outcome is second.outcome is Outcome.STARTED


async def test_a_started_attempt_is_announced(world):
    async with Ear(world.redis) as ear:
        asked = await world.ask(PHONE)
        (news,) = await ear.heard()
    assert (news["type"], news["attempt"], news["seq"]) == ("status", asked.attempt, 1)
    assert news["body"]["state"] == "queued"
    assert PHONE not in str(news)


async def test_joining_adds_a_phone_when_there_is_none_yet(world):
    started = await world.ask(expected=PHONE)
    joined = await world.ask(PHONE)
    assert (joined.outcome, joined.attempt) == (Outcome.JOINED, started.attempt)
    subject = await world.claims.subject(SESSION)
    assert (subject.phone, subject.expected, subject.link) == (PHONE, PHONE, "L")


async def test_asking_without_a_phone_keeps_the_phone(world):
    await world.ask(PHONE)
    assert (await world.ask()).outcome is Outcome.JOINED
    assert (await world.claims.subject(SESSION)).phone == PHONE


async def test_asking_again_for_the_same_phone_joins_and_for_another_differs(world):
    await world.ask(PHONE)
    assert (await world.ask(PHONE)).outcome is Outcome.JOINED
    assert (await world.ask(OTHER_PHONE)).outcome is Outcome.DIFFERS
    assert (await world.claims.subject(SESSION)).phone == PHONE


async def test_after_a_refused_code_another_phone_may_be_asked_for(world):
    await world.ask(PHONE)
    await world.claims.forget_phone(SESSION)
    assert (await world.ask(OTHER_PHONE)).outcome is Outcome.JOINED
    assert (await world.claims.subject(SESSION)).phone == OTHER_PHONE


@pytest.mark.parametrize("state", sorted(DEVICE))
async def test_a_session_with_a_linked_device_starts_no_attempt(world, state):
    lease = await world.serve(state=state)
    await world.snapshots.save(lease, change(state, ending=True))
    before = await world.everything()
    assert (await world.ask(PHONE)).outcome is Outcome.LINKED
    assert await world.everything() == before


async def test_joining_names_the_owner(world):
    assert (await world.ask()).owner is None
    await world.leases.acquire(SESSION, ONE)
    assert (await world.ask()).owner == ONE


async def test_a_new_attempt_forgets_the_last_ones_phone(world):
    await world.ask(PHONE, expected=PHONE)
    await world.claims.cancel(SESSION, change(State.CANCELLED))
    assert (await world.ask()).outcome is Outcome.STARTED
    assert (await world.claims.subject(SESSION)).phone is None


async def test_the_subject_is_kept_as_long_as_its_attempt_runs_and_never_longer_than_ten_minutes(world):
    await world.ask(PHONE, expected=PHONE)
    await world.redis.pexpire(keys.subject(SESSION), 1000)
    assert (await world.claims.subject(SESSION)).expected == PHONE
    assert 1000 < await world.redis.pttl(keys.subject(SESSION)) <= keys.SUBJECT_TTL


async def test_asking_for_a_subject_that_is_forgotten_makes_none(world):
    assert await world.claims.subject(SESSION) == Subject("", 0)
    assert await world.redis.exists(keys.subject(SESSION)) == 0


async def test_joining_names_no_owner_whose_lease_has_lapsed(world):
    await world.serve()
    await world.lapse()
    assert (await world.ask()).owner is None


async def start_and_cancel(world, times):
    for _ in range(times):
        assert (await world.ask()).outcome is Outcome.STARTED
        await world.claims.cancel(SESSION, change(State.CANCELLED))


async def test_so_many_attempts_start_within_ten_minutes_and_no_more(world, moment):
    await start_and_cancel(world, MOST_STARTS)
    before = await world.everything()
    limited = await world.ask(PHONE)
    assert (limited.outcome, limited.attempt, limited.owner) == (Outcome.LIMITED, 0, None)
    assert 0 < limited.retry_at - moment <= keys.STARTS_TTL
    assert await world.everything() == before, "and nothing has begun"
    assert (await world.claims.request("company_other", Subject("L", 0), queued(Method.QR, "x"))).attempt
    await world.redis.delete(keys.starts(SESSION))  # ten minutes later
    assert (await world.ask()).outcome is Outcome.STARTED


async def test_joining_and_beginning_anew_are_no_starts(world):
    await start_and_cancel(world, MOST_STARTS - 1)
    for _ in range(MOST_STARTS):
        await world.ask()
        assert await world.rescue.restart(SESSION, queued(Method.QR, "again"))
    assert (await world.ask()).outcome is Outcome.JOINED
    assert await world.redis.get(keys.starts(SESSION)) == str(MOST_STARTS).encode()
    assert 0 < await world.redis.pttl(keys.starts(SESSION)) <= keys.STARTS_TTL
