"""What each loss of a held session leads to: a state for the page, an act, a count, and never a fight."""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from pydantic import SecretStr

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import State
from shared.core.protocol import Method
from shared.state.claims import Claims, Subject, queued
from shared.state.contacts import Contacts
from shared.state.cooldowns import Asker, Cooldowns
from shared.state.events import read_event
from shared.state.lease import Leases
from shared.state.outbox import Outbox, Written
from shared.state.pool import answer
from shared.state.rescue import Rescue
from shared.state.snapshots import Snapshots
from shared.telemetry import sentry
from tests.unit.world import World, change, stop_beating
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed
from workers.holding import admission, carrying, machine
from workers.holding import session as held_module
from workers.holding.holders import Room
from workers.holding.session import Links
from workers.holding.sessions import Sessions
from workers.holding.tenure import UNLINKING, Sign
from workers.media import MediaHost
from workers.ownership import Ownership
from workers.store.device import EXPORTED, StoreAway, StoredDevice, StoreFenced, Told

SESSION, OTHER = SessionId("company_salon-1"), SessionId("company_salon-2")
PHONE = "+79001234567"
HOUR_AGO = 3_600_000
DWELL_MS = 60_000
R = pipe.LostReason


class FakeHolders:
    """Remembers what it was told."""

    def __init__(self):
        self.held, self.released, self.sent = [], [], []
        self.rooms, self.moved = [], []
        self.heard = asyncio.Event()  # that it was told something
        self.closed = asyncio.Event()
        self.fault = None  # raised by the next hold

    def listen(self, hear, died):
        self.hear, self.died = hear, died

    def retire(self):
        pass

    async def hold(self, order, room=Room.ORDINARY):
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        self.held.append(order.session)
        self.rooms.append(room)

    def settling(self, _session):
        return None

    async def move_in(self, session):
        self.moved.append(session)

    async def send(self, session, order):
        self.sent.append(order)
        self.heard.set()
        return session in self.held and not self.closed.is_set()

    async def release(self, session):
        self.released.append(session)

    async def close(self):
        self.closed.set()


class FakeStore:
    """One device; `there` says whether its keys are."""

    def __init__(self, linked_at):
        told = Told.VERIFIED if now_ms() - linked_at > DWELL_MS else Told.LINKED
        self.devices = {
            SESSION: StoredDevice(SESSION, f"{PHONE[1:]}:1@s.whatsapp.net", linked_at, "/nowhere", told=told)
        }
        self.there = True
        self.fault = None  # raised by whatever is asked next
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def device(self, session):
        return self.devices.get(session)

    def fails(self):
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault

    async def holds(self, device):
        self.fails()
        self.asked.set()
        await self.answers.wait()
        return self.there

    async def claim(self, session, fence):
        device = self.devices.get(session)
        if device is None:
            return None
        if device.token >= fence.token:
            raise StoreFenced(device.token)
        self.devices[session] = replace(device, token=fence.token)
        return self.devices[session]

    async def overtaken(self, tokens):
        self.fails()
        return [one for one, device in self.devices.items() if device.token > tokens.get(one, device.token)]

    def check(self, device, fence):
        there = self.devices.get(device.session)
        if there is not None and there.token > fence.token:
            raise StoreFenced(there.token)

    async def note(self, device, fence):
        self.asked.set()
        self.fails()
        self.check(device, fence)
        there = self.devices.get(device.session)
        if there is not None and there.jid == device.jid:
            self.devices[device.session] = replace(device, token=there.token)

    async def forget(self, device, fence):
        self.check(device, fence)
        there = self.devices.get(device.session)
        if there is not None and there.jid == device.jid:
            del self.devices[device.session]


class FakeVersions:
    """A newer version is there, or is not."""

    in_use, next_try, newer = 1, 1_800_000_000_000, False

    async def refused(self, _library):
        return self.newer

    def accepted(self, _library):
        pass


class HeardOutbox(Outbox):
    """Tells the house of each end, and of each step after it, that is the first of its kind."""

    def __init__(self, redis, house, **options):
        super().__init__(redis, **options)
        self._house = house

    async def step(self, session, entries=(), **more):
        step = await super().step(session, entries, **more)
        told = [one for one, news in zip(entries, step.news, strict=True) if news and one.fate is not None]
        self._house.ended += [(one.message, one.fate.reason) for one in told if one.written is Written.ENDED]
        newest = await self._redis.xrevrange(keys.FEED, count=len(told)) if told else []
        self._house.events += [read_event(event[b"body"]) for _, event in reversed(newest)]
        if told:
            self._house.done.set()
        return step


