"""Texts, receipts and questions about people, with the real library in a real process, against the emulator."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from emulator.faults import Fault
from tests.engine.steps import Linked, Steps
from workers.engine.processes import Holder
from workers.engine.protocol import (
    Came,
    Confirmed,
    Dropped,
    Held,
    Line,
    Look,
    Looked,
    Person,
    Receipt,
    Received,
    Restored,
    Send,
    SendFailed,
    Sent,
)


@pytest.fixture
async def holder(steps: Steps, linked: Linked) -> AsyncIterator[Holder]:
    async with steps.holder() as holder:
        await holder.send(linked.hold("s"))
        assert await until(holder, Held) == Held(session="s")
        yield holder


async def until(holder: Holder, kind: type[Line], seconds: float = 30) -> Line:
    async with asyncio.timeout(seconds):
        while not isinstance(line := await anext(holder), kind):
            pass
        assert isinstance(line, Line)
        return line


async def sent(holder: Holder, to: str, text: str = "hello") -> Sent:
    await holder.send(Send(session="s", message=text, to=to, text=text))
    async with asyncio.timeout(30):
        while not isinstance(line := await anext(holder), Sent | SendFailed):
            pass
    assert isinstance(line, Sent), line
    return line


async def confirmed(holder: Holder) -> tuple[Receipt, list[str]]:
    line = await until(holder, Confirmed)
    assert isinstance(line, Confirmed)
    return line.receipt, line.whatsapp_ids


async def test_the_receivers_phone_gets_a_text_and_reads_it(steps: Steps, holder: Holder):
    receiver = steps.phone()
    await receiver.change(receipts="read")
    text = await sent(holder, f"+{receiver.number}")
    assert await confirmed(holder) == (Receipt.DELIVERED, [text.whatsapp_id])
    assert await confirmed(holder) == (Receipt.READ, [text.whatsapp_id])


async def test_a_text_whose_receivers_keys_cannot_be_had_is_told(steps: Steps, linked: Linked, holder: Holder):
    receiver = steps.phone()
    await steps.emulator.arm(Fault.KEYS_REFUSED, phone=receiver.number, times=None)
    text = await sent(holder, f"+{receiver.number}")
    assert await confirmed(holder) == (Receipt.NO_KEYS, [text.whatsapp_id])


async def test_a_phone_that_cannot_decrypt_a_text_gets_it_again(steps: Steps, holder: Holder):
    receiver = steps.phone()
    await receiver.change(receipts="delivered")
    await steps.emulator.arm(Fault.RETRY_RECEIPT, phone=receiver.number)
    text = await sent(holder, f"+{receiver.number}")
    assert await confirmed(holder) == (Receipt.UNREADABLE, [text.whatsapp_id])
    assert await confirmed(holder) == (Receipt.DELIVERED, [text.whatsapp_id])


async def test_a_receipt_that_the_library_has_no_word_for_costs_a_reconnect_only(
    steps: Steps, linked: Linked, holder: Holder
):
    receiver = steps.phone()
    text = await sent(holder, f"+{receiver.number}")
    await receiver.receipt(linked.phone.number, text.whatsapp_id, "server-error")
    await until(holder, Dropped)
    await until(holder, Restored)
    await sent(holder, f"+{receiver.number}", "again")


async def test_a_look_at_people_saves_the_text_its_own_questions(steps: Steps, linked: Linked, holder: Holder):
    here, nobody = steps.phone(), steps.phone()
    await nobody.change(on_whatsapp=False)
    numbers = [f"+{here.number}", f"+{nobody.number}"]
    await holder.send(Look(session="s", question="q", numbers=numbers))
    looked = await until(holder, Looked)
    assert isinstance(looked, Looked)
    first, second = looked.people
    assert (first.exists, first.account, first.known) == (True, numbers[0], False)
    assert first.lid.endswith("@lid")
    assert second == Person(number=numbers[1], exists=False)
    await steps.emulator.arm(Fault.USYNC_REFUSED, phone=linked.phone.number, times=None)
    await sent(holder, numbers[0])


async def test_a_text_goes_to_a_lid_and_to_a_group_of_which_the_session_is_a_member(
    steps: Steps, linked: Linked, holder: Holder
):
    other = steps.phone()
    await holder.send(Look(session="s", question="q", numbers=[f"+{other.number}"]))
    looked = await until(holder, Looked)
    assert isinstance(looked, Looked)
    await sent(holder, looked.people[0].lid, "to the lid")
    name = f"1203630{other.number}"
    group = await steps.emulator.group(name, [other.number, linked.phone.number])
    await sent(holder, group if group.endswith("@g.us") else f"{name}@g.us", "to the group")
    texts = [one["text"] for one in await steps.emulator.messages(linked.phone.number)]
    assert texts == ["to the lid", "to the group"]
    await steps.emulator.group(f"{name}1", [other.number])
    await holder.send(Send(session="s", message="x", to=f"{name}1@g.us", text="to strangers"))
    failed = await until(holder, SendFailed)
    assert isinstance(failed, SendFailed)
    assert "failed to get group members" in failed.reason


@pytest.fixture
async def hearing(steps: Steps, linked: Linked) -> AsyncIterator[Holder]:
    """A holder that tells what comes in."""
    async with steps.holder() as holder:
        await holder.send(structs.replace(linked.hold("s"), inbound=True))
        assert await until(holder, Held) == Held(session="s")
        yield holder


async def received(holder: Holder) -> Received:
    line = await until(holder, Received)
    assert isinstance(line, Received)
    return line


async def test_an_incoming_message_has_its_kind(steps: Steps, linked: Linked, hearing: Holder):
    person, company = steps.phone(), linked.phone.number
    await person.change(name="Ada")
    first = await person.say(company, "Is tomorrow at 12 free?")
    text = await received(hearing)
    assert (text.whatsapp_id, text.came, text.text) == (first, Came.TEXT, "Is tomorrow at 12 free?")
    assert (text.sender, text.chat, text.own, text.name) == (f"+{person.number}", f"+{person.number}", False, "Ada")
    await person.say(company, "At 13 as well", quoted=first, quoted_text="Is tomorrow at 12 free?")
    assert (await received(hearing)).quoted == first
    await person.say(company, kind="image")
    image = await received(hearing)
    assert (image.came, image.media) == (Came.MEDIA, "image")
    assert image.mime.startswith("image/")
    await person.edit(company, first, "Is Friday free?")
    edit = await received(hearing)
    assert (edit.came, edit.target, edit.text) == (Came.EDIT, first, "Is Friday free?")
    await person.react(company, first, "👍", own=True)
    reaction = await received(hearing)
    assert (reaction.came, reaction.target, reaction.text) == (Came.REACTION, first, "👍")
    await person.delete(company, first)
    deletion = await received(hearing)
    assert (deletion.came, deletion.target) == (Came.DELETION, first)


async def test_a_message_that_the_owner_writes_on_the_phone_is_marked(steps: Steps, linked: Linked, hearing: Holder):
    person = steps.phone()
    await linked.phone.say(person.number, "See you tomorrow")
    own = await received(hearing)
    assert (own.own, own.text, own.chat) == (True, "See you tomorrow", f"+{person.number}")


async def test_a_group_is_named_and_so_is_who_writes_there(steps: Steps, linked: Linked, hearing: Holder):
    person = steps.phone()
    group = await steps.emulator.group(f"1203631{person.number}", [person.number, linked.phone.number])
    await person.say(group, "Hello all")
    line = await received(hearing)
    assert (line.chat, line.sender, line.text) == (group, f"+{person.number}", "Hello all")


async def test_incoming_messages_are_told_only_if_they_were_asked_for(steps: Steps, linked: Linked, holder: Holder):
    person = steps.phone()
    await person.change(receipts="delivered")
    await person.say(linked.phone.number, "hello")
    await steps.emulator.wait_for("receipt.received", phone=linked.phone.number)
    text = await sent(holder, f"+{person.number}")
    assert await confirmed(holder) == (Receipt.DELIVERED, [text.whatsapp_id])
