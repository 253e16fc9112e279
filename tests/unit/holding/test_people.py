"""Questions to WhatsApp about the receiver of a text, and their answers."""

import pytest

from shared.core import keys
from shared.core.messages import NotSent
from shared.state.outbox import Message
from tests.unit.holding.house import SESSION
from tests.unit.holding.line import TO
from workers.holding import people as people_module

NOBODY, MEXICO = "+79001230404", "+5215512345678"


async def test_a_number_without_whatsapp_is_not_sent_to_and_those_behind_it_go_on(line):
    line.holders.nobody.add(NOBODY)
    first = await line.outbox.accept(SESSION, Message(NOBODY, "0"))
    second = await line.outbox.accept(SESSION, Message(TO, "1"))
    await line.up()
    await line.handing(1)
    assert line.asked == [[NOBODY, TO]], "all who wait are asked about at once"
    await line.says(line.orders[0])
    assert await line.told(2) == [(first, NotSent.NOT_ON_WHATSAPP), (second, None)]


async def test_whatsapp_says_which_of_a_numbers_names_the_account_has(line):
    line.holders.nobody.add(MEXICO)
    await line.outbox.accept(SESSION, Message(MEXICO, "0"))
    await line.up()
    await line.handing(1)
    assert sorted(line.asked[0]) == sorted(["+525512345678", MEXICO])
    assert line.orders[0].to == "+525512345678"


async def test_the_name_that_was_written_goes_first(line):
    await line.outbox.accept(SESSION, Message(MEXICO, "0"))
    await line.up()
    await line.handing(1)
    assert line.orders[0].to == MEXICO


async def test_an_answer_is_kept_for_a_day_without_the_phone(line, redis):
    await line.outbox.accept(SESSION, Message(MEXICO, "0"))
    await line.up()
    await line.handing(1)
    await line.says(line.orders[0])
    await line.told(1)
    await line.outbox.accept(SESSION, Message(MEXICO, "1"))
    line.sessions._sending.wake(line.sessions._held[SESSION])
    await line.handing(2)
    assert len(line.asked) == 1
    (key,) = await redis.keys("wa:contact:*")
    assert keys.DAY - keys.MINUTE < await redis.pttl(key) <= keys.DAY
    assert MEXICO[1:] not in key.decode() + (await redis.get(key)).decode()
    kept = (await line.contacts.known(SESSION, [MEXICO]))[MEXICO]
    assert (kept.exists, kept.account, kept.lid) == (True, MEXICO, "9@lid")
    await redis.set(key, b"[]")
    assert (await line.contacts.known(SESSION, [MEXICO]))[MEXICO].exists is None


async def test_a_question_that_nobody_answers_delays_a_text_for_seconds_only(line, monkeypatch):
    monkeypatch.setattr(people_module, "LOOK_SECONDS", 0.05)
    line.holders.silent = True
    await line.texts(1)
    await line.up()
    await line.handing(1)
    assert line.orders[0].to == TO


@pytest.mark.parametrize("to", ["123456789012345@lid", "120363000000000001@g.us"])
async def test_whatsapp_is_not_asked_about_a_lid_or_a_group(line, to):
    await line.outbox.accept(SESSION, Message(to, "0"))
    await line.up()
    await line.handing(1)
    assert (line.asked, line.orders[0].to) == ([], to)


async def test_a_question_at_a_ticket_is_answered(line, jobs):
    await line.up()
    ticket = await line.contacts.ask(SESSION, MEXICO)
    await jobs.look(SESSION, ticket)
    await line.settled()
    found = await line.contacts.replied(SESSION, ticket)
    assert (found.exists, found.account, found.lid) == (True, MEXICO, "9@lid")
    assert await line.contacts.asked(SESSION, "gone") is None