class House:
    """A worker's sessions over a pretended Redis."""

    HOLDERS = FakeHolders

    def __init__(self, redis, linked_at):
        self.redis = redis
        self.holders, self.store = self.HOLDERS(), FakeStore(linked_at)
        self.snapshots, self.leases = Snapshots(redis), Leases(redis)
        self.cooldowns = Cooldowns(redis, SecretStr("x" * 40))
        self.ownership = Ownership(self.leases, WorkerId("w"), on_lapsed=self._nothing, on_beat=lambda _: None)
        self.ended, self.events = [], []
        self.outbox, self.contacts = HeardOutbox(redis, self), Contacts(redis, SecretStr("x" * 40))
        self.offered = []
        self.tasks = set()
        self.done = asyncio.Event()
        self.heard = []
        self.media = MediaHost(self._nothing)
        self.links = self._links(self.ownership)
        self.versions = FakeVersions()
        self.sessions = Sessions(self.links, self.holders, self.versions, most=10)  # type: ignore[arg-type]

    def _links(self, ownership):
        known = {
            "snapshots": self.snapshots,
            "ownership": ownership,
            "store": self.store,
            "cooldowns": self.cooldowns,
            "spawn": self.spawn,
            "device_name": "Salon",
            "outbox": self.outbox,
            "contacts": self.contacts,
            "heard": lambda *told: self.heard.append(told),
            "hears": self.hears,
            "claims": Claims(self.redis),
            "offer": self._offer,
            "media": self.media,
        }
        return Links(**{name: known.get(name) for name in Links.__dataclass_fields__})

    async def hears(self, _session):
        return False

    async def _offer(self, session, at):
        self.offered.append((session, at))

    async def _nothing(self):
        pass

    def spawn(self, work, _name):
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._spent)

    def _spent(self, task):
        self.tasks.discard(task)
        self.done.set()

    async def until(self, wanted):
        """Until that is so; looked at whenever something that was to be done later has been done."""
        async with asyncio.timeout(5):
            while not wanted():
                self.done.clear()
                await self.done.wait()

    async def settled(self):
        """Until nothing runs any more."""
        async with asyncio.timeout(5):
            while self.tasks:
                await asyncio.wait(self.tasks)

    async def up(self):
        await self.sessions.resume(SESSION)
        await self.holders.hear(pipe.Held(session=SESSION))

    async def lose(self, reason, until=None, detail="said so"):
        await self.holders.hear(pipe.Lost(session=SESSION, reason=reason, until=until, detail=detail))
        await self.settled()

    async def body(self):
        return (await self.snapshots.read(SESSION)).body

    async def counted(self, name):
        return int(await answer(self.redis.hget(keys.STATS, name)) or 0)


@pytest.fixture
def house(redis):
    return House(redis, now_ms() - HOUR_AGO)


@pytest.fixture
def fresh(redis):
    return House(redis, now_ms())


@pytest.mark.parametrize("linked_at", [0, HOUR_AGO])
async def test_a_restricted_account_is_told_as_such_once_and_comes_back_when_it_is_released(
    redis, linked_at, monkeypatch
):
    monkeypatch.setattr(machine, "RESTRICTED_MS", (-10, -10))
    house = House(redis, now_ms() - linked_at)
    await house.up()
    await house.lose(R.RESTRICTED)
    body = await house.body()
    assert (body.state, body.failure.code) == (State.FAILED, FailureCode.ACCOUNT_RESTRICTED)
    assert body.device is not None, "an operator sees that it is kept"
    await house.sessions.resume(SESSION)
    await house.lose(R.RESTRICTED)
    assert await house.counted('failures{code="account-restricted",region="RU"}') == 1
    fed = [entry[b"type"] for _, entry in await house.redis.xrange(keys.FEED)]
    assert fed.count(b"session.dropped") == 1
    assert len(house.offered) == 2
    await house.up()
    await house.settled()
    assert (await house.body()).state is State.LINKED
    assert house.store.devices[SESSION].parked == ""


async def test_the_timeline_has_whatsapps_words_of_a_refusal_without_a_number(house):
    await house.up()
    await house.lose(R.REFUSED, detail="BAD_REQUEST call 79001234567")
    said = str(await house.redis.lrange(keys.timeline(SESSION), 0, -1))
    assert "connection-failed: BAD_REQUEST call" in said
    assert "79001234567" not in said


async def test_the_timeline_has_whatsapps_words_of_a_ban(house):
    await house.up()
    await house.lose(R.BANNED, now_ms() + HOUR_AGO, detail="402 (code 101): Too many texts / Call 79001234567")
    said = str(await house.redis.lrange(keys.timeline(SESSION), 0, -1))
    assert "temporarily-banned: 402 (code 101): Too many texts" in said
    assert "79001234567" not in said


async def test_an_odd_stream_error_is_told_counted_and_alerted_and_the_session_stays(house, monkeypatch):
    heard = []
    monkeypatch.setattr(sentry, "stream_error", lambda name, session: heard.append((name, session)))
    await house.up()
    before = await house.body()
    await house.holders.hear(pipe.Remarked(session=SESSION, remark=pipe.Remark.STREAM_ERROR, detail="516"))
    assert await house.body() == before
    assert '"event":"session.stream-error","detail":"516"' in str(
        await house.redis.lrange(keys.timeline(SESSION), 0, -1)
    )
    assert await house.counted('stream_errors{code="516"}') == 1
    assert heard == [("516", SESSION)]


async def test_a_file_that_cannot_be_fetched_is_told_and_the_media_host_looked_at(house):
    await house.up()
    await house.holders.hear(pipe.Remarked(session=SESSION, remark=pipe.Remark.FILE_MISSED))
    assert house.media.without == 1
    assert '"event":"session.file-missed"' in str(await house.redis.lrange(keys.timeline(SESSION), 0, -1))


async def test_logged_out_is_told_and_forgotten(house):
    await house.up()
    await house.lose(R.LOGGED_OUT)
    body = await house.body()
    assert (body.state, body.failure.code) == (State.UNLINKED, FailureCode.LOGGED_OUT)
    assert house.store.devices == {}
    assert await house.leases.owner(SESSION) is None
    assert await house.counted('failures{code="logged-out",region="RU"}') == 1


