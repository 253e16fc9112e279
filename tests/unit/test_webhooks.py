"""Events for the integrator: what is one, how it is kept, signed, tried again and given up."""

import asyncio
import hashlib
import hmac
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.messages import Fate, MessageState, NotDelivered, NotSent
from shared.core.phone import masked
from shared.core.protocol import Body, CodeView, DeviceView, FailureView, MessageType, QrView
from shared.state import events as webhooks
from shared.state.events import Event, EventShelf, EventType, Result, signature
from shared.state.snapshots import Change, Snapshots
from tests.unit.world import PHONE, SESSION
from tests.waiting import until
from workers import delivery, reasons
from workers.delivery import GIVE_UP_MS, JITTER, Webhooks, kind_of, pause_seconds

ROOT = Path(__file__).parents[2]
SECRET = "the integrator's own secret"
DEVICE = DeviceView(phone=masked(PHONE), name="Booking assistant", linked_at=1_780_000_000_000)
STATUS, LINKED = MessageType.STATUS, MessageType.WHATSAPP_CONNECTED


def of(state, kind, event, *, ending=False, **body):
    return Change(Body(state=state, **body), kind, event, ending=ending)


FAILURE = FailureView(code=FailureCode.DROPPED_AFTER_LINKING, retryable=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (of(State.LINKED, LINKED, "attempt.linked", ending=True), EventType.SESSION_LINKED),
        (of(State.LINKED, STATUS, "session.verified"), EventType.SESSION_VERIFIED),
        (of(State.FAILED, STATUS, "session.replaced", ending=True, failure=FAILURE), EventType.SESSION_DROPPED),
        (of(State.UNLINKED, STATUS, "session.unlinked", ending=True), EventType.SESSION_UNLINKED),
        (of(State.UNLINKED, STATUS, "device.missing", ending=True), EventType.SESSION_UNLINKED),
        (of(State.LINKED, LINKED, "session.held"), None),
        (of(State.RECONNECTING, STATUS, "session.dropped"), None),
        (of(State.RECONNECTING, STATUS, "session.handed-over"), None),
        (of(State.FAILED, MessageType.ERROR, "attempt.failed", ending=True, failure=FAILURE), None),
        (of(State.EXPIRED, STATUS, "attempt.expired", ending=True), None),
        (of(State.CANCELLED, STATUS, "attempt.cancelled", ending=True), None),
        (of(State.LINKING, STATUS, "phone.agreed"), None),
    ],
    ids=lambda one: one.event if isinstance(one, Change) else None,
)
def test_what_of_a_session_the_integrator_is_told(change, told):
    assert kind_of(change) is told


def test_the_signature_is_over_timestamp_and_body_and_changes_with_each_of_them():
    body = b'{"id":"1"}'
    made = signature(SECRET, 1_780_000_000_000, body)
    by_hand = hmac.new(SECRET.encode(), b"1780000000000." + body, hashlib.sha256).hexdigest()
    assert made == f"v1={by_hand}"
    others = {
        signature(SECRET, 1_780_000_000_001, body),
        signature(SECRET, 1_780_000_000_000, body + b" "),
        signature("x", 1_780_000_000_000, body),
    }
    assert len({made, *others}) == 4


def test_pauses_grow_from_seconds_to_an_hour_and_a_day_is_some_thirty_tries():
    longest = [pause_seconds(tries, 0.5) for tries in range(1, 60)]
    assert longest[:4] == [5, 10, 20, 40]
    assert longest == sorted(longest)
    assert max(longest) == 3600
    assert pause_seconds(10_000, 1) == 3600 * (1 + JITTER)
    tries, age = 1, 0.0
    while (age := age + longest[tries - 1]) * 1000 <= GIVE_UP_MS:
        tries += 1
    assert 30 < tries < 40


def test_pauses_of_what_failed_together_are_spread():
    chance = random.Random(1)
    pauses = [pause_seconds(3, chance.random()) for _ in range(200)]
    assert 20 * (1 - JITTER) <= min(pauses) < 17
    assert 23 < max(pauses) <= 20 * (1 + JITTER)


