"""Receipts for a text that was sent, and messages that come in."""

import asyncio

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.events import EventType
from shared.state import outbox as outbox_module
from shared.state.events import Arrival, EventShelf, News
from tests.unit.holding.house import SESSION
from tests.unit.holding.line import TO
from workers.engine import protocol as pipe
from workers.holding import outgoing as module


async def sent_text(line):
    """A text that WhatsApp has taken as 3EB00."""
    (text,) = await line.texts(1)
    await line.up()
    await line.handing(1)
    await line.says(line.orders[0])
    await line.told(1)
    return text


async def receipt(line, kind, *ids):
    await line.holders.hear(pipe.Confirmed(session=SESSION, receipt=kind, whatsapp_ids=list(ids or ["3EB00"]), at=9))
    await line.settled()


async def test_receipts_move_a_text_on_and_never_back(line):
    text = await sent_text(line)
    await receipt(line, pipe.Receipt.DELIVERED, "3EB00", "of-another-device")
    await receipt(line, pipe.Receipt.DELIVERED)
    assert [event.type.value for event in line.events] == ["message.sent", "message.delivered"]
    await receipt(line, pipe.Receipt.READ)
    await receipt(line, pipe.Receipt.DELIVERED)
    kept = await line.outbox.look(SESSION, text)
    assert (kept["state"], kept["deliveredAt"], kept["readAt"], kept["whatsappId"]) == ("read", "9", "9", "3EB00")
    assert [event.type.value for event in line.events[2:]] == ["message.read"]
    assert await line.redis.zcard(keys.UNCONFIRMED) == 0


async def test_a_text_without_the_receivers_keys_is_undelivered_until_the_phone_confirms_it(line):
    text = await sent_text(line)
    await receipt(line, pipe.Receipt.NO_KEYS)
    told = await line.outbox.look(SESSION, text)
    assert (told["state"], told["reason"]) == ("undelivered", "no-keys")
    await receipt(line, pipe.Receipt.DELIVERED)
    told = await line.outbox.look(SESSION, text)
    assert (told["state"], "reason" in told) == ("delivered", False)


@pytest.mark.parametrize("doubted", [False, True])
async def test_a_text_that_nobody_confirms_is_undelivered_in_the_end(line, monkeypatch, moment, doubted):
    text = await sent_text(line)
    assert await line.redis.zscore(keys.UNCONFIRMED, f"{SESSION} {text}") == moment + 24 * keys.HOUR
    if doubted:
        monkeypatch.setattr(module, "DOUBT_MS", -500)
        monkeypatch.setattr(outbox_module, "DOUBT_MS", -1)
        await receipt(line, pipe.Receipt.UNREADABLE)
    else:
        await line.redis.zadd(keys.UNCONFIRMED, {f"{SESSION} {text}": now_ms() - 1})
        await line.outbox.end_unconfirmed()
    told = await line.outbox.look(SESSION, text)
    assert (told["state"], told["reason"]) == ("undelivered", "unreadable" if doubted else "unconfirmed")
    assert line.events[-1].whatsapp_id == "3EB00"
    assert await line.outbox.end_unconfirmed() == 0


async def test_a_phone_that_reads_a_text_after_all_leaves_no_doubt(line, monkeypatch):
    text = await sent_text(line)
    await line.holders.hear(
        pipe.Confirmed(session=SESSION, receipt=pipe.Receipt.UNREADABLE, whatsapp_ids=["3EB00"], at=9)
    )
    await line.holders.hear(
        pipe.Confirmed(session=SESSION, receipt=pipe.Receipt.DELIVERED, whatsapp_ids=["3EB00"], at=10)
    )
    async with asyncio.timeout(5):
        while await line.stands(text) != "delivered":
            await asyncio.sleep(0)
    assert await line.redis.zcard(keys.UNCONFIRMED) == 0
    for task in line.tasks:
        task.cancel()


async def test_incoming_messages_are_put_on_the_shelf_in_their_order(line, redis):
    await line.up()
    for number in range(3):
        await line.holders.hear(
            pipe.Received(
                session=SESSION,
                whatsapp_id=str(number),
                at=number,
                chat=TO,
                sender=TO,
                came=pipe.Came.TEXT,
                text=f"text {number}",
            )
        )
    shelf = EventShelf(redis, News([EventType.MESSAGE_RECEIVED]))
    await shelf.step(0, come=[Arrival(session, message) for session, message in line.heard])
    assert await redis.llen(keys.inbox(SESSION)) == 3
    assert await redis.zcard(keys.WEBHOOKS) == 1, "the others wait for the first"