async def test_within_the_dwell_it_is_a_drop(fresh):
    await fresh.up()
    await fresh.lose(R.LOGGED_OUT)
    body = await fresh.body()
    assert (body.state, body.failure.code) == (State.FAILED, FailureCode.DROPPED_AFTER_LINKING)
    assert await fresh.counted("dropped") == 1


@pytest.mark.parametrize(
    ("reason", "code"), [(R.REPLACED, FailureCode.INTERNAL), (R.BANNED, FailureCode.TEMPORARILY_BANNED)]
)
async def test_replaced_and_banned_are_kept_and_never_fight_back(house, reason, code):
    until = now_ms() + HOUR_AGO if reason is R.BANNED else None
    await house.up()
    await house.lose(reason, until)
    body = await house.body()
    assert (body.state, body.failure.code, body.failure.retry_at) == (State.FAILED, code, until)
    assert body.device is not None, "an operator sees that it is kept"
    assert house.store.devices[SESSION].parked == reason.value
    before = list(house.holders.held)
    await house.sessions.resume(SESSION)
    assert house.holders.held == before
    assert await house.leases.owner(SESSION) is None


async def test_a_ban_that_is_over_is_over(house):
    await house.up()
    await house.lose(R.BANNED, now_ms() - 2_000)
    [(session, at)] = house.offered
    assert (session, at) == (SESSION, house.store.devices[SESSION].again_at)
    await house.up()
    await house.settled()
    assert (await house.body()).state is State.LINKED
    assert house.store.devices[SESSION].parked == ""


async def test_a_replaced_device_is_tried_again_once_and_not_twice(house, monkeypatch):
    monkeypatch.setattr(machine, "REPLACED_MS", -10)
    await house.up()
    await house.lose(R.REPLACED)
    assert len(house.offered) == 1
    await house.up()
    assert (await house.body()).state is State.LINKED
    assert house.store.devices[SESSION].parked == R.REPLACED.value, "until it has settled"
    await house.lose(R.REPLACED)
    assert house.store.devices[SESSION].again_at == 0
    assert len(house.offered) == 1
    before = list(house.holders.held)
    await house.sessions.resume(SESSION)
    assert house.holders.held == before


async def test_a_replaced_device_that_has_settled_is_like_any_other(house, monkeypatch):
    monkeypatch.setattr(machine, "REPLACED_MS", -10)
    monkeypatch.setattr(carrying, "SETTLED_SECONDS", 0.01)
    await house.up()
    await house.lose(R.REPLACED)
    await house.up()
    await house.until(lambda: house.store.devices[SESSION].parked == "")


async def test_an_operator_has_a_parked_device_held_again(house):
    await house.up()
    await house.lose(R.BANNED, now_ms() + HOUR_AGO)
    await house.sessions.unpark(SESSION)
    await house.holders.hear(pipe.Held(session=SESSION))
    assert (await house.body()).state is State.LINKED
    assert house.store.devices[SESSION].parked == ""


async def test_a_parked_device_is_left_alone_while_its_owner_links_anew(house):
    await house.up()
    await house.lose(R.BANNED, now_ms() - 2_000)
    await Claims(house.redis).request(SESSION, Subject("L", 0), queued(Method.QR, "attempt.requested"))
    await house.sessions.resume(SESSION)
    assert (await house.body()).state is State.QUEUED
    assert house.holders.held == [SESSION]


async def test_a_device_whose_worker_died_before_it_was_told_is_told_once(house):
    """Killed between the durable device and the page's `linked`."""
    world = World(house.redis)
    lease = await world.serve()
    await world.snapshots.save(lease, change(State.AWAITING_PHONE))
    await world.snapshots.save(lease, change(State.LINKING))
    await house.leases.release(lease)
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], told=Told.NOTHING, linked_at=now_ms())
    told = []
    save = house.snapshots.save

    async def heard(lease, what):
        told.append((what.event, what.body.state, what.ending))
        return await save(lease, what)

    house.snapshots.save = heard
    await house.up()
    await house.settled()
    assert ("attempt.linked", State.LINKED, True) in told
    assert (await house.body()).state is State.LINKED
    assert house.store.devices[SESSION].told is Told.LINKED
    assert not await house.redis.exists(keys.claim(SESSION))
    assert await house.redis.get(keys.link("L")) == b"spent"
    assert await house.counted('linked{method="qr",region="RU"}') == 1


async def test_a_device_that_was_made_durable_after_its_attempt_was_given_up_is_told_too(house):
    world = World(house.redis)
    lease = await world.serve()
    await world.snapshots.save(lease, change(State.FAILED, ending=True))
    await house.leases.release(lease)
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], told=Told.NOTHING)
    await house.up()
    await house.settled()
    assert (await house.body()).state is State.LINKED
    assert await house.counted('linked{method="qr",region="RU"}') == 1


async def test_a_device_that_is_handed_over_late_in_its_dwell_is_verified_all_the_same(redis):
    house = House(redis, now_ms() - 30_000)
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], told=Told.LINKED)
    await house.up()
    await house.sessions._carrier.again(house.sessions._held[SESSION], Sign.DWELT)  # 30 seconds later
    await house.until(lambda: house.store.devices[SESSION].told is Told.VERIFIED)
    assert await house.counted('verified{method="qr",region="RU"}') == 1
    await house.sessions.hand_over()
    house.sessions._carrier.over = False
    await house.up()
    await house.settled()
    assert await house.counted('verified{method="qr",region="RU"}') == 1