class Spawned:
    """Keeps what was to be run beside, so that the test runs it."""

    def __init__(self):
        self.work = []

    def __call__(self, work, name):
        self.work.append(work)

    async def run(self):
        while self.work:
            await self.work.pop(0)


@pytest.fixture
def spawned():
    made = Spawned()
    yield made
    for work in made.work:
        work.close()


@pytest.fixture
async def hooks(redis, spawned):
    made = Webhooks("http://127.0.0.1:9/", SECRET, redis, spawned)
    yield made
    await made.close()


@pytest.fixture
def telling(world, hooks):
    """The session's scripts, when there is somebody to be told."""
    world.snapshots = Snapshots(world.redis, hooks)
    return world


@pytest.fixture
def shelf(redis):
    return EventShelf(redis)


async def waiting(redis):
    return [one.decode() for one in await redis.zrange(keys.WEBHOOKS, 0, -1)]


def linked():
    return Change(Body(state=State.LINKED, device=DEVICE), LINKED, "attempt.linked", ending=True)


async def test_a_change_and_its_event_are_kept_together_and_a_job_with_its_id_alone_follows(telling, spawned):
    lease = await telling.serve(state=State.LINKING)
    assert await waiting(telling.redis) == []
    assert await telling.snapshots.save(lease, linked())
    (event_id,) = await waiting(telling.redis)
    kept = await telling.redis.hgetall(keys.webhook(event_id))
    event = json.loads(kept[b"body"])
    assert abs(event.pop("at") - now_ms()) < 5000
    assert event == {
        "id": event_id,
        "type": "session.linked",
        "companyId": "salon-1",
        "sessionId": "company_salon-1",
        "device": {"phone": DEVICE.phone, "name": DEVICE.name, "linkedAt": DEVICE.linked_at},
    }
    assert 24 * keys.HOUR < await telling.redis.pttl(keys.webhook(event_id)) <= keys.WEBHOOK_TTL
    assert 24 * keys.HOUR < await telling.redis.pttl(keys.WEBHOOKS) <= keys.WEBHOOK_TTL
    await spawned.run()
    job = json.loads(await telling.redis.get(f"arq:job:webhook:{event_id}:0"))
    assert (job["f"], job["a"]) == ("webhook", [event_id])
    assert await telling.redis.zcard(keys.QUEUE_SESSIONS) == 1


async def test_an_owner_that_is_none_any_more_tells_nobody(telling, spawned):
    lease = await telling.serve()
    await telling.lapse()
    assert await telling.snapshots.save(lease, linked()) is None
    assert await waiting(telling.redis) == []
    assert spawned.work == []


async def test_without_a_webhook_nothing_is_kept(world):
    lease = await world.serve(state=State.LINKING)
    assert await world.snapshots.save(lease, linked())
    assert await world.redis.keys("wa:webhook*") == []


async def test_no_event_carries_a_phone_a_qr_or_a_code(telling):
    lease = await telling.serve(state=State.LINKING)
    qr = QrView(text="2@" + "secret" * 9, svg="<svg/>", number=1, of=6, expires_at=1)
    body = Body(
        state=State.LINKED, device=DEVICE, qr=qr, code=CodeView(text="K7QX-2MHD", expires_at=1, phone=masked(PHONE))
    )
    await telling.snapshots.save(lease, Change(body, LINKED, "attempt.linked", ending=True))
    everything = str(await telling.everything())
    events = str([await telling.redis.hgetall(keys.webhook(one)) for one in await waiting(telling.redis)])
    assert "session.linked" in events
    for secret in (PHONE, PHONE[1:], "2@secret", "K7QX-2MHD"):
        assert secret not in events
    assert PHONE[1:] not in everything


FATES = [
    (Fate(MessageState.SENT), EventType.MESSAGE_SENT, "message-ab"),
    (Fate(MessageState.FAILED, NotSent.REFUSED, 463), EventType.MESSAGE_FAILED, "message-ab"),
    (Fate(MessageState.DELIVERED), EventType.MESSAGE_DELIVERED, "message-ab-delivered"),
    (Fate(MessageState.READ), EventType.MESSAGE_READ, "message-ab-read"),
    (Fate(MessageState.UNDELIVERED, NotDelivered.NO_KEYS), EventType.MESSAGE_UNDELIVERED, "message-ab-undelivered"),
]


