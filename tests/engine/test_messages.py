"""Texts, receipts and questions about people, with the real library in a real process, against the emulator."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from emulator.faults import Fault
from tests.engine.steps import Linked, Steps
from workers.engine.processes import Holder
from workers.engine.protocol import Confirmed, Held, Line, Look, Looked, Person, Receipt, Send, SendFailed, Sent


@pytest.fixture
async def linked(steps: Steps) -> Linked:
    return await steps.link()


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
    await steps.emulator.arm(Fault.RETRY_RECEIPT, phone=receiver.number)
    text = await sent(holder, f"+{receiver.number}")
    assert await confirmed(holder) == (Receipt.UNREADABLE, [text.whatsapp_id])
    assert await confirmed(holder) == (Receipt.DELIVERED, [text.whatsapp_id])


async def test_whatsapp_says_who_is_there_and_the_text_needs_no_more_questions(
    steps: Steps, linked: Linked, holder: Holder
):
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
