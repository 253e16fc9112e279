"""Events for the integrator: what is one, how it is kept, signed, delivered, tried again, given up and sent anew."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import random
import re
from pathlib import Path

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.events import Event, EventType, IncomingMessage
from shared.core.failures import FailureCode
from shared.core.ids import CompanyId, SessionId
from shared.core.lifecycle import State
from shared.core.messages import Fate, MessageState, NotDelivered, NotSent
from shared.core.phone import masked
from shared.core.protocol import Body, CodeView, DeviceView, FailureView, MessageType, Method, QrView
from shared.core.signing import key_of, new_secret, old_signature, signed_headers
from shared.settings import Settings
from shared.state import events as events_module
from shared.state.claims import Claims, Subject, queued
from shared.state.events import EventShelf, News, Result, Tried
from shared.state.outbox import Message, Outbox
from shared.state.receivers import Receivers
from shared.state.rescue import Rescue
from shared.state.snapshots import Change, Snapshots
from shared.tasks import cancelled
from tests.unit.world import PHONE, SESSION, change
from tests.waiting import until
from workers import delivery
from workers.delivery import GIVE_UP_MS, JITTER, Webhooks, pause_seconds

ROOT = Path(__file__).parents[2]
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
DEVICE = DeviceView(phone=masked(PHONE), name="Booking assistant", linked_at=1_780_000_000_000)
STATUS, LINKED, ERROR = MessageType.STATUS, MessageType.WHATSAPP_CONNECTED, MessageType.ERROR
CONFIG = Settings.model_validate(
    {"secret_key": "s" * 32, "api_keys": "k" * 16, "webhook_url": "http://127.0.0.1:9/", "webhook_secret": SECRET}
)
COMPANY, OTHER = CompanyId("salon-1"), SessionId("company_other")
FAILURE = FailureView(code=FailureCode.DROPPED_AFTER_LINKING, retryable=True)


def of(state, kind, event, *, ending=False, **body):
    return Change(Body(state=state, **body), kind, event, ending=ending)


def test_every_change_means_to_the_integrator_what_the_page_says():
    expected = {
        of(State.QUEUED, STATUS, "attempt.requested"): EventType.ONBOARDING_STARTED,
        of(State.QUEUED, STATUS, "attempt.restarted"): None,
        of(State.LINKED, LINKED, "attempt.linked", ending=True): EventType.SESSION_LINKED,
        of(State.LINKED, STATUS, "session.verified"): EventType.SESSION_VERIFIED,
        of(State.FAILED, STATUS, "session.replaced", ending=True, failure=FAILURE): EventType.SESSION_DROPPED,
        of(State.FAILED, ERROR, "attempt.failed", ending=True, failure=FAILURE): EventType.ONBOARDING_FAILED,
        of(State.UNLINKED, STATUS, "session.unlinked", ending=True): EventType.SESSION_UNLINKED,
        of(State.UNLINKED, STATUS, "device.missing", ending=True): EventType.SESSION_UNLINKED,
        of(State.EXPIRED, STATUS, "attempt.expired", ending=True): EventType.ONBOARDING_EXPIRED,
        of(State.CANCELLED, STATUS, "attempt.cancelled", ending=True): EventType.ONBOARDING_CANCELLED,
        of(State.LINKED, LINKED, "session.held"): None,
        of(State.RECONNECTING, STATUS, "session.dropped"): None,
        of(State.LINKING, STATUS, "phone.agreed"): None,
        of(State.CONNECTING, STATUS, "attempt.connecting"): None,
    }
    wrong = {one.event: one.told for one, told in expected.items() if one.told is not told}
    assert wrong == {}


# --- what is kept ------------------------------------------------------------------------------------------------------


@pytest.fixture
def news():
    return News(tuple(EventType))


@pytest.fixture
def telling(world, news):
    """The session's scripts, when there is somebody to be told."""
    world.snapshots = Snapshots(world.redis, news)
    world.claims = Claims(world.redis, news)
    world.rescue = Rescue(world.redis, news)
    return world


@pytest.fixture
def shelf(redis, news):
    return EventShelf(redis, news)


async def kept(redis):
    """The events on the shelf, the oldest first."""
    bodies = [await redis.hget(keys.webhook(one.decode()), "body") for one in await redis.zrange(keys.WEBHOOKS, 0, -1)]
    return sorted(
        (Event.model_validate_json(one) for one in bodies), key=lambda one: (one.version.attempt, one.version.seq)
    )


async def fed(redis):
    """The events in the feed, the oldest first."""
    return [Event.model_validate_json(entry[b"body"]) for _, entry in await redis.xrange(keys.FEED)]


