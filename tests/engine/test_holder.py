"""Held sessions, with the real library in a real process, against the emulator."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from emulator.faults import Fault
from tests.engine.held import hold, lost, next_of, probe
from tests.engine.steps import Linked, Steps, story
from tests.recovery import at_most
from workers.engine.processes import Exited, Holder
from workers.engine.protocol import (
    Dropped,
    Held,
    LogOut,
    LostReason,
    Probed,
    Release,
    Released,
    Restored,
    Send,
    SendFailed,
    Sent,
)


async def test_a_cut_is_told_and_so_is_the_return(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    await steps.emulator.cut(phone=linked.phone.number)

    assert await next_of(holder) == Dropped(session="s")
    assert await next_of(holder) == Restored(session="s")


async def test_an_owner_who_unlinks_ends_the_session(steps: Steps, linked: Linked, holder: Holder):
    await hold(holder, linked)
    await linked.phone.logout()

    end = await lost(holder)
    assert end.reason is LostReason.LOGGED_OUT
    await hold(holder, await steps.link(), "later")  # in the library's turn: the client has been stopped
    assert await probe(holder) == Probed(sessions=1, starts=2, stuck=0)


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
        async with asyncio.timeout(2):
            assert await holder.exited == Exited(code=0, signal=None)
        await steps.emulator.wait_for("connection.closed", tag=steps.tag, after=before, seconds=2)


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