@pytest.mark.parametrize(("fate", "kind", "name"), FATES, ids=lambda one: str(one)[:40])
def test_each_step_of_a_message_is_one_event_and_sent_or_not_is_one_step(hooks, fate, kind, name):
    event = hooks.text(SESSION, "ab", fate)
    assert (event.type, event.id, event.message_id, event.status) == (kind, name, "ab", fate.status)
    assert bool(event.advice) == bool(fate.status)


async def put(shelf, name="e1"):
    await shelf.put(
        Event(id=name, type=EventType.SESSION_LINKED, company_id="salon", session_id="company_salon", at=now_ms())
    )


async def test_of_two_takers_one_gets_the_event_until_it_has_kept_it_too_long(shelf, monkeypatch):
    await put(shelf)
    due = await shelf.take("e1")
    assert (due.tries, due.type) == (1, EventType.SESSION_LINKED)
    assert await shelf.take("e1") is None
    monkeypatch.setattr(webhooks, "EARLY_MS", webhooks.HELD_MS + 1000)  # as if that time had passed
    assert (await shelf.take("e1")).tries == 2


async def test_a_delivered_event_is_forgotten_and_counted_once(shelf, redis):
    await put(shelf)
    due = await shelf.take("e1")
    await shelf.settle(due, Result.DELIVERED)
    await shelf.settle(due, Result.DELIVERED)
    assert await shelf.take("e1") is None
    assert await redis.keys("wa:webhook*") == []
    assert await redis.hgetall(keys.STATS) == {b'webhooks{result="delivered",type="session.linked"}': b"1"}


async def test_an_event_that_was_refused_waits_for_its_time(shelf, redis):
    await put(shelf)
    await shelf.settle(await shelf.take("e1"), Result.RETRIED, pause_ms=60_000)
    assert await shelf.take("e1") is None
    assert await shelf.forgotten(10) == []
    await redis.zadd(keys.WEBHOOKS, {"e1": now_ms() - webhooks.LATE_MS - 1})
    assert await shelf.forgotten(10) == ["e1"]
    assert (await shelf.take("e1")).tries == 2


async def test_an_event_whose_time_is_over_is_not_looked_for_for_ever(shelf, redis):
    await put(shelf)
    await redis.delete(keys.webhook("e1"))
    assert await shelf.take("e1") is None
    assert await waiting(redis) == []


async def test_a_forgotten_event_becomes_a_job_again(shelf, redis, hooks):
    await put(shelf)
    await hooks.remind()
    assert await redis.zcard(keys.QUEUE_SESSIONS) == 0
    await redis.zadd(keys.WEBHOOKS, {"e1": now_ms() - webhooks.LATE_MS - 1})
    await hooks.remind()
    await hooks.remind()
    assert 1 <= await redis.zcard(keys.QUEUE_SESSIONS) <= 2  # the second in the next two seconds is another job


async def test_what_waits_for_its_try_in_this_worker_waits_once_and_not_without_end(hooks, shelf, redis, monkeypatch):
    monkeypatch.setattr(delivery, "MOST_UNDER_WAY", 2)
    for event_id in ("e1", "e2", "e3"):
        await put(shelf, event_id)
    answered, asked = asyncio.Event(), []

    async def hanging(due):
        asked.append(due.id)
        await answered.wait()

    monkeypatch.setattr(hooks, "_post", hanging)
    async with asyncio.TaskGroup() as group:
        for event_id in ("e1", "e2"):
            group.create_task(hooks.deliver(event_id))
        await until(lambda: sorted(asked) == ["e1", "e2"])
        async with asyncio.timeout(5):  # neither hangs
            await hooks.deliver("e1")  # the sweep has found it while it waits here
            await hooks.deliver("e3")
        answered.set()
    assert sorted(asked) == ["e1", "e2"]
    assert await waiting(redis) == ["e3"]  # on the shelf, for the next sweep
    await hooks.deliver("e3")
    assert await waiting(redis) == []