def linked():
    return of(State.LINKED, LINKED, "attempt.linked", ending=True, device=DEVICE)


async def test_an_attempt_is_told_from_its_start_to_its_end_with_its_versions_and_its_link(telling, redis):
    lease = await telling.serve(state=State.CONNECTING)
    await telling.snapshots.save(lease, change(State.AWAITING_PHONE))
    await telling.snapshots.save(lease, change(State.LINKING))
    await telling.snapshots.save(lease, linked())
    started, ended = await kept(redis)
    assert (started.type, ended.type) == (EventType.ONBOARDING_STARTED, EventType.SESSION_LINKED)
    stored = await telling.snapshots.read(SESSION)
    assert (ended.version.attempt, ended.version.seq) == stored.version
    assert started.version.attempt == stored.attempt
    assert started.version.seq == 1
    assert {one.link_id for one in (started, ended)} == {"L"}
    assert (ended.company_id, ended.session_id, ended.device) == ("salon-1", SESSION, DEVICE)
    assert abs(ended.at - now_ms()) < 60_000
    assert await fed(redis) == [started, ended]
    assert 24 * keys.HOUR < await redis.pttl(keys.webhook(ended.id)) <= keys.WEBHOOK_TTL
    assert 0 < await redis.pttl(keys.FEED) <= keys.FEED_TTL


@pytest.mark.parametrize("owned", [False, True])
async def test_an_attempt_that_is_taken_back_is_told_as_cancelled_whoever_ends_it(telling, redis, owned):
    if owned:
        lease = await telling.serve()
        await telling.snapshots.save(lease, of(State.CANCELLED, STATUS, "attempt.cancelled", ending=True))
    else:
        await telling.ask()
        await telling.claims.cancel(SESSION, of(State.CANCELLED, STATUS, "attempt.cancelled"))
    assert [one.type.value for one in await fed(redis)] == ["onboarding.started", "onboarding.cancelled"]
    assert (await fed(redis))[1].link_id == "L"


@pytest.mark.parametrize("served", [True, False])
async def test_an_attempt_that_nobody_ended_is_told_as_failed_or_as_expired_in_the_queue(telling, redis, served):
    await (telling.serve() if served else telling.ask())
    await redis.zadd(keys.CLAIMS, {SESSION: now_ms() - 60_000})
    assert await telling.rescue.close_overdue(SESSION)
    event = (await fed(redis))[-1]
    assert event.type is (EventType.ONBOARDING_FAILED if served else EventType.ONBOARDING_EXPIRED)
    assert (event.failure and event.failure.code) == (FailureCode.WORKER_LOST if served else None)


async def test_a_change_that_is_saved_twice_is_told_once(telling, redis):
    lease = await telling.serve()
    await telling.snapshots.save(lease, change(State.AWAITING_PHONE))
    await telling.snapshots.save(lease, change(State.LINKING))
    one = linked()
    assert await telling.snapshots.save(lease, one) == await telling.snapshots.save(lease, one)
    assert [event.type.value for event in await fed(redis)] == ["onboarding.started", "session.linked"]


async def test_a_worker_without_its_lease_tells_no_event(telling, redis):
    lease = await telling.serve()
    before = await fed(redis)
    await telling.lapse()
    assert await telling.snapshots.save(lease, change(State.AWAITING_PHONE)) is None
    assert await fed(redis) == before


async def test_without_a_receiver_an_event_is_in_the_feed_alone(world, redis):
    await world.ask()
    assert [one.type for one in await fed(redis)] == [EventType.ONBOARDING_STARTED]
    assert await redis.keys("wa:webhook*") == []


async def test_a_receiver_of_the_companys_own_is_told_of_that_company_alone(world, redis):
    await Receivers(CONFIG, redis).put(COMPANY, "https://a.example/", SECRET, None)
    await world.ask()
    other = Subject("M", now_ms() + 60_000)
    await world.claims.request(OTHER, other, queued(Method.QR, "attempt.requested"))
    assert [one.company_id for one in await kept(redis)] == ["salon-1"]
    assert len(await fed(redis)) == 2


async def test_only_the_kinds_that_the_receiver_wants_are_kept_for_it(redis, world):
    world.claims = Claims(redis, News({EventType.SESSION_LINKED}))
    await world.ask()
    assert await redis.keys("wa:webhook*") == []


