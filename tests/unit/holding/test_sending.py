"""A text's way to its session: to who holds it, after it through a hand-over, and never for longer than its patience."""

import asyncio

import pytest
from arq.constants import job_key_prefix

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from shared.state.events import Undelivered
from shared.state.outbox import Message
from tests.unit.holding.test_held_sessions import HOUR_AGO, SESSION, House
from workers.engine import protocol as pipe
from workers.holding import sending as module
from workers.jobs import Jobs, Places

TEXT = Message("+79001234567", "Your visit is tomorrow.")


@pytest.fixture
def house(redis):
    return House(redis, now_ms() - HOUR_AGO)


@pytest.fixture
def jobs(house):
    return Jobs(house.redis, house.leases, house.ownership, None, house.sessions, None, Places(1), house.spawn)


async def waiting(house, queue=keys.QUEUE_SESSIONS):
    return await house.redis.zrange(queue, 0, -1, withscores=True)


async def test_a_text_goes_out_by_who_holds_its_session(house, jobs):
    message = await house.outbox.put(SESSION, TEXT)
    await house.up()
    await jobs.send({}, SESSION, message)
    await house.until(lambda: house.holders.sent)
    assert house.holders.sent == [pipe.Send(session=SESSION, message=message, to=TEXT.to, text=TEXT.text)]
    assert (house.begun, house.ended) == ([message], [])
    await house.holders.hear(pipe.Sent(session=SESSION, message=message))
    assert house.ended == [(message, None)]


async def test_a_text_of_a_session_in_hand_over_is_looked_at_again_until_somebody_holds_it(house, jobs):
    message = await house.outbox.put(SESSION, TEXT)
    await house.up()
    await house.sessions.hand_over()
    await jobs.send({}, SESSION, message)
    ((job, due),) = await waiting(house)
    assert 0 < due - now_ms() <= 1100
    assert await house.redis.exists(job_key_prefix + job.decode())
    assert house.ended == []
    other = await house.leases.acquire(SESSION, WorkerId("other"))
    assert other is not None
    await jobs.send({}, SESSION, message)
    assert len(await waiting(house, keys.queue_worker(WorkerId("other")))) == 1
    assert len(await waiting(house)) == 1


async def test_a_text_that_has_waited_too_long_for_a_holder_is_given_up(house, jobs, monkeypatch):
    message = await house.outbox.put(SESSION, TEXT)
    await house.up()
    await house.sessions.hand_over()
    monkeypatch.setattr(module, "SEND_SECONDS", 0.0)
    await jobs.send({}, SESSION, message)
    assert house.ended == [(message, Undelivered.NOT_ONLINE)]
    assert await waiting(house) == []


async def test_a_text_of_a_session_without_a_device_is_given_up_at_once(house, jobs):
    message = await house.outbox.put(SESSION, TEXT)
    await house.up()
    await house.lose(pipe.LostReason.LOGGED_OUT)
    assert (await house.body()).state is State.UNLINKED
    await jobs.send({}, SESSION, message)
    assert house.ended == [(message, Undelivered.NOT_ONLINE)]
    assert await waiting(house) == []


async def test_what_it_has_waited_for_a_holder_counts_when_it_waits_to_come_online(house):
    message = await house.outbox.put(SESSION, TEXT)
    await house.redis.pexpire(keys.message(SESSION, message), keys.SUBJECT_TTL - 119_990)
    await house.sessions.resume(SESSION)  # and it does not come online
    await house.sessions.send(SESSION, message)
    async with asyncio.timeout(5):
        await house.until(lambda: house.ended)
    assert house.ended == [(message, Undelivered.NOT_ONLINE)]


async def sent(house):
    """A text that the holder has in its hands."""
    message = await house.outbox.put(SESSION, TEXT)
    await house.up()
    await house.sessions.send(SESSION, message)
    await house.settled()
    assert len(house.holders.sent) == 1
    return message


async def test_the_end_of_a_text_is_told_also_when_its_session_is_held_no_more(house):
    message = await sent(house)
    house.sessions._held[SESSION].lost()
    await house.holders.hear(pipe.SendFailed(session=SESSION, message=message, reason="not connected"))
    assert house.ended == [(message, Undelivered.NOT_ONLINE)]


@pytest.mark.parametrize("how", ["the holder dies", "SIGTERM"])
async def test_of_a_text_whose_holder_is_gone_nobody_knows_whether_it_was_sent(house, how):
    message = await sent(house)
    if how == "SIGTERM":
        await house.sessions.hand_over()
    else:
        await house.holders.died([SESSION])
        await house.holders.died([SESSION])
    assert house.ended == [(message, Undelivered.UNKNOWN)]


async def test_a_text_that_waits_for_its_session_is_not_sent_once_its_worker_stops(house):
    message = await house.outbox.put(SESSION, TEXT)
    await house.sessions.resume(SESSION)
    await house.sessions.send(SESSION, message)
    await house.sessions.hand_over()
    await house.settled()
    assert house.ended == [(message, Undelivered.NOT_ONLINE)]