async def test_while_its_holder_is_recycled_a_session_is_not_online(house):
    await house.up()
    held = house.sessions._held[SESSION]
    await house.holders.hear(pipe.Dropped(session=SESSION))
    assert not held.online.is_set()
    assert (await house.body()).state is State.RECONNECTING
    await house.holders.hear(pipe.Held(session=SESSION))
    assert held.online.is_set()


async def test_many_that_are_taken_up_at_once_are_no_more_than_there_is_room_for(house):
    house.sessions._admission.most = 1
    house.store.devices[OTHER] = StoredDevice(OTHER, f"{PHONE[1:]}:2@s.whatsapp.net", now_ms() - HOUR_AGO, "/nowhere")
    await asyncio.gather(house.sessions.resume(SESSION), house.sessions.resume(OTHER))
    assert len(house.sessions) == 1


async def test_a_banned_phone_waits_for_its_code_as_long_as_the_ban(house):
    until = now_ms() + HOUR_AGO
    await house.up()
    await house.lose(R.BANNED, until)
    assert (await house.cooldowns.wait(Asker(PHONE, OTHER))).until == until


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (R.REFUSED, FailureCode.CONNECTION_FAILED),
        (R.START_FAILED, FailureCode.CONNECTION_FAILED),
    ],
)
async def test_trouble_is_said_counted_once_and_tried_again(house, monkeypatch, reason, code):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    for tries in range(2, 4):
        await house.lose(reason)
        body = await house.body()
        assert (body.state, body.failure.code) == (State.RECONNECTING, code)
        await house.until(lambda tries=tries: len(house.holders.held) == tries)
    assert await house.counted(f'failures{{code="{code.value}",region="RU"}}') == 1
    assert (await house.body()).failure.code is code
    await house.holders.hear(pipe.Held(session=SESSION))
    body = await house.body()
    assert (body.state, body.failure) == (State.LINKED, None)


async def test_an_outdated_client_is_told_with_a_time_and_tried_again_when_there_is_a_newer_version(house):
    await house.up()
    await house.lose(R.OUTDATED)
    body = await house.body()
    assert (body.state, body.failure.code) == (State.RECONNECTING, FailureCode.CLIENT_OUTDATED)
    assert (body.failure.retryable, body.failure.retry_at) == (True, house.versions.next_try)
    assert (house.sessions.outdated, len(house.holders.held)) == (1, 1)
    house.sessions.newer()
    await house.until(lambda: len(house.holders.held) == 2)
    await house.holders.hear(pipe.Held(session=SESSION))
    body = await house.body()
    assert (body.state, body.failure, house.sessions.outdated) == (State.LINKED, None, 0)
    house.versions.newer = True
    await house.lose(R.OUTDATED)
    await house.until(lambda: len(house.holders.held) == 3)


