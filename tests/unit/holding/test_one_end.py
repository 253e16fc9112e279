"""One end of each text, the same whoever asks, though Redis loses its memory or its last second, or forgets who is who."""

import asyncio

import pytest

from shared.core import keys
from shared.core.ids import WorkerId
from shared.core.messages import NotSent
from shared.state.outbox import Message
from tests.unit.holding.house import SESSION, R
from tests.unit.holding.line import TO, Line
from tests.unit.world import stop_beating
from workers.engine import protocol as pipe


async def kept(redis):
    """Redis' state, as its disk has it."""
    names = await redis.keys("*")
    return {name: (await redis.dump(name), max(0, await redis.pttl(name))) for name in names}


async def go_back(line, state):
    """Redis crashes, comes back with an older state, and its worker notices."""
    await line.redis.flushall()
    for name, (value, left) in state.items():
        await line.redis.restore(name, left, value)
    line.ownership.another_server()
    await line.ownership._beat()
    await asyncio.gather(*line.ownership._telling.values())


async def stands(line, text, state):
    """Until the text stands so in Redis."""
    async with asyncio.timeout(5):
        while await line.stands(text) != state:
            await asyncio.sleep(0)


async def rest(line):
    """Until the session's texts have nothing to do."""
    queue = line.sessions._sending._queues[SESSION]
    async with asyncio.timeout(5):
        while queue._forgotten or queue._ended or queue._task:
            await asyncio.sleep(0)


async def taken_over(line):
    """The worker is dead, and another takes its session up."""
    await stop_beating(line.redis, WorkerId("w"))
    other = Line(line.redis, 0)
    other.ownership.worker = WorkerId("another")
    other.store.devices = line.store.devices
    await other.up()
    await other.settled()
    return other


@pytest.mark.parametrize("under_way", [True, False], ids=["under way", "waiting"])
@pytest.mark.parametrize("end", ["sent", "failed", "unknown"])
async def test_what_was_told_stays_so_when_redis_goes_back_to_when_it_was_not(line, under_way, end):
    (text,) = await line.texts(1)
    waits = await kept(line.redis)
    await line.up()
    await line.handing(1)
    older = await kept(line.redis)
    if not under_way:
        older |= {name: value for name, value in waits.items() if text.encode() in name}
    told = {"sent": None, "failed": NotSent.REFUSED, "unknown": NotSent.UNKNOWN}[end]
    if end == "unknown":
        await line.holders.died([SESSION])
    else:
        await line.says(line.orders[0], None if end == "sent" else "server returned error 400")
    assert await line.told(1) == [(text, told)]
    await rest(line)
    await go_back(line, older)
    await rest(line)
    assert line.ended == [(text, told)] * 2, "said again, as the news may be lost with the rest"
    assert len({event.id for event in line.events}) == 1
    assert line.handed == ["0"]
    assert await line.redis.keys("wa:outbox*") == []


async def sent(line):
    """Send one text; its id, and Redis as it was while the text was under way."""
    (text,) = await line.texts(1)
    await line.up()
    await line.handing(1)
    under_way = await kept(line.redis)
    await line.says(line.orders[0])
    await line.told(1)
    await rest(line)
    return text, under_way


async def test_what_a_phone_has_confirmed_stays_so_when_redis_goes_back(line):
    text, under_way = await sent(line)
    since = await kept(line.redis)
    await line.holders.hear(
        pipe.Confirmed(session=SESSION, receipt=pipe.Receipt.DELIVERED, whatsapp_ids=["3EB00"], at=6)
    )
    await rest(line)
    for older in (since, under_way):
        await go_back(line, older)
        await rest(line)
        assert await line.stands(text) == "delivered"
        assert await line.redis.zrange(keys.UNCONFIRMED, 0, -1) == []


