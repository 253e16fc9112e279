"""Logins of held sessions, with the real library in a real process, against the emulator."""

import os
import sqlite3
import time

import pytest

from emulator.client import Emulator
from emulator.environment import HOOK_DIRECTORY
from emulator.faults import Fault
from tests.engine.conftest import FAKE, OPTIONS
from tests.engine.held import hold, lost, next_of, probe
from tests.engine.steps import Linked, Steps, until
from tests.recovery import at_most
from workers.engine.processes import Engines, Holder
from workers.engine.protocol import (
    Dropped,
    LostReason,
    Probed,
    Restored,
)


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
    assert (end.reason, end.until) == (reason, None)
    await hold(holder, await steps.link(), "later")  # in the library's turn: the client has been stopped
    assert await probe(holder) == Probed(sessions=1, starts=2, stuck=0)


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
        assert end.reason is LostReason.LOGGED_OUT

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
        assert end.reason is LostReason.LOGGED_OUT
        assert await until(holder, Probed) == Probed(sessions=1, starts=2, stuck=1)
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


async def test_a_loss_is_told_though_the_stop_waits_for_the_starts_of_others(
    steps: Steps, linked: Linked, holder: Holder
):
    others = [await steps.link() for _ in range(4)]
    await hold(holder, linked)
    await steps.emulator.arm(Fault.HANDSHAKE_SILENCE, tag=steps.tag, times=len(others))
    for number, other in enumerate(others):
        await holder.send(other.hold(f"other {number}"))  # each keeps the library's turn for a second
    await steps.emulator.wait_for("fault.fired", tag=steps.tag)
    await linked.phone.logout()
    with at_most(1):
        assert (await lost(holder)).reason is LostReason.LOGGED_OUT
