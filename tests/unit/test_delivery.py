"""Delivery of events: to the right receiver, tried again, given up, and never in the way of others."""

import asyncio
import contextlib

import pytest

from shared.core import keys
from shared.core.events import Event, EventType, IncomingMessage
from shared.state import events as events_module
from shared.state.events import EventShelf, News
from shared.state.receivers import Receivers
from shared.tasks import cancelled
from tests.unit.hooks import COMPANY, CONFIG, OTHER, SECRET, kept, put
from tests.unit.world import PHONE, SESSION
from tests.waiting import until
from workers import delivery
from workers.delivery import GIVE_UP_MS, Webhooks


class Answers:
    """In place of HTTP: what each try is answered, and what was tried."""

    def __init__(self):
        self.faults = []
        self.tried = []
        self.events = []
        self.hanging = set()
        self.release = asyncio.Event()

    async def send(self, receiver, due):
        self.tried.append((receiver.url, due.id))
        self.events.append(Event.model_validate_json(due.body))
        if receiver.url in self.hanging:
            await self.release.wait()
        return self.faults.pop(0) if self.faults else None

    def close(self):
        pass


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
async def hooks(redis, shelf, answers):
    """The loop of one worker."""
    tasks = set()

    def spawn(work, _name):
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    made = Webhooks(CONFIG, shelf, Receivers(CONFIG, redis), spawn)
    made._sender = answers
    running = asyncio.create_task(made.run())
    yield made
    for task in (running, *tasks):
        with contextlib.suppress(Exception):
            await cancelled(task)


async def is_settled(redis):
    return not await redis.exists(keys.WEBHOOKS)


async def test_a_due_event_goes_to_the_companys_own_receiver_or_to_ours(shelf, news, redis, hooks, answers):
    await put(shelf, news)
    hooks.call()
    await until(lambda: is_settled(redis))
    await Receivers(CONFIG, redis).put(COMPANY, "https://own.example/", SECRET, None)
    await put(shelf, news, "e2")
    hooks.call()
    await until(lambda: is_settled(redis))
    assert answers.tried == [("http://127.0.0.1:9/", "e1"), ("https://own.example/", "e2")]


async def test_an_event_that_a_company_does_not_want_is_told_to_nobody(shelf, news, redis, hooks, answers):
    await Receivers(CONFIG, redis).put(COMPANY, "https://own.example/", SECRET, frozenset({EventType.SESSION_DROPPED}))
    await put(shelf, news)
    hooks.call()
    await until(lambda: is_settled(redis))
    assert answers.tried == []
    assert await redis.keys("wa:webhook:*") == []


async def test_a_receiver_that_is_away_for_a_day_is_given_up_and_that_is_counted(
    moment, shelf, news, redis, hooks, answers
):
    answers.faults = ["status 500", "status 500"]
    await put(shelf, news)
    hooks.call()
    await until(lambda: redis.hget(keys.STATS, 'webhooks{result="retried",type="session.linked"}'))
    assert 3000 < await redis.zscore(keys.WEBHOOKS, "e1") - moment < 7000
    await redis.hset(keys.webhook("e1"), "since", moment - GIVE_UP_MS)
    await redis.zadd(keys.WEBHOOKS, {"e1": moment})
    hooks.call()
    await until(lambda: redis.hget(keys.STATS, 'webhooks{result="given-up",type="session.linked"}'))
    assert await redis.zrange(keys.DEAD_WEBHOOKS, 0, -1) == [b"e1"]


@pytest.mark.parametrize("looked_at", [events_module.LOOKED_AT, 10])
async def test_a_receiver_that_hangs_holds_up_no_other(shelf, news, redis, hooks, answers, monkeypatch, looked_at):
    monkeypatch.setattr(events_module, "LOOKED_AT", looked_at)
    await Receivers(CONFIG, redis).put(COMPANY, "https://hangs.example/", SECRET, None)
    answers.hanging.add("https://hangs.example/")
    for number in range(40):
        await put(shelf, news, f"e{number}")
    hooks.call()
    await until(lambda: asyncio.sleep(0, len(answers.tried) == delivery.AT_ONCE_EACH))
    await shelf.put(OTHER, news.event(OTHER, EventType.SESSION_LINKED, {}, event_id="o1"))
    hooks.call()
    await until(lambda: asyncio.sleep(0, ("http://127.0.0.1:9/", "o1") in answers.tried))
    assert len([one for one in answers.tried if "hangs" in one[0]]) == delivery.AT_ONCE_EACH
    tries = [int(await redis.hget(keys.webhook(f"e{number}"), "tries")) for number in range(40)]
    assert sum(tries) <= delivery.AT_ONCE, "what was not tried is not counted"
    answers.release.set()


async def test_a_redis_that_is_away_ends_nothing(shelf, news, redis, hooks, answers, monkeypatch):
    failed = asyncio.Event()

    async def away(_most, **_given):
        failed.set()
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(shelf, "step", away)
        hooks.call()
        await failed.wait()
    await put(shelf, news)
    hooks.call()
    await until(lambda: is_settled(redis))
    assert answers.tried == [("http://127.0.0.1:9/", "e1")]


async def test_a_backlog_for_one_receiver_costs_a_step_for_each_try_and_no_more(shelf, news, redis, hooks, answers):
    """As after a receiver, or a machine, was away: a worker that took what it had no room for, and gave it back, was busy
    with that alone, and the more so the more there was."""
    steps, step = [], shelf.step

    async def counted(*given, **named):
        steps.append(named)
        return await step(*given, **named)

    shelf.step = counted
    for number in range(300):
        await put(shelf, news, f"e{number}")
    hooks.call()
    await until(lambda: is_settled(redis))
    assert len(answers.tried) == 300
    assert len(steps) < 320
    assert await redis.hgetall(keys.STATS) == {b'webhooks{result="delivered",type="session.linked"}': b"300"}


async def test_what_has_come_in_and_how_tries_ended_is_written_when_the_worker_stops(shelf, redis, answers, world):
    made = Webhooks(CONFIG, EventShelf(redis, News(tuple(EventType))), Receivers(CONFIG, redis), None)
    made._sender = answers
    said = IncomingMessage(id="A", at=5, chat=PHONE, sender=PHONE, kind="text", text="hello", own=False)
    made.heard(SESSION, said)
    await made.close()
    (event,) = await kept(redis)
    assert event.message == said


async def test_while_redis_is_away_messages_that_come_in_wait_and_what_finds_no_room_is_counted(
    shelf, redis, hooks, answers, monkeypatch
):
    monkeypatch.setattr(delivery, "MOST_COME", 2)
    await Receivers(CONFIG, redis).put(COMPANY, "https://own.example/", SECRET, frozenset(EventType))
    for name in "ABCD":
        hooks.heard(SESSION, IncomingMessage(id=name, at=5, chat=PHONE, kind="text", own=False))
    await until(lambda: asyncio.sleep(0, len(answers.tried) == 2))
    hooks.heard(SESSION, IncomingMessage(id="E", at=5, chat=PHONE, kind="text", own=False))
    await until(lambda: asyncio.sleep(0, len(answers.tried) == 3))
    assert [one.lost for one in answers.events] == [None, None, 2]
