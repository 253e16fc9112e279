"""A worker's held sessions over a real outbox and snapshots, with holders and a store that only remember."""

import asyncio

from pydantic import SecretStr

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.events import Event
from shared.core.ids import SessionId, WorkerId
from shared.state.claims import Claims
from shared.state.contacts import Contacts
from shared.state.cooldowns import Cooldowns
from shared.state.lease import Leases
from shared.state.outbox import Outbox, Written
from shared.state.pool import answer
from shared.state.snapshots import Snapshots
from workers.engine import protocol as pipe
from workers.holding.holders import Room
from workers.holding.session import Links
from workers.holding.sessions import Sessions
from workers.media import MediaHost
from workers.ownership import Ownership
from workers.store.device import StoredDevice, StoreFenced, Told

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
        self._house.events += [
            Event.model_validate_json(event[b"body"], extra="ignore") for _, event in reversed(newest)
        ]
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
        return Links(**{name: known.get(name) for name in Links.__struct_fields__})

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
