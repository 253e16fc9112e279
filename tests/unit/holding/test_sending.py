"""A text's way out: in the order of the 202s, at most once, and told of once, whatever happens on the way."""

import asyncio

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from shared.core.messages import Fate, MessageState, NotSent
from shared.state.outbox import LEARNT_AT_ONCE, RESERVE_MINUTES, WAIT_MS, Entry, Message, Written
from tests.unit.holding.house import SESSION
from tests.unit.holding.line import TO
from workers.engine import protocol as pipe
from workers.holding import outgoing as module


async def test_texts_leave_in_the_order_of_their_202s_and_the_rest_waits(line, jobs):
    texts = await line.texts(6)
    await line.up()
    for text in reversed(texts):
        await jobs.send(SESSION, text)
    await line.handing(2)
    assert line.handed == ["0", "1"]
    assert [await line.stands(one) for one in texts[:3]] == ["sending", "sending", "queued"]
    for number in range(6):
        await line.handing(number + 1)
        await line.says(line.orders[number])
    assert await line.told(6) == [(one, None) for one in texts]
    assert line.handed == list("012345")
    assert await line.redis.keys("wa:outbox*") == []
    assert await line.redis.keys("wa:subject:*") == []
    kept = await line.outbox.look(SESSION, texts[0])
    assert (kept["state"], kept["whatsappId"], kept["sentAt"]) == ("sent", "3EB00", "5")


async def test_texts_that_were_accepted_meanwhile_are_found_without_a_call_when_one_ends(line):
    texts = await line.texts(1)
    await line.up()
    await line.handing(1)
    texts += await line.texts(2 * LEARNT_AT_ONCE + 5)  # and nobody is called
    for number in range(len(texts)):
        await line.handing(number + 1)
        await line.says(line.orders[number])
    assert await line.told(len(texts)) == [(one, None) for one in texts]


async def test_an_outbox_that_is_not_as_its_worker_believes_is_read_whole(line):
    texts = await line.texts(3)
    known = line.outbox.step(SESSION, known=texts[:2])
    assert [one.id for one in (await known).texts] == texts[2:]
    for wrong in ([texts[1]], [texts[1], texts[0]], [*texts, "another"]):
        assert (await line.outbox.step(SESSION, known=wrong)).texts is None
    assert [one.id for one in await line.outbox.waiting(SESSION)] == texts


async def test_a_job_that_runs_twice_tells_nothing_twice(line, jobs):
    (text,) = await line.texts(1)
    await line.sessions.resume(SESSION)
    await asyncio.gather(*(jobs.send(SESSION, text) for _ in range(3)))
    await line.holders.hear(pipe.Held(session=SESSION))
    await asyncio.gather(*(jobs.send(SESSION, text) for _ in range(3)))
    await line.handing(1)
    await line.says(line.orders[0])
    await line.told(1)
    await jobs.send(SESSION, text)
    await line.settled()
    assert (line.handed, line.ended) == (["0"], [(text, None)])


async def test_a_text_that_could_not_leave_goes_before_those_behind_it(line):
    texts = await line.texts(4)
    await line.up()
    await line.handing(2)
    first, second = line.orders
    await line.holders.hear(pipe.Dropped(session=SESSION))
    await line.says(first, "not connected")
    await line.says(second, "not connected")
    async with asyncio.timeout(5):
        while [await line.stands(one) for one in texts] != ["queued"] * 4:
            await asyncio.sleep(0)
    await line.holders.hear(pipe.Restored(session=SESSION))
    for number in range(2, 6):
        await line.handing(number + 1)
        await line.says(line.orders[number])
    assert await line.told(4) == [(one, None) for one in texts]
    assert line.handed == ["0", "1", *"0123"]
    assert line.orders[2].volley > first.volley


async def test_when_a_holder_dies_nobody_knows_of_its_first_text_and_the_second_is_sent_later(line):
    texts = await line.texts(3)
    await line.up()
    await line.handing(2)
    await line.holders.died([SESSION])
    assert await line.told(1) == [(texts[0], NotSent.UNKNOWN)]
    await line.says(line.orders[0])  # it was sent: too late, as the other end is told already
    await line.holders.hear(pipe.Held(session=SESSION))
    for number in (2, 3):
        await line.handing(number + 1)
        await line.says(line.orders[number])
    assert await line.told(3) == [(texts[0], NotSent.UNKNOWN), (texts[1], None), (texts[2], None)]


async def test_a_worker_that_takes_over_tells_of_the_text_that_was_under_way(line):
    texts = await line.texts(3)
    lease = await line.leases.acquire(SESSION, WorkerId("dead"))
    assert (await line.outbox.step(SESSION, lease=lease, begin=texts[0])).begun == ("go", 0)
    await line.leases.release(lease)
    await line.up()
    await line.handing(2)
    assert line.ended == [(texts[0], NotSent.UNKNOWN)]
    assert line.handed == ["1", "2"]