async def test_no_event_carries_a_phone_a_qr_or_a_code(telling, redis):
    lease = await telling.serve()
    qr = QrView(text="2@" + "secret" * 9, svg="<svg/>", number=1, of=6, expires_at=1)
    code = CodeView(text="K7QX-2MHD", expires_at=1, phone=masked(PHONE))
    await telling.snapshots.save(lease, change(State.AWAITING_PHONE, qr=qr, code=code))
    await telling.snapshots.save(lease, of(State.EXPIRED, STATUS, "attempt.expired", ending=True, qr=qr, code=code))
    events = str(await fed(redis))
    assert "onboarding.expired" in events
    for secret in (PHONE, PHONE[1:], "2@secret", "K7QX-2MHD"):
        assert secret not in events


async def test_a_session_without_connection_is_told_after_two_minutes_and_its_return_as_well(telling, redis, shelf):
    lease = await telling.serve()
    for state in (State.AWAITING_PHONE, State.LINKING, State.LINKED, State.RECONNECTING, State.RECONNECTING):
        await telling.snapshots.save(lease, change(state))
    before = len(await fed(redis))
    await shelf.step(0)
    assert 100_000 < await redis.zscore(keys.OFFLINE, SESSION) - now_ms() <= keys.OFFLINE_MS
    assert len(await fed(redis)) == before, "not yet"
    await redis.zadd(keys.OFFLINE, {SESSION: now_ms() - 1})
    await asyncio.gather(shelf.step(0), shelf.step(0))
    await telling.snapshots.save(lease, change(State.LINKED))
    await telling.snapshots.save(lease, change(State.LINKED))
    assert [one.type.value for one in (await fed(redis))[before:]] == ["session.offline", "session.online"]
    assert await redis.zcard(keys.OFFLINE) == 0


async def test_a_session_that_comes_back_in_time_is_not_told(telling, redis, shelf):
    lease = await telling.serve()
    for state in (State.AWAITING_PHONE, State.LINKING, State.LINKED, State.RECONNECTING, State.LINKED):
        await telling.snapshots.save(lease, change(state))
    before = await fed(redis)
    await redis.zadd(keys.OFFLINE, {SESSION: now_ms() - 1})
    await shelf.step(0)
    assert await fed(redis) == before


async def test_odd_names_among_the_offline_are_taken_out_and_harm_nobody(shelf, redis):
    await redis.zadd(keys.OFFLINE, {b"\xff": 1, "x": 2, "company_../x": 3, "company_unknown": 4})
    await shelf.step(0)
    assert await redis.zcard(keys.OFFLINE) == 0
    assert await fed(redis) == []


async def test_a_texts_end_is_told_once_with_the_version_of_its_session(telling, redis, news):
    await telling.serve()
    outbox = Outbox(redis, news=news)
    message = await outbox.accept(SESSION, Message(PHONE, "hello"))
    for fate in (Fate(MessageState.SENT, whatsapp_id="3EB0"), Fate(MessageState.FAILED, NotSent.UNKNOWN)):
        await outbox.settle(SESSION, message, fate)
    (event,) = [one for one in await fed(redis) if one.message_id]
    assert (event.type, event.message_id, event.whatsapp_id) == (EventType.MESSAGE_SENT, message, "3EB0")
    assert event.version.attempt > 0


async def test_the_feed_has_a_bound(telling, redis, monkeypatch):
    for number in range(3):
        await redis.delete(keys.starts(SESSION))
        await telling.ask()
        await telling.claims.cancel(SESSION, of(State.CANCELLED, STATUS, "attempt.cancelled"))
        assert len(await fed(redis)) == 2 * (number + 1)
    assert keys.FEED_LENGTH == 10_000


# --- signatures ----------------------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_the_specification_and_changes_with_each_of_its_parts():
    body, now = b'{"id":"1"}', 1_780_000_000_123
    made = signed_headers(SECRET, "e1", now, body)
    by_hand = hmac.new(b"k" * 32, b"e1.1780000000." + body, hashlib.sha256).digest()
    assert made["webhook-signature"] == f"v1,{base64.b64encode(by_hand).decode()}"
    assert (made["webhook-id"], made["webhook-timestamp"]) == ("e1", "1780000000")
    others = {
        signed_headers(secret, name, at, text)["webhook-signature"]
        for secret, name, at, text in (
            (SECRET, "e2", now, body),
            (SECRET, "e1", now + 1000, body),
            (SECRET, "e1", now, body + b" "),
            (new_secret(), "e1", now, body),
        )
    }
    assert len({made["webhook-signature"], *others}) == 5


def test_the_older_signature_goes_beside_it():
    body, now = b"{}", 1_780_000_000_123
    made = signed_headers("an older secret", "e1", now, body)
    by_hand = hmac.new(b"an older secret", b"1780000000123." + body, hashlib.sha256).hexdigest()
    assert made["x-webhook-signature"] == old_signature("an older secret", now, body) == f"v1={by_hand}"


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_secret_that_no_library_takes_is_refused(secret):
    with pytest.raises(ValueError, match="base64"):
        key_of(secret)


