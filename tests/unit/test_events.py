"""Events for the integrator: which change is one, and how it is kept."""

import asyncio

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.events import Event, EventType
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.messages import Fate, MessageState, NotSent
from shared.core.phone import masked
from shared.core.protocol import Body, CodeView, DeviceView, FailureView, MessageType, Method, QrView
from shared.state.claims import Claims, Subject, queued
from shared.state.events import News
from shared.state.outbox import Message, Outbox
from shared.state.receivers import Receivers
from shared.state.rescue import Rescue
from shared.state.snapshots import Change, Snapshots
from tests.unit.hooks import COMPANY, CONFIG, OTHER, SECRET, kept
from tests.unit.world import PHONE, SESSION, change

DEVICE = DeviceView(phone=masked(PHONE), name="Booking assistant", linked_at=1_780_000_000_000)
STATUS, LINKED, ERROR = MessageType.STATUS, MessageType.WHATSAPP_CONNECTED, MessageType.ERROR


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


@pytest.fixture
def telling(world, news):
    """The session's scripts, when there is somebody to be told."""
    world.snapshots = Snapshots(world.redis, news)
    world.claims = Claims(world.redis, news)
    world.rescue = Rescue(world.redis, news)
    return world


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


async def test_a_session_without_connection_is_told_after_two_minutes_and_its_return_as_well(
    telling, redis, shelf, moment
):
    lease = await telling.serve()
    for state in (State.AWAITING_PHONE, State.LINKING, State.LINKED, State.RECONNECTING, State.RECONNECTING):
        await telling.snapshots.save(lease, change(state))
    before = len(await fed(redis))
    await shelf.step(0)
    assert 100_000 < await redis.zscore(keys.OFFLINE, SESSION) - moment <= keys.OFFLINE_MS
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
