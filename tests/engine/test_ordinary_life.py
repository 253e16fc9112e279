"""Ordinary and odd life against held sessions: nobody is lost, nothing is told that is not so.

`make test` plays 120 acts, of a stanza or more each; `make chaos` 5,000 (LIFE=5000). LIFE_SEED plays a run again; a failing test prints its seed.
"""

import os
import secrets
from collections import Counter

import pytest

from emulator.life import AT_ANY_TIME, Course
from tests.engine.conftest import OPTIONS
from tests.engine.steps import Linked, Steps, until
from workers.engine.pool import LinkerPool
from workers.engine.processes import Engines, Holder, Options
from workers.engine.protocol import Code, Confirmed, Held, Qr, Receipt, RequestCode, Send, Sent, Start

ACTS = int(os.environ.get("LIFE", "120"))
SEED = int(os.environ.get("LIFE_SEED") or secrets.randbelow(1 << 31))
_BETWEEN_TEXTS = 40
_VIOLATIONS = ("client.violation", "emulator.failed")


async def text_arrives(steps: Steps, holder: Holder, session: str, linked: Linked, message: str) -> None:
    """The session sends a text; WhatsApp has it, and has it from this session."""
    receiver = steps.phone()
    await receiver.change(receipts="delivered")
    await holder.send(Send(session=session, message=message, to=f"+{receiver.number}", text=message))
    sent = await until(holder, Sent, seconds=60)  # a Lost on the way, or an end, fails
    assert (sent.session, sent.message) == (session, message)
    found = [
        one["text"]
        for one in await steps.emulator.messages(linked.phone.number)
        if one["message_id"] == sent.whatsapp_id
    ]
    assert found == [message]


@pytest.mark.timeout(0 if ACTS > 500 else 240)
async def test_held_sessions_outlive_ordinary_and_odd_life(steps: Steps):
    print(f"LIFE_SEED={SEED} LIFE={ACTS}")
    course = Course(1.0, SEED)
    linked = {"a": await steps.link(), "b": await steps.link()}
    async with steps.holder() as holder:
        for session, device in linked.items():
            await holder.send(device.hold(session))
            assert (await until(holder, Held)).session == session
        for number in range(ACTS):
            life = course.dice.choice(AT_ANY_TIME)
            await course.dice.choice(list(linked.values())).phone.live(life, messages=10, chats=3)
            if number % _BETWEEN_TEXTS == _BETWEEN_TEXTS - 1:
                for session, device in linked.items():
                    await text_arrives(steps, holder, session, device, f"{session} after {number + 1} acts")
        for session, device in linked.items():
            await text_arrives(steps, holder, session, device, f"{session} at the end")
            assert [one["online"] for one in await device.phone.devices()] == [True]
        confirmed = await until(holder, Confirmed, seconds=60)
        assert confirmed.receipt in (Receipt.DELIVERED, Receipt.READ)
    events = await steps.emulator.events(tag=steps.tag)
    assert [event.detail for event in events if event.kind in _VIOLATIONS] == []
    logins = Counter(event.phone for event in events if event.kind == "device.logged-in")
    assert set(logins.values()) == {2}, "the linker's and the holder's: nobody was lost for a moment"


@pytest.mark.parametrize(
    "name", ["Acme (Paris)", "Chrome (Acme)", "Веснá 💐", "x" * 200, '"; drop table', "Safari\n(iOS)"]
)
async def test_a_code_is_asked_for_under_a_name_that_whatsapp_takes(
    steps: Steps, environment: dict[str, str], name: str
):
    """WhatsApp answers 400 to a display name with a product's own name in it: ours stands in the device's `os` alone."""
    assert name != OPTIONS.device_name
    phone = steps.phone()
    async with Engines(Options(device_name=name), environment) as engines, LinkerPool(engines, spares=1) as pool:
        linker = await pool.take()
        try:
            await linker.send(Start(database=steps.database()))
            await linker.send(RequestCode(phone=f"+{phone.number}"))
            await until(linker, Qr)
            await until(linker, Code)
        finally:
            await linker.kill()
    requested = await steps.emulator.wait_for("code.requested", tag=steps.tag)
    assert requested.detail["display"] == "Chrome (Linux)"