async def test_a_session_that_was_logging_in_at_two_deaths_gets_a_process_of_its_own(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    for deaths in (1, 2):
        await house.holders.hear(pipe.Starting(session=SESSION))
        await house.holders.died([SESSION])
        await house.until(lambda deaths=deaths: len(house.holders.held) == deaths + 1)
    assert house.holders.rooms == [Room.ORDINARY, Room.ORDINARY, Room.ALONE]
    assert house.sessions.quarantined == [SESSION]
    await house.holders.hear(pipe.Starting(session=SESSION))
    await house.holders.died([SESSION])  # tried again later, not at once: it would keep us busy
    assert len(house.holders.held) == 3
    await house.until(lambda: len(house.holders.held) == 4)
    assert house.holders.rooms[-1] is Room.ALONE
    await house.holders.hear(pipe.Held(session=SESSION))
    await house.holders.died([SESSION])  # it was online: it comes back all the same
    await house.until(lambda: len(house.holders.held) == 5)


async def test_a_session_that_was_online_at_the_death_of_its_process_is_not_suspected(house):
    await house.up()
    for deaths in range(1, 4):
        await house.holders.hear(pipe.Starting(session=SESSION))
        await house.holders.hear(pipe.Held(session=SESSION))
        await house.holders.died([SESSION])
        await house.until(lambda deaths=deaths: len(house.holders.held) == deaths + 1)
    assert house.sessions.quarantined == []


async def test_a_lost_keepalive_is_shown_until_it_is_back(house):
    await house.up()
    await house.holders.hear(pipe.Dropped(session=SESSION))
    assert (await house.body()).state is State.RECONNECTING
    await house.holders.hear(pipe.Restored(session=SESSION))
    assert (await house.body()).state is State.LINKED


async def test_keys_that_are_gone_are_our_fault_and_the_library_is_not_started_on_them(house):
    house.store.there = False
    await house.sessions.resume(SESSION)
    body = await house.body()
    assert (body.state, body.failure.code) == (State.UNLINKED, FailureCode.INTERNAL)
    assert house.holders.held == []
    assert house.store.devices == {}


async def test_a_device_that_is_away_when_the_dwell_ends_is_verified_when_it_is_back(redis):
    house = House(redis, now_ms())
    await house.up()
    await house.holders.hear(pipe.Dropped(session=SESSION))
    held = house.sessions._held[SESSION]
    await house.sessions._carrier.feed(held, Sign.DWELT)
    assert held.tenure.due
    verified = 'verified{method="qr",region="RU"}'
    assert await house.counted(verified) == 0
    await house.holders.hear(pipe.Restored(session=SESSION))
    assert await house.counted(verified) == 1
    await house.holders.hear(pipe.Dropped(session=SESSION))
    await house.holders.hear(pipe.Restored(session=SESSION))
    assert await house.counted(verified) == 1
    await house.lose(R.LOGGED_OUT)
    assert (await house.body()).failure.code is FailureCode.LOGGED_OUT


async def test_that_a_device_is_verified_is_said_again_when_redis_was_away(redis, monkeypatch):
    monkeypatch.setattr(held_module, "SAY_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(carrying, "DWELL_SECONDS", 0.2)
    house = House(redis, now_ms())
    save, faults = house.snapshots.save, [ConnectionResetError()]
    verified = 'verified{method="qr",region="RU"}'

    async def failing(lease, change, *more):
        if faults and verified in change.counters:
            raise faults.pop()
        return await save(lease, change, *more)

    monkeypatch.setattr(house.snapshots, "save", failing)
    await house.up()
    held = house.sessions._held[SESSION]
    await house.until(lambda: not faults and not held.tenure.fresh)
    await house.settled()
    assert await house.counted(verified) == 1


async def test_only_what_comes_up_after_the_dwell_is_never_verified_again(house):
    await house.up()
    assert house.sessions._held[SESSION].verified == ()
    assert not house.sessions._held[SESSION].tenure.fresh


async def test_a_session_lost_while_the_store_is_asked_is_not_started(house):
    house.store.answers.clear()
    resuming = asyncio.ensure_future(house.sessions.resume(SESSION))
    await house.store.asked.wait()
    house.sessions._held[SESSION].lost()
    house.store.answers.set()
    await resuming
    assert house.holders.held == []


async def test_nothing_is_started_while_sessions_are_handed_over(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0, 0))
    await house.up()
    house.store.answers.clear()
    house.store.asked.clear()
    dying = asyncio.ensure_future(house.holders.died([SESSION]))
    await house.store.asked.wait()
    assert await house.sessions.hand_over() == [("resume", SESSION)]
    house.store.answers.set()
    await dying
    assert house.holders.held == [SESSION], "only the first time"
    assert await house.leases.owner(SESSION) is None
    assert (await house.body()).state is State.RECONNECTING


async def test_a_device_that_is_linked_while_sessions_are_handed_over_is_not_held_here_and_offered_too(house):
    assert await house.sessions.hand_over() == []
    device = house.store.devices[SESSION]
    lease = await house.links.ownership.acquire(SESSION, house)
    await house.sessions.adopt(lease, device, house.links.body(device), ())
    await house.settled()
    assert house.holders.held == []
    assert await house.sessions.hand_over() == [("resume", SESSION)]
    assert await house.leases.owner(SESSION) is None


async def test_a_device_that_is_refused_is_not_handed_over_and_forgotten_at_once(house):
    device = house.store.devices[SESSION]
    lease = await house.links.ownership.acquire(SESSION, house)
    refusing = asyncio.ensure_future(house.sessions.refuse(lease, device, 30.0))
    await house.store.asked.wait()
    assert await house.sessions.hand_over() == []
    async with asyncio.timeout(5):
        await refusing
    assert house.store.devices == {}
    assert await house.leases.owner(SESSION) == "w", "the lease is the attempt's"


async def forgotten(house):
    """Redis is emptied, and then hears of the session before its worker's next heartbeat."""
    await house.up()
    await house.redis.flushall()
    await house.holders.hear(pipe.Dropped(session=SESSION))


async def test_a_snapshot_that_redis_forgot_is_saved_again_once_the_lease_is_retaken(house, monkeypatch):
    monkeypatch.setattr(held_module, "SAY_AGAIN_SECONDS", 0.01)
    await forgotten(house)
    assert house.sessions.holds(house.sessions._held[SESSION])
    await house.links.ownership._beat()
    await house.until(lambda: not house.sessions._held[SESSION].timers)
    assert house.holders.released == []
    assert await house.leases.owner(SESSION) == "w"
    assert (await house.body()).state is State.RECONNECTING


async def test_a_write_while_the_lease_is_being_retaken_ends_nothing(house, monkeypatch):
    monkeypatch.setattr(held_module, "SAY_AGAIN_SECONDS", 0.01)
    await house.up()
    await house.redis.flushall()
    acquire = house.leases.acquire

    async def acquired_but_not_yet_known(*args, **more):
        lease = await acquire(*args, **more)
        await house.holders.hear(pipe.Dropped(session=SESSION))
        return lease

    monkeypatch.setattr(house.leases, "acquire", acquired_but_not_yet_known)
    await house.links.ownership._beat()
    await house.until(lambda: not house.sessions._held[SESSION].timers)
    await house.settled()
    assert house.holders.released == []
    assert await house.leases.owner(SESSION) == "w"
    assert (await house.body()).state is State.RECONNECTING


async def test_a_sleeper_that_met_the_job_to_take_its_own_session_up_takes_it_up_once_it_has_lost_it(house):
    """A sweep freed the session of a worker that slept, and offered it; the worker awoke, and took that very job."""
    await house.up()
    lease = house.sessions._held[SESSION].lease
    await house.redis.delete(keys.lease(SESSION))
    await house.redis.incr(keys.fence(SESSION))  # as `free` does
    await house.sessions.resume(SESSION)
    assert len(house.holders.held) == 1
    await house.ownership._retake(lease)
    await house.settled()
    [(session, _)] = house.offered
    assert session == SESSION
    await house.up()
    assert await house.leases.owner(SESSION) is not None
    assert (await house.body()).state is State.LINKED


async def test_a_session_of_another_worker_is_neither_held_nor_owned_any_more(house):
    await house.up()
    await stop_beating(house.redis, WorkerId("w"))
    await house.leases.acquire(SESSION, WorkerId("another"))
    await house.holders.hear(pipe.Dropped(session=SESSION))
    await house.settled()
    assert (len(house.sessions), house.holders.released) == (0, [SESSION])
    assert house.links.ownership.owner(SESSION) is None
    assert await house.leases.owner(SESSION) == "another"


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("holders", EngineFailed("none could be had")),
        ("holders", KeyError()),
        ("store", StoreAway("the disk is full")),
        ("store", asyncio.CancelledError()),  # the limit of the job
    ],
)
async def test_a_start_that_fails_is_tried_again(house, monkeypatch, where, fault):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    (house.holders if where == "holders" else house.store).fault = fault
    with suppress(KeyError, asyncio.CancelledError):
        await house.sessions.resume(SESSION)
    await house.until(lambda: house.holders.held == [SESSION])


