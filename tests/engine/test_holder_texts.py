"""Texts of held sessions, with the real library in a real process, against the emulator."""

import time
from pathlib import Path

from emulator.faults import Fault
from shared.core.ids import SessionId
from tests.engine.held import hold, next_of
from tests.engine.steps import Linked, Steps
from workers.engine.processes import Holder
from workers.engine.protocol import (
    Dropped,
    Release,
    Released,
    Restored,
    Send,
    SendFailed,
    Sent,
)
from workers.store.device import StoredDevice
from workers.store.sqlite import SqliteStore


async def test_a_held_session_sends_a_text(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    # A text with what neonize, given a string, would take for mentions and ask the server about.
    text = "Запись на 12:00 подтверждена 👍 @123456@g.us"
    await holder.send(Send(session="s", message="m1", to=f"+{steps.phone().number}", text=text))

    sent = await next_of(holder)
    assert isinstance(sent, Sent)
    [message] = await steps.emulator.messages(linked.phone.number)
    assert sent == Sent(session="s", message="m1", whatsapp_id=message["message_id"], at=sent.at)
    assert sent.at is not None
    assert abs(sent.at - time.time() * 1000) < 60_000
    assert message["device"] == 1


async def test_no_text_is_marked_as_written_by_a_bot(steps: Steps, linked: Linked, holder: Holder):
    """By default neonize marks each text, and its receiver sees an "AI" label on it; the emulator refuses that."""
    await hold(holder, linked)
    await holder.send(Send(session="s", message="m1", to=f"+{steps.phone().number}", text="See you at noon."))

    assert isinstance(await next_of(holder), Sent)
    assert [event for event in await steps.emulator.events(tag=steps.tag) if event.kind == "client.violation"] == []


async def test_a_held_file_can_be_tidied_up_beside_the_library(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    to = f"+{steps.phone().number}"
    await holder.send(Send(session="s", message="m1", to=to, text="before"))
    assert isinstance(await next_of(holder), Sent)
    await SqliteStore.tidy(None, StoredDevice(SessionId("company_s"), linked.jid, 0, linked.database))
    assert Path(linked.database + "-wal").stat().st_size < 100_000
    await holder.send(Send(session="s", message="m2", to=to, text="after"))
    assert isinstance(await next_of(holder), Sent)


async def test_messages_of_a_session_leave_in_their_order(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    to = f"+{steps.phone().number}"
    for number in range(10):
        await holder.send(Send(session="s", message=str(number), to=to, text=str(number)))

    sent = [await next_of(holder) for _ in range(10)]
    assert [one.message for one in sent if isinstance(one, Sent)] == [str(number) for number in range(10)]


async def test_a_refused_message_and_those_of_nobody_fail_with_a_reason(steps: Steps, linked: Linked, holder: Holder):
    to = f"+{steps.phone().number}"
    await holder.send(Send(session="s", message="m0", to=to, text="x"))
    assert await next_of(holder) == SendFailed(session="s", message="m0", reason="not held")

    await hold(holder, linked)
    await steps.emulator.arm(Fault.MESSAGE_REFUSED, phone=linked.phone.number, status=463)
    await holder.send(Send(session="s", message="m1", to=to, text="x"))
    failed = await next_of(holder)
    assert isinstance(failed, SendFailed)
    assert "463" in failed.reason


async def test_nothing_is_sent_while_the_connection_is_away(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    rule = await steps.emulator.arm(Fault.CONNECT_HTTP_ERROR, tag=steps.tag, times=None)
    await steps.emulator.cut(phone=linked.phone.number)
    assert await next_of(holder) == Dropped(session="s")
    await holder.send(Send(session="s", message="m", to="+79001112233", text="x"))
    assert await next_of(holder) == SendFailed(session="s", message="m", reason="not connected")

    await steps.emulator.disarm(rule)
    assert await next_of(holder) == Restored(session="s")


async def test_a_session_that_moves_waits_for_the_answer_to_its_text(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    await steps.emulator.arm(Fault.MESSAGE_LATE, phone=linked.phone.number, delay=7)
    await holder.send(Send(session="s", message="m", to=f"+{steps.phone().number}", text="x"))
    await steps.emulator.wait_for("fault.fired", tag=steps.tag)
    await holder.send(Release(session="s", patience=45))
    sent = await next_of(holder)
    assert isinstance(sent, Sent), sent
    assert await next_of(holder) == Released(session="s")
