"""Held sessions, with the real library in a real process, against the emulator."""

import asyncio
import os
import signal
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from emulator.client import Emulator
from emulator.environment import HOOK_DIRECTORY
from emulator.faults import Fault
from shared.core.ids import SessionId
from tests.engine.conftest import FAKE, OPTIONS
from tests.engine.steps import Linked, Steps, story, until
from tests.recovery import at_most
from workers.engine.processes import Engines, Exited, Holder
from workers.engine.protocol import (
    Confirmed,
    Dropped,
    Held,
    LogOut,
    Lost,
    LostReason,
    Probe,
    Probed,
    Release,
    Released,
    Restored,
    Send,
    SendFailed,
    Sent,
    Starting,
)
from workers.store.device import StoredDevice
from workers.store.sqlite import SqliteStore


@pytest.fixture
async def linked(steps: Steps) -> Linked:
    return await steps.link()


@pytest.fixture
async def holder(steps: Steps) -> AsyncIterator[Holder]:
    async with steps.holder() as holder:
        yield holder


async def next_of(holder: Holder, seconds: float = 20) -> object:
    """The next line, but for receipts, which come when they like."""
    async with asyncio.timeout(seconds):
        while isinstance(line := await anext(holder), Confirmed | Starting):
            pass
        return line


async def hold(holder: Holder, linked: Linked, session: str = "s") -> None:
    await holder.send(linked.hold(session))
    assert await next_of(holder) == Held(session=session)


async def lost(holder: Holder) -> Lost:
    event = await next_of(holder)
    while isinstance(event, Dropped):
        event = await next_of(holder)
    assert isinstance(event, Lost)
    return event


async def probe(holder: Holder) -> Probed:
    await holder.send(Probe())
    return await until(holder, Probed)


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


async def test_a_cut_is_told_and_so_is_the_return(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    await steps.emulator.cut(phone=linked.phone.number)

    assert await next_of(holder) == Dropped(session="s")
    assert await next_of(holder) == Restored(session="s")


async def test_nothing_is_sent_while_the_connection_is_away(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    rule = await steps.emulator.arm(Fault.CONNECT_HTTP_ERROR, tag=steps.tag, times=None)
    await steps.emulator.cut(phone=linked.phone.number)
    assert await next_of(holder) == Dropped(session="s")
    await holder.send(Send(session="s", message="m", to="+79001112233", text="x"))
    assert await next_of(holder) == SendFailed(session="s", message="m", reason="not connected")

    await steps.emulator.disarm(rule)
    assert await next_of(holder) == Restored(session="s")


async def test_an_owner_who_unlinks_ends_the_session(linked: Linked, holder: Holder):
    await hold(holder, linked)
    await linked.phone.logout()

    end = await lost(holder)
    assert (end.reason, end.recycle) == (LostReason.LOGGED_OUT, False)
    assert (await probe(holder)).sessions == 0


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, LostReason.LOGGED_OUT),
        (403, LostReason.RESTRICTED),
        (406, LostReason.RESTRICTED),
        (405, LostReason.OUTDATED),
        (409, LostReason.REFUSED),
        (400, LostReason.REFUSED),
    ],
)
async def test_a_login_that_is_refused_says_why(steps: Steps, linked: Linked, holder: Holder, status, reason):
    await steps.emulator.arm(Fault.LOGIN_REFUSED, phone=linked.phone.number, status=status)
    await holder.send(linked.hold("s"))

    end = await lost(holder)
    assert (end.reason, end.until, end.recycle) == (reason, None, False)


@pytest.mark.parametrize("ban", [101, 104, 999])
async def test_a_ban_says_until_when_also_by_a_code_that_the_library_does_not_know(
    steps: Steps, linked: Linked, holder: Holder, ban
):
    await steps.emulator.arm(Fault.LOGIN_REFUSED, phone=linked.phone.number, status=402, ban=ban, expire=3600)
    await holder.send(linked.hold("s"))

    end = await lost(holder)
    assert end.reason == LostReason.BANNED
    assert end.until is not None  # the library cannot serialise 999, but its log says it
    assert abs(end.until - (time.time() + 3600) * 1000) < 60_000