async def test_a_receiver_that_is_away_for_a_day_is_given_up_and_that_is_counted(shelf, redis, hooks):
    await put(shelf)
    await hooks.deliver("e1")
    assert await redis.hget(keys.STATS, 'webhooks{result="retried",type="session.linked"}') == b"1"
    ((job, due),) = await redis.zrange(keys.QUEUE_SESSIONS, 0, -1, withscores=True)
    assert job == b"webhook:e1:1"
    assert 3000 < due - now_ms() < 7000
    await redis.hset(keys.webhook("e1"), "since", now_ms() - GIVE_UP_MS)
    await redis.zadd(keys.WEBHOOKS, {"e1": now_ms()})
    await hooks.deliver("e1")
    assert await redis.hget(keys.STATS, 'webhooks{result="given-up",type="session.linked"}') == b"1"
    assert await redis.keys("wa:webhook*") == []
    assert await redis.zcard(keys.QUEUE_SESSIONS) == 1


@pytest.mark.parametrize(
    ("word", "reason", "status"),
    [
        ("server returned error 463", NotSent.REFUSED, 463),
        ("server returned error 429", NotSent.RATE_LIMITED, 429),
        ("no LID found for 79001230404@s.whatsapp.net from server", NotSent.NOT_ON_WHATSAPP, None),
        ("failed to get group members: info query returned status 403: forbidden", NotSent.REFUSED, None),
        ("no answer within 40 s", NotSent.UNKNOWN, None),
        ("timed out waiting for message send response", NotSent.UNKNOWN, None),
        ("internal: KeyError", NotSent.UNKNOWN, None),
        ("", NotSent.UNKNOWN, None),
    ],
)
def test_only_what_is_known_not_to_have_been_sent_is_said_so(word, reason, status):
    assert reasons.of_unsent(word) == Fate(MessageState.FAILED, reason, status)


@pytest.mark.parametrize(
    "word",
    [
        "not held",
        "not connected",
        "stopped",
        "failed to get device list: failed to send usync query: websocket disconnected before info query returned response",
        "failed to get user info for 1@s.whatsapp.net to fill LID cache: info query timed out",
    ],
)
def test_a_text_that_has_not_left_has_not_ended(word):
    assert reasons.of_unsent(word) is None


def test_the_holders_own_words_are_those_that_are_understood():
    child = ROOT / "workers" / "engine" / "child"
    source = (child / "holder.py").read_text() + (child / "texts.py").read_text()
    assert all(f'"{word}"' in source for word in ("not held", "not connected", "stopped"))


def test_the_page_verifies_a_signature_with_code_that_works():
    page = (ROOT / "docs" / "webhooks.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)
    body, now = b'{"id":"1"}', now_ms()

    def verified(secret=SECRET, stamp=now, sent=body, made=None):
        made = made or signature(SECRET, stamp, body)
        return names["is_ours"](secret, {"X-Webhook-Timestamp": str(stamp), "X-Webhook-Signature": made}, sent)

    assert verified()
    assert not verified(secret="another")
    assert not verified(sent=body + b" ")
    assert not verified(stamp=now - 6 * keys.MINUTE)
    assert not verified(stamp=now + 1, made=signature(SECRET, now, body))


def test_the_page_names_every_event_and_reason_and_shows_a_true_one():
    page = (ROOT / "docs" / "webhooks.md").read_text()
    assert [kind for kind in EventType if f"| `{kind.value}` |" not in page] == []
    assert [reason for reason in (*NotSent, *NotDelivered) if f"`{reason.value}`" not in page] == []
    shown = re.search(r"^\{.*?\}\}$", page, re.DOTALL | re.MULTILINE)[0]
    event = Event.model_validate_json(shown)
    assert event.type is EventType.SESSION_LINKED
    assert event.device is not None
    assert event.device.phone == masked("+79001234567")