def test_the_page_names_every_event_and_reason_and_shows_true_ones():
    page = (ROOT / "docs" / "webhooks.md").read_text()
    assert [kind for kind in EventType if f"| `{kind.value}` |" not in page] == []
    assert [reason for reason in (*NotSent, *NotDelivered) if f"`{reason.value}`" not in page] == []
    shown = re.findall(r"^\{.*?\}\}$", page, re.DOTALL | re.MULTILINE)
    linked, received = map(Event.model_validate_json, shown)
    assert (linked.type, linked.device.phone) == (EventType.SESSION_LINKED, masked("+79001234567"))
    assert (received.type, received.message.sender) == (EventType.MESSAGE_RECEIVED, "+79007654321")
    assert received.model_dump(mode="json", by_alias=True, exclude_none=True) == json.loads(shown[1])


# --- delivery ------------------------------------------------------------------------------------------------------------


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


async def put(shelf, news, name="e1"):
    await shelf.put(SESSION, news.event(SESSION, EventType.SESSION_LINKED, {}, event_id=name))


async def taken(shelf):
    (one,) = (await shelf.step(1)).due
    return one


async def settle(shelf, due, result, **more):
    await shelf.step(0, ended=[Tried(due, result, **more)])


async def test_of_two_takers_one_gets_the_event_until_it_has_kept_it_too_long(shelf, news, redis):
    await put(shelf, news)
    due = await taken(shelf)
    assert (due.tries, due.type, due.company) == (1, "session.linked", "salon-1")
    nothing = await shelf.step(1)
    assert nothing.due == []
    assert 25 < nothing.wait <= 30
    await redis.zadd(keys.WEBHOOKS, {"e1": now_ms() - 1})  # as if that time had passed
    assert (await taken(shelf)).tries == 2


async def test_a_delivered_event_is_forgotten_and_counted_once(shelf, news, redis):
    await put(shelf, news)
    due = await taken(shelf)
    await settle(shelf, due, Result.DELIVERED)
    await settle(shelf, due, Result.DELIVERED)
    assert await redis.keys("wa:webhook*") == []
    assert await redis.hgetall(keys.STATS) == {b'webhooks{result="delivered",type="session.linked"}': b"1"}


async def test_an_event_that_nobody_takes_is_dead_for_a_week_and_can_be_sent_anew(shelf, news, redis):
    await put(shelf, news)
    await settle(shelf, await taken(shelf), Result.GIVEN_UP, fault="status 500", dies=True)
    assert await redis.zrange(keys.WEBHOOKS, 0, -1) == []
    assert await redis.zrange(keys.DEAD_WEBHOOKS, 0, -1) == [b"e1"]
    assert 6 * keys.DAY < await redis.pttl(keys.webhook("e1")) <= keys.DEAD_TTL
    assert await redis.hget(keys.webhook("e1"), "fault") == b"status 500"
    assert await shelf.resend("e1")
    again = await taken(shelf)
    assert (again.tries, again.age < 5000) == (1, True)
    assert await redis.zcard(keys.DEAD_WEBHOOKS) == 0
    assert not await shelf.resend("unknown")


async def test_a_foreign_value_on_the_shelf_is_removed_and_the_other_events_are_delivered(shelf, news, redis):
    await redis.zadd(keys.WEBHOOKS, {b"\xff": 1, "gone": 2, "string": 3, "half": 4, "a b": 5})
    await redis.set(keys.webhook("string"), "x")
    await redis.hset(keys.webhook("half"), "type", "session.linked")
    await put(shelf, news)
    found = []
    for _ in range(3):
        found += (await shelf.step(10)).due
    assert [one.id for one in found] == ["e1"]
    assert await redis.zrange(keys.WEBHOOKS, 0, -1) == [b"e1"]


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


async def test_a_receiver_that_is_away_for_a_day_is_given_up_and_that_is_counted(shelf, news, redis, hooks, answers):
    answers.faults = ["status 500", "status 500"]
    await put(shelf, news)
    hooks.call()
    await until(lambda: redis.hget(keys.STATS, 'webhooks{result="retried",type="session.linked"}'))
    assert 3000 < await redis.zscore(keys.WEBHOOKS, "e1") - now_ms() < 7000
    await redis.hset(keys.webhook("e1"), "since", now_ms() - GIVE_UP_MS)
    await redis.zadd(keys.WEBHOOKS, {"e1": now_ms()})
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