async def test_a_redis_that_fails_before_the_start_leaves_nothing_unstarted(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    save, faults = house.snapshots.save, [asyncio.CancelledError(), ConnectionResetError()]

    async def failing(*args):
        if faults:
            raise faults.pop()
        return await save(*args)

    monkeypatch.setattr(house.snapshots, "save", failing)
    await house.sessions.resume(SESSION)
    await house.until(lambda: house.holders.held == [SESSION])


async def test_one_session_that_cannot_be_started_keeps_no_other_of_its_holder_waiting(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    house.store.devices[OTHER] = StoredDevice(OTHER, f"{PHONE[1:]}:2@s.whatsapp.net", now_ms() - HOUR_AGO, "/nowhere")
    await house.sessions.resume(SESSION)
    await house.sessions.resume(OTHER)
    house.holders.fault = KeyError()
    await house.holders.died([SESSION, OTHER])
    assert house.holders.held == [SESSION, OTHER, OTHER]
    await house.until(lambda: house.holders.held == [SESSION, OTHER, OTHER, SESSION])


async def test_a_device_that_was_just_linked_stays_linked_when_it_cannot_be_started(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    device = house.store.devices[SESSION]
    lease = await house.links.ownership.acquire(SESSION, house)
    house.holders.fault = KeyError()
    await house.sessions.adopt(lease, device, house.links.body(device), ())
    await house.until(lambda: house.holders.held == [SESSION])


async def test_the_end_of_a_session_is_said_until_redis_hears_it(house, monkeypatch):
    monkeypatch.setattr(held_module, "SAY_AGAIN_SECONDS", 0.01)
    await house.up()
    save, faults = house.snapshots.save, [ConnectionResetError(), ConnectionResetError()]

    async def failing(*args):
        if faults:
            raise faults.pop()
        return await save(*args)

    monkeypatch.setattr(house.snapshots, "save", failing)
    await house.lose(R.LOGGED_OUT)
    assert (await house.body()).state is State.UNLINKED
    assert await house.leases.owner(SESSION) is None


async def test_an_end_is_said_no_more_once_the_lease_is_somebody_elses(house, monkeypatch):
    monkeypatch.setattr(held_module, "SAY_AGAIN_SECONDS", 0.01)
    await house.up()
    tried = asyncio.Event()

    async def away(*_args):
        tried.set()
        raise ConnectionResetError

    monkeypatch.setattr(house.snapshots, "save", away)
    losing = asyncio.ensure_future(house.lose(R.LOGGED_OUT))
    await tried.wait()
    house.links.ownership._drop([SESSION], "taken over")
    await losing


async def unlinking(house):
    """An unlink that waits for WhatsApp's answer."""
    task = asyncio.ensure_future(house.sessions.unlink(SESSION))
    await house.holders.heard.wait()
    assert house.holders.sent == [pipe.LogOut(session=SESSION)]
    return task


async def test_the_keys_are_kept_until_whatsapp_has_answered_the_log_out(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    await house.lose(R.START_FAILED)
    await house.until(lambda: len(house.holders.held) == 2)
    await house.holders.hear(pipe.Held(session=SESSION))
    task = await unlinking(house)
    assert await task is True
    assert SESSION in house.store.devices
    assert (await house.body()).state is State.LINKED
    await house.lose(R.LOGGED_OUT)
    assert house.store.devices == {}
    body = await house.body()
    assert (body.state, body.failure) == (State.UNLINKED, None)


async def test_a_device_is_unlinked_once_and_shows_no_trouble_meanwhile(house):
    await house.up()
    task = await unlinking(house)
    assert await house.sessions.unlink(SESSION) is True
    await house.holders.hear(pipe.Dropped(session=SESSION))
    assert (await house.body()).state is State.LINKED
    await house.holders.hear(pipe.Released(session=SESSION, detail="no answer"))
    assert await task is True
    assert len(house.holders.sent) == 1


async def test_an_unlink_that_the_store_cannot_keep_is_tried_again(house, monkeypatch):
    monkeypatch.setattr(carrying, "STORE_SECONDS", 0.01)
    await house.up()
    house.store.fault = StoreAway("Postgres is away")
    assert await house.sessions.unlink(SESSION) is True
    await house.until(lambda: house.holders.sent == [pipe.LogOut(session=SESSION)])
    assert house.store.devices[SESSION].parked.startswith("unlinking:")


async def test_while_whatsapp_is_away_an_unlink_waits_and_is_done_when_it_is_back(house, monkeypatch):
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    await house.lose(R.START_FAILED)
    assert await house.sessions.unlink(SESSION) is True
    for tries in range(2, 5):
        await house.until(lambda tries=tries: len(house.holders.held) >= tries)
        await house.lose(R.START_FAILED)
    assert (await house.body()).state is State.RECONNECTING
    assert SESSION in house.store.devices
    await house.holders.hear(pipe.Held(session=SESSION))
    assert house.holders.sent == [pipe.LogOut(session=SESSION)]
    await house.lose(R.LOGGED_OUT)
    assert house.store.devices == {}
    body = await house.body()
    assert (body.state, body.failure) == (State.UNLINKED, None)


async def test_an_unlink_that_was_tried_for_a_day_says_that_it_was_not_done(house, monkeypatch):
    monkeypatch.setattr(admission, "UNLINK_MS", 100)
    await house.up()
    await house.lose(R.START_FAILED)
    assert await house.sessions.unlink(SESSION) is True
    await house.until(lambda: len(house.sessions) == 0)
    await house.settled()
    body = await house.body()
    assert (body.state, body.failure.code) == (State.UNLINKED, FailureCode.CONNECTION_FAILED)
    assert house.store.devices == {}


async def test_an_unlink_that_ran_out_while_redis_was_away_is_told_of_a_banned_device_too(house, monkeypatch):
    await house.up()
    await house.lose(R.BANNED, now_ms() - 2_000)
    wish = f"{UNLINKING}:{now_ms() - 1}"
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], parked=wish, again_at=1)
    monkeypatch.setattr(house.ownership, "cut_off", True)
    await house.sessions.resume(SESSION)
    await house.until(lambda: not house.store.devices)
    await house.settled()
    body = await house.body()
    assert (body.state, body.failure.code) == (State.UNLINKED, FailureCode.CONNECTION_FAILED)


async def test_a_log_out_that_whatsapp_does_not_answer_is_asked_again(house, monkeypatch):
    monkeypatch.setattr(carrying, "UNLINK_SECONDS", 0.05)
    monkeypatch.setattr(carrying, "RETRY_SECONDS", (0.01, 0.01))
    await house.up()
    assert await house.sessions.unlink(SESSION) is True
    await house.until(lambda: len(house.holders.held) == 2)
    assert house.holders.released == [SESSION]
    await house.holders.hear(pipe.Held(session=SESSION))
    assert len(house.holders.sent) == 2
    await house.lose(R.LOGGED_OUT)
    assert (await house.body()).state is State.UNLINKED


async def test_an_unlink_outlives_the_worker_that_was_asked(house, redis):
    await house.up()
    assert await house.sessions.unlink(SESSION) is True
    device = house.store.devices[SESSION]
    assert 0 < device.again_at <= now_ms(), "a sweep offers it"
    await house.leases.release(house.sessions._held[SESSION].lease)
    other = House(redis, now_ms() - HOUR_AGO)
    other.store.devices = house.store.devices
    await other.up()
    assert other.holders.sent == [pipe.LogOut(session=SESSION)]
    assert other.sessions._held[SESSION].tenure.leave_by == int(device.parked.partition(":")[2])


async def test_an_unlink_without_a_device_ends_a_snapshot_that_shows_one(house):
    await house.up()
    await house.sessions.hand_over()
    house.store.devices.clear()
    house.sessions._carrier.over = False
    assert (await house.body()).state is State.RECONNECTING
    assert await house.sessions.unlink(SESSION) is True
    assert (await house.body()).state is State.UNLINKED
    assert await house.leases.owner(SESSION) is None


@pytest.mark.parametrize("believed", [False, True])
async def test_a_device_that_was_exported_is_forgotten_and_its_new_client_is_left_alone(house, believed):
    if believed:
        await house.up()
        await house.sessions.hand_over()
        house.sessions._carrier.over = False
    started = list(house.holders.held)
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], parked=EXPORTED)
    assert await house.sessions.unlink(SESSION) is True
    assert house.store.devices == {}
    assert (house.holders.held, house.holders.sent) == (started, []), "WhatsApp hears nothing"
    assert (await house.body()).state is State.UNLINKED
    assert await house.leases.owner(SESSION) is None