async def test_what_a_phone_has_confirmed_was_sent_though_redis_goes_back_and_its_sender_is_dead(line):
    text, under_way = await sent(line)
    other = await taken_over(line)
    receipt = pipe.Confirmed(session=SESSION, receipt=pipe.Receipt.DELIVERED, whatsapp_ids=["3EB00"], at=6)
    await other.holders.hear(receipt)
    await rest(other)
    named = (f"{kind}:{SESSION}".encode() for kind in ("wa:lease", "wa:fence"))
    newer = await kept(line.redis)
    await go_back(other, under_way | {name: newer[name] for name in (*named, b"wa:alive:another", b"wa:workers")})
    await rest(other)
    assert other.ended == [(text, None)]
    assert await other.stands(text) == "delivered"


@pytest.mark.parametrize("loss", ["emptied", "waiting", "not accepted"])
async def test_a_text_under_way_is_unknown_though_redis_forgot_it_and_its_worker_dies_then(line, loss):
    await line.up()
    nothing = await kept(line.redis)
    (text,) = await line.texts(1)
    older = {"emptied": {}, "waiting": await kept(line.redis), "not accepted": nothing}[loss]
    line.sessions._sending.wake(line.sessions._held[SESSION])
    await line.handing(1)
    await go_back(line, older)
    await stands(line, text, "sending")
    other = await taken_over(line)
    assert await other.told(1) == [(text, NotSent.UNKNOWN)]
    assert other.handed == []


async def test_a_text_that_has_not_left_is_sent_though_redis_believes_it_under_way(line):
    (text,) = await line.texts(1)
    await line.up()
    await line.handing(1)
    under_way = await kept(line.redis)
    await line.holders.hear(pipe.Dropped(session=SESSION))
    await line.says(line.orders[0], "not connected")
    await stands(line, text, "queued")
    await go_back(line, under_way)
    await line.holders.hear(pipe.Restored(session=SESSION))
    await line.handing(2)
    await line.says(line.orders[1])
    assert await line.told(1) == [(text, None)]


async def test_an_end_waits_while_redis_knows_neither_the_text_nor_whose_it_is(line):
    (text,) = await line.texts(1)
    await line.up()
    await line.handing(1)
    await line.redis.flushall()
    await line.says(line.orders[0])
    for _ in range(50):  # enough for all that does not wait for the lease
        await asyncio.sleep(0)
    assert line.ended == []
    await line.ownership._beat()
    assert await line.told(1) == [(text, None)]


async def test_who_lost_a_session_says_nothing_of_a_text_of_which_its_next_worker_may_have_told(line):
    (text,) = await line.texts(1)
    await line.up()
    await line.handing(1)
    other = await taken_over(line)
    assert await other.told(1) == [(text, NotSent.UNKNOWN)]
    await line.redis.flushall()
    await other.ownership._beat()
    await line.says(line.orders[0])
    await line.ownership._beat()
    await rest(line)
    assert line.ended == []


async def test_when_the_device_is_lost_its_holder_is_heard_about_the_text_under_way(line):
    texts = [await line.outbox.accept(SESSION, Message(TO, str(number))) for number in range(3)]
    await line.up()
    await line.handing(2)
    losing = asyncio.create_task(line.lose(R.LOGGED_OUT))
    await line.until(lambda: SESSION not in line.sessions._held)
    for _ in range(50):  # enough for all that does not wait for the holder
        await asyncio.sleep(0)
    await line.says(line.orders[0])
    await line.says(line.orders[1], "not connected")
    await losing
    assert line.ended == [(texts[0], None), (texts[1], NotSent.NOT_ONLINE), (texts[2], NotSent.NOT_ONLINE)]


async def test_a_text_begun_by_a_dead_worker_is_not_begun_by_another(line):
    (text,) = await line.texts(1)
    dead = await line.leases.acquire(SESSION, WorkerId("dead"))
    assert (await line.outbox.step(SESSION, lease=dead, begin=text)).begun == ("go", 0)
    await line.leases.release(dead)
    lease = await line.leases.acquire(SESSION, WorkerId("w"))
    assert (await line.outbox.step(SESSION, lease=lease, begin=text)).begun == ("over", 0)
