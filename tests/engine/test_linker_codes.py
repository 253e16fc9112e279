"""Pairing codes of one attempt, with the real library in a real process, against the emulator."""

import pytest

from emulator.faults import Fault
from emulator.phone.phone import Outcome
from tests.engine.steps import GOOD_END, Steps, story, until
from workers.engine.processes import Exited
from workers.engine.protocol import Code, CodeRefused, Connected, Ended, Paired, Qr, RequestCode, Word


async def test_a_code_asked_for_before_the_first_qr_waits_for_it_and_links(steps: Steps):
    phone = steps.phone()
    async with steps.attempt() as linker:
        await linker.send(RequestCode(phone=f"+{phone.number}"))
        qr = await until(linker, Qr)
        code = await until(linker, Code)
        assert qr.number == 1
        assert len(code.text) == 9
        assert code.text[4] == "-"
        assert await phone.type_code(code.text) == Outcome.CONFIRMED

        assert [type(event) for event in await story(linker)] == [Word, Paired, Connected, Exited]

    requested = await steps.emulator.wait_for("code.requested", tag=steps.tag)
    assert requested.detail["display"] == "Chrome (Linux)"
    assert requested.detail["push"] is True
    assert not [event for event in await steps.emulator.events(tag=steps.tag) if event.kind == "client.violation"]


async def test_the_right_code_still_links_after_a_wrong_one(steps: Steps):
    phone = steps.phone()
    async with steps.attempt() as linker:
        await linker.send(RequestCode(phone=f"+{phone.number}"))
        code = await until(linker, Code)
        assert await phone.type_code("AAAA-AAAA") == Outcome.WRONG_CODE
        assert await phone.type_code(code.text) == Outcome.CONFIRMED
        await until(linker, Connected)


async def test_after_a_wrong_code_the_qr_on_screen_is_dead_and_so_is_the_attempt(steps: Steps):
    phone = steps.phone()
    async with steps.attempt() as linker:
        await linker.send(RequestCode(phone=f"+{phone.number}"))
        qr = await until(linker, Qr)
        await until(linker, Code)
        assert await phone.type_code("AAAA-AAAA") == Outcome.WRONG_CODE
        await phone.scan(qr.text)

        assert await story(linker) == [Word(word="error"), Ended(reason="error"), GOOD_END]


async def test_of_two_codes_only_the_newest_links(steps: Steps):
    phone = steps.phone()
    async with steps.attempt() as linker:
        await linker.send(RequestCode(phone=f"+{phone.number}"))
        first = await until(linker, Code)
        await linker.send(RequestCode(phone=f"+{phone.number}"))
        second = await until(linker, Code)
        assert await phone.type_code(first.text) != Outcome.CONFIRMED
        assert await phone.type_code(second.text) == Outcome.CONFIRMED
        await until(linker, Connected)


@pytest.mark.parametrize("status", [429, 400, 403, 452, 500])
async def test_a_refused_code_tells_the_status_and_leaves_the_qr_alive(steps: Steps, status):
    phone = steps.phone()
    await steps.emulator.arm(Fault.CODE_REFUSED, phone=phone.number, status=status)
    async with steps.attempt() as linker:
        await linker.send(RequestCode(phone=f"+{phone.number}"))
        qr = await until(linker, Qr)
        refused = await until(linker, CodeRefused)
        assert refused.status == status
        assert str(status) in refused.reason

        assert await phone.scan(qr.text) == Outcome.CONFIRMED
        await until(linker, Connected)


async def test_a_number_that_is_none_is_refused_without_a_status(steps: Steps):
    async with steps.attempt() as linker:
        await linker.send(RequestCode(phone="+12345"))
        refused = await until(linker, CodeRefused)
        assert refused == CodeRefused(status=None, reason="phone number too short")


@pytest.mark.slow
async def test_a_code_that_never_comes_is_refused_by_our_own_clock_and_the_qr_stays(steps: Steps):
    phone = steps.phone()
    await steps.emulator.arm(Fault.CODE_SILENCE, phone=phone.number)
    async with steps.attempt() as linker:
        await linker.send(RequestCode(phone=f"+{phone.number}"))
        qr = await until(linker, Qr)
        refused = await until(linker, CodeRefused, 40)
        assert refused == CodeRefused(status=None, reason="no answer within 30 s")
        assert await phone.scan(qr.text) == Outcome.CONFIRMED
        await until(linker, Connected)