async def test_an_unlink_that_cannot_be_done_here_says_so(house):
    await house.leases.acquire(SESSION, WorkerId("another"))
    assert await house.sessions.unlink(SESSION) is False
    assert await house.sessions.unlink(OTHER) is True, "there is nothing to do"


@pytest.mark.parametrize("how", ["lost", "handed over"])
async def test_a_session_lost_while_it_is_unlinked_keeps_its_keys_and_is_unlinked_elsewhere(house, how):
    await house.up()
    task = await unlinking(house)
    if how == "lost":
        house.links.ownership._drop([SESSION], "taken over")
    else:
        assert await house.sessions.hand_over() == [("unlink", SESSION)]
    await task
    assert house.store.devices[SESSION].parked.startswith("unlinking:")


async def test_a_loss_that_the_store_cannot_take_is_written_down_when_it_is_back(house, monkeypatch):
    monkeypatch.setattr(carrying, "STORE_SECONDS", 1.0)
    await house.up()
    house.store.fault = StoreAway("Postgres is away")
    await house.lose(R.REPLACED)
    assert house.store.devices[SESSION].parked == ""
    await house.until(lambda: house.ownership.owner(SESSION) is None)  # its end is said, and its lease given back
    assert house.store.devices[SESSION].parked == R.REPLACED.value
    assert (await house.body()).state is State.FAILED
    assert house.holders.held == [SESSION], "and meanwhile it did not fight back"


