"""Logins of held sessions, with the real library in a real process, against the emulator."""

import os
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from emulator.client import Emulator
from emulator.environment import HOOK_DIRECTORY
from emulator.events import Kind
from emulator.faults import Fault
from tests.engine.conftest import FAKE, OPTIONS
from tests.engine.held import hold, lost, next_of, probe
from tests.engine.steps import Linked, Steps
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


async def overtaken(holder: Holder, zygote: int, refused: Callable[[], Awaitable[object]]) -> None:
    """Have a refusal of WhatsApp come before the client's thread has looked who it is. The library writes a word to
    descriptor 2 between the two: nobody reads what is there until the refusal has been taken."""
    os.kill(zygote, signal.SIGSTOP)
    try:
        with Path(f"/proc/{holder.pid}/fd/2").open("wb", buffering=0) as noise:
            os.set_blocking(noise.fileno(), False)
            for size in (4096, 1):
                while noise.write(b"\0" * size):
                    pass
        await refused()
    finally:
        os.kill(zygote, signal.SIGCONT)


@pytest.mark.parametrize(
    ("status", "reason", "stuck"),
    [
        (401, LostReason.LOGGED_OUT, 1),
        (403, LostReason.RESTRICTED, 1),
        (406, LostReason.RESTRICTED, 1),
        (409, LostReason.REFUSED, 0),
    ],
)
async def test_a_refusal_that_overtakes_the_start_is_told(
    steps: Steps, linked: Linked, holder: Holder, status, reason, stuck
):
    """The library deletes the device then, and the client's thread waits for one for ever: no event comes from it."""
    await hold(holder, await steps.link(), "neighbour")
    await steps.emulator.arm(Fault.LOGIN_REFUSED, phone=linked.phone.number, status=status)

    async def refused() -> None:
        await holder.send(linked.hold("s"))
        await steps.emulator.wait_for(
            Kind.CONNECTION_CLOSED,
            phone=linked.phone.number,
            where=lambda event: event.detail["reason"] == f"refused: {status}",
        )

    await overtaken(holder, steps.engines.pid, refused)
    end = await lost(holder)
    assert (end.reason, end.recycle) == (reason, bool(stuck))
    assert await probe(holder) == Probed(sessions=1, starts=2, stuck=stuck)
