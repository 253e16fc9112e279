"""What comes in: told once, in order, one after the other, and with how many found no room."""

import orjson
import pytest

from shared.core import keys
from shared.core.events import DEFAULT_EVENTS, Event, EventType
from shared.state import events as module
from shared.state.events import Arrival, EventShelf, News, Result, Tried
from tests.unit.world import SESSION
from workers.engine import protocol as pipe
from workers.holding.inbox import incoming


@pytest.fixture
def news():
    return News([EventType.MESSAGE_RECEIVED, EventType.SESSION_LINKED])


@pytest.fixture
def shelf(redis, news):
    return EventShelf(redis, news)


def message(whatsapp_id, **more):
    given = {
        "whatsapp_id": whatsapp_id,
        "at": 5,
        "chat": "+79001234567",
        "sender": "+79001234567",
        "came": pipe.Came.TEXT,
    }
    return incoming(pipe.Received(session=SESSION, **(given | more)))


async def put(shelf, session, said, **more):
    (word,) = (await shelf.step(0, come=[Arrival(session, said, **more)])).words
    return word != "full"


async def settle(shelf, due, result, **more):
    await shelf.step(0, ended=[Tried(due, result, **more)])


async def due(shelf):
    return (await shelf.step(100)).due


async def test_a_message_is_told_with_what_a_receiver_needs(shelf):
    said = message("A", text="at 13?", quoted="Q", media="image", mime="image/jpeg", size=9, name='Ada "x"', own=True)
    assert await put(shelf, SESSION, said)
    (one,) = await due(shelf)
    event = Event.model_validate_json(one.body)
    told = event.message
    assert (event.type, event.company_id, event.at) == (EventType.MESSAGE_RECEIVED, "salon-1", 5)
    assert (told.id, told.kind, told.sender, told.text, told.quoted_id) == ("A", "text", "+79001234567", "at 13?", "Q")
    assert (told.media.type, told.media.mime, told.media.size, told.own) == ("image", "image/jpeg", 9, True)
    assert told.name == 'Ada "x"'
    assert "targetId" not in orjson.loads(one.body)["message"]


async def test_the_next_is_tried_when_the_one_before_was_taken(shelf):
    for name in ("A", "B", "C"):
        await put(shelf, SESSION, message(name))
    order = []
    for result in (Result.DELIVERED, Result.RETRIED, Result.GIVEN_UP, Result.DELIVERED):
        (one,) = await due(shelf)
        order.append(Event.model_validate_json(one.body).message.id)
        await settle(shelf, one, result, pause_ms=0 if result is Result.RETRIED else None)
    assert order == ["A", "B", "B", "C"]
    assert await due(shelf) == []


async def test_two_companies_do_not_wait_for_each_other(shelf):
    await put(shelf, SESSION, message("A"))
    await put(shelf, "company_other", message("A"))
    assert {one.company for one in await due(shelf)} == {"salon-1", "other"}


async def test_a_message_that_whatsapp_tells_twice_is_told_once(shelf):
    await put(shelf, SESSION, message("A"))
    (one,) = await due(shelf)
    await settle(shelf, one, Result.DELIVERED)
    assert await put(shelf, SESSION, message("A"))
    assert await due(shelf) == []


async def test_messages_that_find_no_room_are_counted_and_told_with_the_next(shelf, monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    assert [await put(shelf, SESSION, message(name)) for name in "ABCD"] == [True, True, False, False]
    for _ in range(2):
        (one,) = await due(shelf)
        await settle(shelf, one, Result.DELIVERED)
    assert await put(shelf, SESSION, message("E"), lost=3)
    (one,) = await due(shelf)
    event = Event.model_validate_json(one.body)
    assert (event.message.id, event.lost) == ("E", 5)


async def test_an_event_that_was_forgotten_holds_nobody_up(shelf, redis):
    await put(shelf, SESSION, message("A"))
    await put(shelf, SESSION, message("B"))
    (one,) = await due(shelf)
    await redis.delete(keys.webhook(one.id))
    await redis.zrem(keys.WEBHOOKS, one.id)
    await put(shelf, SESSION, message("C"))
    (two,) = await due(shelf)
    assert Event.model_validate_json(two.body).message.id == "B"


async def test_unwanted_messages_leave_nothing_behind(redis):
    await put(EventShelf(redis, News(DEFAULT_EVENTS)), SESSION, message("A", text="secret"))
    assert EventType.MESSAGE_RECEIVED not in DEFAULT_EVENTS
    assert [key for key in await redis.keys("*") if b"said" not in key and b"heard" not in key] == []