async def test_the_same_keys_elsewhere_replace_the_older_session(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    async with steps.holder() as other:
        await hold(other, linked)
        assert (await lost(holder)).reason == LostReason.REPLACED
        assert (await probe(other)).sessions == 1


async def test_a_device_that_is_not_in_its_store_is_never_started(steps: Steps, linked: Linked, holder: Holder):
    neighbour = await steps.link()
    await hold(holder, neighbour, "neighbour")
    with sqlite3.connect(linked.database) as connection:
        connection.execute("DELETE FROM whatsmeow_device")
    connection.close()

    for database in (linked.database, str(steps.folder / "nothing here.db")):
        await holder.send(Linked(linked.phone, database, linked.jid).hold("s"))
        end = await lost(holder)
        assert (end.reason, end.recycle) == (LostReason.LOGGED_OUT, False)

    assert await probe(holder) == Probed(sessions=1, starts=1, stuck=0)


async def test_a_qr_at_a_start_means_logged_out_and_asks_for_another_process(
    steps: Steps, linked: Linked, emulator: Emulator, tag: str
):
    """A device may vanish between the check and the start."""
    environment = os.environ | emulator.client_env(tag)
    environment |= {
        "PYTHONPATH": str(FAKE),
        "WA_FAKE_NEXT_HOOK": str(HOOK_DIRECTORY / "sitecustomize.py"),
        "WA_FAKE_BLIND": "1",
    }
    with sqlite3.connect(linked.database) as connection:
        connection.execute("DELETE FROM whatsmeow_device")
    connection.close()
    async with Engines(OPTIONS, environment) as engines:
        holder = await engines.holder()
        neighbour = await steps.link()
        await hold(holder, neighbour, "neighbour")

        await holder.send(linked.hold("s"))
        end = await lost(holder)
        assert (end.reason, end.recycle) == (LostReason.LOGGED_OUT, True)
        assert await probe(holder) == Probed(sessions=1, starts=2, stuck=1)

        # The stuck client is never stopped, and its server goes: nobody else suffers.
        await steps.emulator.cut(tag=tag)
        assert await next_of(holder) == Dropped(session="neighbour")
        assert await next_of(holder) == Restored(session="neighbour")
        await holder.kill()


async def test_a_dial_that_fails_is_told_and_can_be_tried_again(steps: Steps, linked: Linked, holder: Holder):
    await steps.emulator.arm(Fault.CONNECT_HTTP_ERROR, tag=steps.tag, status=502)
    await holder.send(linked.hold("s"))
    end = await lost(holder)
    assert end.reason == LostReason.START_FAILED
    assert end.detail
    assert steps.tag not in end.detail

    await hold(holder, linked)


async def test_a_server_that_is_busy_at_the_login_is_waited_for(steps: Steps, linked: Linked, holder: Holder):
    await steps.emulator.arm(Fault.LOGIN_REFUSED, phone=linked.phone.number, status=503)
    await hold(holder, linked)


async def test_a_session_held_again_and_again_is_not_stopped_by_its_forerunners(
    steps: Steps, linked: Linked, holder: Holder
):
    """A client that is collected must not stop the next one of the same session."""
    for _ in range(5):
        await hold(holder, linked)
        await holder.send(Release(session="s"))
        assert await next_of(holder) == Released(session="s")
    await hold(holder, linked)

    await holder.send(Send(session="s", message="m", to="+79001112233", text="x"))
    assert isinstance(await next_of(holder), Sent)
    assert await probe(holder) == Probed(sessions=1, starts=6, stuck=0)
    [connection] = await steps.emulator.connections(tag=steps.tag)
    assert connection


async def test_commands_may_come_in_any_order(linked: Linked, holder: Holder):
    await holder.send(Release(session="s"))
    assert await next_of(holder) == Released(session="s")
    await holder.send(LogOut(session="s"))
    assert await next_of(holder) == Released(session="s", detail="not held")

    await hold(holder, linked)
    await hold(holder, linked)  # once more: it is up, so it says so again

    await holder.send(Release(session="s"))
    await holder.send(linked.hold("s"))
    assert [await next_of(holder), await next_of(holder)] == [Released(session="s"), Held(session="s")]


async def test_a_hold_that_waits_for_its_forerunner_to_leave_is_ended_by_a_release(linked: Linked, holder: Holder):
    await hold(holder, linked)
    os.kill(holder.pid, signal.SIGSTOP)  # so that it reads the three at once: the forerunner has no time to leave
    try:
        await holder.send(Release(session="s"))
        await holder.send(linked.hold("s"))
        await holder.send(Release(session="s"))
    finally:
        os.kill(holder.pid, signal.SIGCONT)
    assert await next_of(holder) == Released(session="s")
    assert await probe(holder) == Probed(sessions=0, starts=1, stuck=0)


async def test_a_log_out_unlinks_at_the_phone(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    await holder.send(LogOut(session="s"))

    assert (await lost(holder)).reason == LostReason.LOGGED_OUT
    assert await linked.phone.devices() == []


@pytest.mark.timeout(400)  # sixty linkings first: 10 s, or many more on a busy machine
async def test_sixty_sessions_live_in_one_holder_and_survive_its_death(steps: Steps):
    """More than the default executor has threads (6 on two cores): there the seventh would block all."""
    devices = {f"s{number}": await steps.link() for number in range(60)}
    async with steps.holder() as holder:
        assert holder.pid is not None
        for session, linked in devices.items():  # all at once: the starts must take turns
            await holder.send(linked.hold(session))
        events = [await next_of(holder) for _ in devices]
        assert {event.session for event in events if isinstance(event, Held)} == set(devices)

        for session in devices:
            await holder.send(Send(session=session, message="m", to="+79001112233", text="x"))
        events = [await next_of(holder, 60) for _ in devices]
        assert {event.session for event in events if isinstance(event, Sent)} == set(devices)
        soft = next(
            line for line in Path(f"/proc/{holder.pid}/limits").read_text().splitlines() if "open files" in line
        )
        assert soft.split()[3] == soft.split()[4]

        os.kill(holder.pid, signal.SIGKILL)
        assert await story(holder) == [Exited(code=None, signal=signal.SIGKILL)]

    async with steps.holder() as another:
        for session, linked in devices.items():
            await another.send(linked.hold(session))
        events = [await next_of(another) for _ in devices]
        assert {event.session for event in events if isinstance(event, Held)} == set(devices)

        for session in devices:
            await another.send(Release(session=session))
        events = [await next_of(another) for _ in devices]
        assert {event.session for event in events if isinstance(event, Released)} == set(devices)
        assert await probe(another) == Probed(sessions=0, starts=60, stuck=0)


async def test_a_holder_ends_when_its_worker_is_gone(steps: Steps, linked: Linked):
    async with steps.holder() as holder:
        await hold(holder, linked)
        before = await steps.emulator.now()
        holder.close()
        async with asyncio.timeout(20):
            assert await holder.exited == Exited(code=0, signal=None)
        await steps.emulator.wait_for("connection.closed", tag=steps.tag, after=before)


async def test_a_session_that_moves_waits_for_the_answer_to_its_text(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    await steps.emulator.arm(Fault.MESSAGE_LATE, phone=linked.phone.number, delay=7)
    await holder.send(Send(session="s", message="m", to=f"+{steps.phone().number}", text="x"))
    await steps.emulator.wait_for("fault.fired", tag=steps.tag)
    await holder.send(Release(session="s", patience=45))
    sent = await next_of(holder)
    assert isinstance(sent, Sent), sent
    assert await next_of(holder) == Released(session="s")


@pytest.mark.slow
async def test_a_dial_that_hangs_keeps_nobody_waiting_but_its_own_release(steps: Steps, linked: Linked, holder: Holder):
    """stop() waits for a dial under way, 20 s at most; if it waited inside the lock, all others would."""
    other = await steps.link()
    await steps.emulator.arm(Fault.HANDSHAKE_SILENCE, tag=steps.tag)
    await holder.send(linked.hold("slow"))
    await steps.emulator.wait_for("fault.fired", tag=steps.tag)
    await holder.send(Release(session="slow"))
    with at_most(10):
        await hold(holder, other, "other")

    assert await next_of(holder, 45) == Released(session="slow")
    assert (await probe(holder)).sessions == 1


@pytest.mark.slow
async def test_a_server_that_answers_no_pings_is_a_drop(steps: Steps, linked: Linked, holder: Holder):
    await steps.emulator.arm(Fault.KEEPALIVE_SILENCE, phone=linked.phone.number)
    await hold(holder, linked)

    assert await next_of(holder, 60) == Dropped(session="s")
    assert await next_of(holder, 60) == Restored(session="s")


@pytest.mark.slow
async def test_a_message_that_is_never_acknowledged_fails_by_our_own_clock(
    steps: Steps, linked: Linked, holder: Holder
):
    await hold(holder, linked)
    await steps.emulator.arm(Fault.MESSAGE_SILENCE, phone=linked.phone.number)
    for message in ("m1", "m2"):
        await holder.send(Send(session="s", message=message, to=f"+{steps.phone().number}", text="x"))

    # The library would send the second after 75 s. So the session is connected anew, and what waits can go.
    assert await next_of(holder, 60) == SendFailed(session="s", message="m1", reason="no answer within 40 s")
    told = [await next_of(holder) for _ in range(3)]
    told.remove(SendFailed(session="s", message="m2", reason="not connected"))
    assert told == [Dropped(session="s"), Restored(session="s")]
    await holder.send(Send(session="s", message="m2", to=f"+{steps.phone().number}", text="x", volley=1))
    assert isinstance(await next_of(holder), Sent)
