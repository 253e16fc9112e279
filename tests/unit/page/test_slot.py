"""A socket's slot: the newest snapshot only, answers first, nothing twice."""

import asyncio

import orjson
import pytest

from app.page.slot import Slot, SocketEnded
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.protocol import Body, ErrorView, MessageType, ServerMessage
from shared.state.snapshots import Stored
from tests.unit.world import SESSION

REFUSED = ServerMessage(type=MessageType.ERROR, error=ErrorView(code=FailureCode.PAUSED))


def at(attempt, seq):
    return Stored(SESSION, attempt, seq, Body(state=State.QUEUED))


def offer(slot, attempt, seq, *, again=False, position=None):
    slot.put(at(attempt, seq), f"{attempt}.{seq}", position=position, again=again)


async def taken(slot):
    """All that is there now."""
    texts = []
    while True:
        try:
            async with asyncio.timeout(0):
                texts.append((await slot.next())[0])
        except TimeoutError:
            return texts


async def test_a_reader_that_was_away_gets_the_newest_only():
    slot = Slot()
    for seq in range(1, 100):
        offer(slot, 1, seq)
    assert await taken(slot) == ["1.99"]


@pytest.mark.parametrize("older", [(1, 5), (1, 4), (0, 9)])
async def test_an_older_or_equal_snapshot_is_dropped(older):
    slot = Slot()
    offer(slot, 1, 5)
    offer(slot, *older)
    assert await taken(slot) == ["1.5"]
    offer(slot, *older)
    assert await taken(slot) == []


async def test_a_new_attempt_is_newer_whatever_its_seq():
    slot = Slot()
    offer(slot, 1, 50)
    offer(slot, 2, 1)
    assert await taken(slot) == ["2.1"]


async def test_the_same_version_passes_again_when_it_is_wanted_again_and_an_older_never():
    slot = Slot()
    offer(slot, 1, 5)
    assert await taken(slot) == ["1.5"]
    offer(slot, 1, 5, again=True)
    offer(slot, 1, 4, again=True)
    assert await taken(slot) == ["1.5"]


async def test_answers_come_before_snapshots_and_in_order():
    slot = Slot()
    offer(slot, 1, 1)
    for code in (FailureCode.PAUSED, FailureCode.LINK_SPENT):
        slot.answer(ServerMessage(type=MessageType.ERROR, error=ErrorView(code=code)))
    first, second, third = await taken(slot)
    assert [orjson.loads(one)["error"]["code"] for one in (first, second)] == ["paused", "link-spent"]
    assert third == "1.1"


async def test_a_browser_that_only_errs_cannot_make_its_slot_grow():
    slot = Slot()
    for _ in range(1000):
        slot.answer(REFUSED)
    assert len(await taken(slot)) == 16


async def test_a_waiting_reader_is_woken_by_a_snapshot():
    slot = Slot()
    for put in (lambda: offer(slot, 1, 1), lambda: slot.answer(REFUSED), lambda: offer(slot, 1, 2)):
        waiting = asyncio.create_task(slot.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        put()
        async with asyncio.timeout(1):
            assert await waiting


async def test_the_first_snapshot_is_taken_with_its_place_in_the_queue_and_not_sent_twice():
    slot = Slot()
    first = asyncio.create_task(slot.first())
    await asyncio.sleep(0)
    slot.answer(REFUSED)
    await asyncio.sleep(0)
    assert not first.done(), "an answer is no snapshot"
    offer(slot, 1, 1, position=3)
    async with asyncio.timeout(1):
        snapshot = await first
    assert snapshot.queue is not None
    assert (snapshot.attempt, snapshot.seq, snapshot.queue.position) == (1, 1, 3)
    assert len(await taken(slot)) == 1
    offer(slot, 1, 1)
    assert await taken(slot) == []


@pytest.mark.parametrize("method", [Slot.first, Slot.next])
async def test_an_ended_slot_ends_whoever_waits_or_comes_to_wait(method):
    slot = Slot()
    waiting = asyncio.create_task(method(slot))
    await asyncio.sleep(0)
    slot.end()
    async with asyncio.timeout(1):
        with pytest.raises(SocketEnded):
            await waiting
        with pytest.raises(SocketEnded):
            await method(slot)