async def test_while_the_store_thinks_about_a_loss_the_holders_other_sessions_are_heard(house, monkeypatch):
    await house.up()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(*_write):
        asked.set()
        await answer.wait()

    monkeypatch.setattr(house.store, "note", slow)
    async with asyncio.timeout(5):
        await house.holders.hear(pipe.Lost(session=SESSION, reason=R.REPLACED))
        await asked.wait()
    answer.set()
    await house.settled()


async def test_a_session_that_could_not_be_connected_for_days_is_still_tried_again(house):
    await house.up()
    held = house.sessions._held[SESSION]
    held.tenure = replace(held.tenure, tries=10_000)
    await house.lose(R.START_FAILED)
    assert len(held.timers) == 1


async def test_a_late_forgetting_leaves_the_session_that_was_taken_up_since(house, monkeypatch):
    await house.up()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(*_write):
        asked.set()
        await answer.wait()

    monkeypatch.setattr(house.store, "forget", slow)
    losing = asyncio.ensure_future(house.lose(R.LOGGED_OUT))
    await asked.wait()
    house.links.ownership._drop([SESSION], "taken over")
    await stop_beating(house.redis, WorkerId("w"))
    await house.sessions.resume(SESSION)
    answer.set()
    await losing
    assert SESSION in house.sessions._held


async def test_a_take_over_names_itself_in_the_store_before_it_connects(house):
    await house.sessions.resume(SESSION)
    lease = await house.redis.get(keys.lease(SESSION))
    assert lease.decode() == f"w:{house.store.devices[SESSION].token}"


async def test_behind_a_redis_that_went_back_a_take_over_goes_on_to_a_token_that_is_new(house):
    device = house.store.devices[SESSION]
    newest = 3
    house.store.devices[SESSION] = replace(device, token=newest)
    await house.redis.set(keys.fence(SESSION), 1)
    await house.sessions.resume(SESSION)
    assert house.holders.held == [SESSION]
    assert house.store.devices[SESSION].token > newest


async def test_a_worker_that_was_overtaken_in_the_store_neither_parks_nor_tells(house):
    await house.up()
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], token=10**12)
    await house.lose(R.REPLACED)
    assert house.store.devices[SESSION].parked == ""
    assert (await house.body()).state is State.LINKED
    assert house.holders.released == [SESSION]
    assert len(house.sessions) == 0


async def cut_off(house):
    """Redis stays away for so long that others may have taken over."""
    await house.up()
    house.ownership.cut_off = True
    house.ownership.on_alone = house.sessions.ask_store


async def test_without_redis_a_session_is_held_until_the_store_names_another(house):
    await cut_off(house)
    await house.ownership._stand_alone()
    assert house.holders.released == []
    house.store.devices[SESSION] = replace(house.store.devices[SESSION], token=10**12)
    await house.ownership._stand_alone()
    await house.settled()
    assert house.holders.released == [SESSION]
    assert house.store.devices[SESSION].parked == ""


async def test_without_redis_and_without_the_store_a_session_is_held(house):
    await cut_off(house)
    house.store.fault = StoreAway("Postgres is away")
    await house.ownership._stand_alone()
    assert house.sessions.holds(house.sessions._held[SESSION])
    assert house.holders.released == []


@pytest.mark.parametrize("away", [False, True])
async def test_without_redis_whoever_is_replaced_yields_and_parks_nothing(house, away):
    await cut_off(house)
    if away:
        house.store.fault = StoreAway("Postgres is away")
    await house.lose(R.REPLACED)
    assert house.holders.released == [SESSION]
    assert house.store.devices[SESSION].parked == ""
    assert (await house.body()).state is State.LINKED, "nothing was written"


async def test_without_redis_what_a_connection_says_waits_and_holds_up_nobody(house, monkeypatch):
    monkeypatch.setattr(held_module, "SAY_AGAIN_SECONDS", 0.01)
    await cut_off(house)
    await house.holders.hear(pipe.Dropped(session=SESSION))
    assert (await house.body()).state is State.LINKED
    house.ownership.cut_off = False
    await house.until(lambda: not house.sessions._held[SESSION].timers)
    assert (await house.body()).state is State.RECONNECTING


async def test_a_linked_session_outlives_a_redis_that_knows_its_lease_and_an_older_snapshot(house):
    """Redis went back by less than a lease: the owner says where it stands all the same, and no sweep ends it."""
    await house.up()
    lease = house.sessions._held[SESSION].lease
    old = await house.redis.hgetall(keys.snapshot(SESSION))
    await house.redis.hset(keys.snapshot(SESSION), mapping=old | {"seq": 1, "body": b'{"state":"awaiting_phone"}'})
    await house.redis.zadd(keys.CLAIMS, {SESSION: 1})
    house.ownership.another_server()
    await house.ownership._beat()
    await house.until(lambda: not house.ownership._telling)
    assert not await Rescue(house.redis).close_overdue(SESSION)
    assert (await house.body()).state is State.LINKED
    assert house.sessions._held[SESSION].lease.token > lease.token
    assert house.holders.released == []
