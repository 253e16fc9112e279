"""What the real library tells its log alone reaches the worker: refusals it cannot read, stream errors, files it misses."""

import asyncio
import time
from typing import Any

import pytest

from emulator.faults import Fault
from tests.engine.steps import Linked, Steps, until
from workers.engine.processes import Exited, Holder
from workers.engine.protocol import Dropped, Held, Lost, LostReason, Remark, Remarked, Restored, Send, Sent, Word


async def told(holder: Holder, kind: type[object], seconds: float = 30) -> list[object]:
    """All lines up to the first of this kind."""
    lines: list[object] = []
    async with asyncio.timeout(seconds):
        while not lines or not isinstance(lines[-1], kind):
            line = await anext(holder)
            assert not isinstance(line, Exited), line
            lines.append(line)
    return lines


@pytest.mark.parametrize(
    ("status", "words", "detail"),
    [
        (418, {"message": "not you"}, "418: not you"),
        (429, {"header": "Slow down", "subtext": "Try again tomorrow"}, "429: Slow down / Try again tomorrow"),
        (409, {"message": "bad agent", "subtext": "Update"}, "409: bad agent / Update"),
    ],
)
async def test_a_refusal_is_told_in_whatsapp_s_own_words_whether_the_library_can_read_it_or_not(
    steps: Steps, linked: Linked, holder: Holder, status: int, words: dict[str, Any], detail: str
):
    await steps.emulator.arm(Fault.LOGIN_REFUSED, phone=linked.phone.number, status=status, **words)
    await holder.send(linked.hold("s"))
    *_, lost = await told(holder, Lost)
    assert lost == Lost(session="s", reason=LostReason.REFUSED, detail=detail)
    await holder.send(linked.hold("s"))
    *_, held = await told(holder, Held)
    assert held == Held(session="s"), "the device is as good as before"


async def test_a_ban_whose_code_the_library_does_not_know_still_says_how_long_it_lasts(
    steps: Steps, linked: Linked, holder: Holder
):
    await steps.emulator.arm(
        Fault.LOGIN_REFUSED, phone=linked.phone.number, status=402, ban=199, expire=3600, header="Too many texts"
    )
    await holder.send(linked.hold("s"))
    *_, lost = await told(holder, Lost)
    assert isinstance(lost, Lost)
    assert (lost.reason, lost.detail) == (LostReason.BANNED, "402 (code 199): Too many texts")
    assert lost.until is not None
    assert 3500 < lost.until / 1000 - time.time() < 3700


@pytest.mark.parametrize(("status", "remarks"), [(516, ["516"]), (503, [])])
async def test_an_unknown_stream_error_is_remarked_and_the_session_comes_back(
    steps: Steps, linked: Linked, holder: Holder, status: int, remarks: list[str]
):
    await steps.emulator.arm(Fault.STREAM_ERROR, phone=linked.phone.number, status=status)
    await holder.send(linked.hold("s"))
    lines = await told(holder, Dropped) + await told(holder, Restored)
    said = [line for line in lines if isinstance(line, Remarked)]
    assert said == [Remarked(session="s", remark=Remark.STREAM_ERROR, detail=one) for one in remarks]


async def test_a_session_whose_media_host_is_away_says_so_and_still_sends(steps: Steps, linked: Linked, holder: Holder):
    await steps.emulator.arm(Fault.MEDIA_UNREACHABLE, tag=steps.tag, times=None)
    await holder.send(linked.hold("s"))
    await told(holder, Held)
    await linked.phone.live("history", messages=10, chats=2)
    *_, missed = await told(holder, Remarked)
    assert missed == Remarked(session="s", remark=Remark.FILE_MISSED)
    await holder.send(Send(session="s", message="m", to=f"+{steps.phone().number}", text="x"))
    await told(holder, Sent)


async def test_whatsapps_words_to_an_unlinked_client_are_told_as_well(steps: Steps):
    await steps.emulator.arm(
        Fault.CONNECT_REFUSED, tag=steps.tag, status=400, header="Not now", subtext="Try on Monday", times=None
    )
    async with steps.attempt() as linker:
        word = await until(linker, Word)
    assert word == Word(word="err-unexpected-state", said="400: Not now / Try on Monday")