async def test_at_sigterm_what_is_under_way_ends_and_what_waits_is_left_to_others(line):
    texts = await line.texts(4)
    await line.up()
    await line.handing(2)
    over = asyncio.create_task(line.sessions.hand_over())
    await line.says(line.orders[0])
    await line.says(line.orders[1])
    await over
    assert await line.told(2) == [(one, None) for one in texts[:2]]
    assert [one.id for one in await line.outbox.waiting(SESSION)] == texts[2:]
    assert line.handed == ["0", "1"]


async def test_at_sigterm_a_text_without_an_answer_is_unknown(line, monkeypatch):
    monkeypatch.setattr(module, "LAST_SECONDS", 0.01)
    (text,) = await line.texts(1)
    await line.up()
    await line.handing(1)
    await line.sessions.hand_over()
    assert await line.told(1) == [(text, NotSent.UNKNOWN)]


async def test_the_end_of_a_text_is_told_also_when_its_session_is_held_no_more(line):
    (text,) = await line.texts(1)
    await line.up()
    await line.handing(1)
    line.sessions._held[SESSION].lost()
    await line.says(line.orders[0])
    assert await line.told(1) == [(text, None)]


async def test_texts_go_on_when_what_held_their_session_before_learns_late_that_it_is_over(line):
    await line.up()
    before = line.sessions._held[SESSION]
    line.sessions._roster.take_out(before)
    await line.ownership.let_go(SESSION, before)
    texts = await line.texts(3)
    await line.up()
    await line.handing(2)
    before.lost()
    for number in range(3):
        await line.handing(number + 1)
        await line.says(line.orders[number])
    assert await line.told(3) == [(one, None) for one in texts]


async def test_a_redis_that_was_emptied_costs_no_text_that_its_worker_knew(line):
    texts = await line.texts(5)
    await line.up()
    await line.handing(2)
    await line.redis.flushall()
    await line.ownership._beat()
    for number in range(5):
        await line.handing(number + 1)
        await line.says(line.orders[number])
    assert await line.told(5) == [(one, None) for one in texts]
    assert line.handed == list("01234")


async def test_texts_wait_for_their_session_and_are_given_up_after_two_minutes(line, jobs):
    texts = await line.texts(2)
    await line.sessions.resume(SESSION)  # and it does not come online
    for text in texts:
        await line.redis.hset(keys.message(SESSION, text), "acceptedAt", now_ms() - WAIT_MS + 30)
        await jobs.send(SESSION, text)
    assert line.ended == []
    assert await line.told(2) == [(one, NotSent.NOT_ONLINE) for one in texts]
    assert line.handed == []


async def test_a_text_of_a_session_without_a_device_is_given_up_at_once(line, jobs):
    (text,) = await line.texts(1)
    await jobs.send(SESSION, text)
    assert line.ended == [(text, NotSent.NOT_ONLINE)]


async def test_when_the_device_is_lost_its_texts_are_given_up(line):
    await line.up()
    await line.holders.hear(pipe.Dropped(session=SESSION))
    texts = await line.texts(2)
    await line.lose(pipe.LostReason.LOGGED_OUT)
    assert (await line.body()).state is State.UNLINKED
    assert line.ended == [(one, NotSent.NOT_ONLINE) for one in texts]


async def test_a_text_that_the_library_cannot_send_again_and_again_holds_up_nobody_for_ever(line):
    texts = await line.texts(2)
    await line.up()
    for number in range(2 * module.TRIES):
        await line.handing(number + 1)
        reason = "failed to get device list: info query returned status 500" if number % 2 == 0 else "not connected"
        await line.says(line.orders[number], reason)
    assert (await line.told(2))[0] == (texts[0], NotSent.NOT_ONLINE)


async def test_a_session_sends_no_faster_than_its_rate_for_long(line, redis):
    slow = type(line.outbox)(redis, line, rate=60)
    texts = [await slow.accept(SESSION, Message(TO, "x")) for _ in range(3)]
    lease = await line.leases.acquire(SESSION, WorkerId("w"))
    await redis.set(keys.pace(SESSION), now_ms() + RESERVE_MINUTES * keys.MINUTE - 1500)

    async def begin(text, weight=1.0):
        return (await slow.step(SESSION, lease=lease, begin=text, weight=weight)).begun

    assert (await begin(texts[0])) == ("go", 0)
    assert (await begin(texts[0])) == ("go", 0), "asked twice, it counts once"
    word, seconds = await begin(texts[1])
    assert word == "wait"
    assert 0.3 < seconds <= 0.5
    word, seconds = await begin(texts[1], weight=2.0)
    assert 1.3 < seconds <= 1.5


async def test_the_first_end_that_is_written_counts(line):
    (text,) = await line.texts(1)
    assert await line.outbox.settle(SESSION, text, Fate(MessageState.FAILED, NotSent.UNKNOWN))
    assert not await line.outbox.settle(SESSION, text, Fate(MessageState.SENT))
    await line.outbox.step(SESSION, [Entry(text, Written.REQUEUED)])
    assert line.ended == [(text, NotSent.UNKNOWN)]
    assert await line.stands(text) == "failed"
