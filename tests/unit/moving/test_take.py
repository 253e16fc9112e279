"""Taking devices over, beside a worker that is played."""

import asyncio
import sqlite3
import time
from contextlib import closing

import orjson
import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.ids import CompanyId, WorkerId, session_of
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType
from shared.jobs.queue import client
from shared.state.lease import Leases
from shared.state.snapshots import Change, Snapshots
from tests.unit.moving.made import Made
from tests.waiting import beside
from workers.moving import take
from workers.moving.baileys import BaileysSession
from workers.moving.files import Template
from workers.moving.identity import Row, read_device
from workers.moving.rows import rows_of
from workers.moving.service import Service
from workers.moving.take import MOST_BAD, TakeOver
from workers.moving.verdicts import Candidate, JudgedDevice, MoveVerdict
from workers.moving.watch import MoveOutcome
from workers.store.device import Fence, Told
from workers.store.sqlite import SqliteStore

MADE = Made()
DEVICE = read_device(MADE.creds)
ROWS, _ = rows_of(BaileysSession("salon", MADE.creds, MADE.keys), DEVICE)
AURORA, LOTUS = (session_of(CompanyId(name)) for name in ("aurora", "lotus"))
WORKER = WorkerId("w1")
FAST = 60_000.0


def judged(company="aurora", verdict=MoveVerdict.TAKE, touched=1.0, registration=None):
    device: list[Row] = [{**ROWS["device"][0], **({"registration_id": registration} if registration else {})}]
    found = Candidate(company, DEVICE.jid, touched=touched, linked_at=5_000, rows={**ROWS, "device": device})
    return JudgedDevice(found, company, verdict)


@pytest.fixture
def template(tmp_path):
    """Tables as the rows want them; those of the library are made in tests/moving."""
    template = Template(tmp_path)
    with closing(sqlite3.connect(template.file)) as made, made:
        made.execute("CREATE TABLE whatsmeow_version (version)")
        made.execute("INSERT INTO whatsmeow_version VALUES (1)")
        for table, rows in ROWS.items():
            made.execute(f"CREATE TABLE whatsmeow_{table} ({', '.join(rows[0])})")
    return template


@pytest.fixture
def store(tmp_path):
    made = SqliteStore(tmp_path, WORKER)
    yield made
    made.scratch.close()


class House:
    """A worker that takes up whatever is registered and not parked, and says that it is logged in."""

    def __init__(self, redis, store, template):
        self.redis, self.store = client(redis.connection_pool), store
        self.leases, self.snapshots = Leases(redis), Snapshots(redis)
        self.template, self.told = template, []
        self.verdict = None

    async def judge(self, one):
        return self.verdict or one

    async def works(self):
        await self.leases.beat(WORKER, 1)
        while True:
            for device in await self.store.to_hold():
                lease = await self.leases.acquire(device.session, WORKER)
                if lease is not None:
                    await self.says(lease, State.RECONNECTING, "session.resuming")
                    await self.says(lease, State.LINKED, "session.held")
            await asyncio.sleep(0.02)

    async def says(self, lease, state, event):
        assert await self.snapshots.save(lease, Change(Body(state=state), MessageType.STATUS, event)) is not None

    async def takes(self, *devices, stay=0.0):
        service = Service(self.redis, self.store, WorkerId("moving"), None, self.template)
        over = TakeOver(service, "anna@laptop", self.judge)
        async with beside(self.works()):
            return await over.run(list(devices), FAST, stay, self.told.append)

    async def outcomes(self, *devices, **more):
        return [one.outcome for one in await self.takes(*devices, **more)]

    def registration(self, session):
        with closing(sqlite3.connect(self.store._database(session))) as file:
            return file.execute("SELECT registration_id FROM whatsmeow_device").fetchone()[0]


@pytest.fixture
def house(redis, store, template):
    return House(redis, store, template)


async def parked(house, why, event, at=None):
    """The device was taken over, and lost to another client."""
    assert await house.outcomes(judged()) == [MoveOutcome.HELD]
    device = await house.store.device(AURORA)
    await house.store.note(replace(device, parked=why), Fence(device.token))
    await house.redis.delete(keys.lease(AURORA))
    line = orjson.dumps({"at": at or now_ms(), "attempt": 1, "event": event, "detail": ""})
    await house.redis.rpush(keys.timeline(AURORA), b"no line of ours", line)


async def test_a_device_is_held_as_it_was_and_its_integrator_hears_of_no_link(house):
    assert await house.outcomes(judged()) == [MoveOutcome.HELD]
    device = await house.store.device(AURORA)
    assert (device.jid, device.linked_at, device.told) == (DEVICE.jid, 5_000, Told.VERIFIED)
    assert b"device.imported" in (await house.redis.lrange(keys.timeline(AURORA), 0, -1))[0]
    (entry,) = await house.redis.xrange(keys.OPERATORS)
    assert entry[1][b"by"] == b"anna@laptop"


async def test_a_second_company_does_not_get_the_same_device(house):
    outcomes = await house.outcomes(judged(), judged("lotus"))
    assert outcomes == [MoveOutcome.HELD, MoveOutcome.FAILED]
    assert house.told[-1].why == "aurora has this device already"
    assert [device.session for device in await house.store.registered()] == [AURORA]


async def test_a_change_since_the_operator_was_asked_is_seen(house):
    house.verdict = JudgedDevice(judged().found, "aurora", MoveVerdict.REFUSED, "linked anew")
    assert await house.outcomes(judged()) == [MoveOutcome.FAILED]
    assert house.told[0].why == "linked anew"
    assert await house.store.registered() == []


async def test_the_lease_of_an_import_that_was_killed_is_waited_for(house):
    dead = WorkerId("moving-dead")
    await house.leases.beat(dead, 1)
    await house.redis.pexpire(keys.alive(dead), 1_500)
    assert await house.leases.acquire(AURORA, dead)
    assert await house.outcomes(judged()) == [MoveOutcome.HELD]


async def test_tried_again_without_a_scan_it_keeps_the_keys_that_it_has(house):
    await parked(house, "replaced", "session.replaced")
    again = judged(verdict=MoveVerdict.AGAIN, touched=time.time() - 60, registration=777)
    assert await house.outcomes(again) == [MoveOutcome.HELD]
    assert house.registration(AURORA) == DEVICE.row["registration_id"]


@pytest.mark.parametrize(("why", "event"), [("replaced", "session.replaced"), ("exported", "device.exported")])
async def test_if_the_old_client_ran_on_meanwhile_its_keys_are_read_anew(house, why, event):
    await parked(house, why, event, at=now_ms() - 60_000)
    again = judged(verdict=MoveVerdict.AGAIN, touched=time.time(), registration=777)
    assert await house.outcomes(again) == [MoveOutcome.HELD]
    assert house.registration(AURORA) == 777


async def test_an_old_service_that_comes_back_later_is_seen(house):
    async def comes_back():
        while (device := await house.store.device(AURORA)) is None or not house.told:
            await asyncio.sleep(0.02)
        await house.store.note(replace(device, parked="replaced"), Fence(device.token))

    coming = asyncio.create_task(comes_back())
    assert await house.outcomes(judged(), stay=2.0) == [MoveOutcome.REPLACED]
    await coming
    assert [one.outcome for one in house.told] == [MoveOutcome.HELD, MoveOutcome.REPLACED]


async def test_a_batch_ends_after_three_in_a_row_that_did_not_stay(house, monkeypatch):
    async def refused(*_):
        return MoveOutcome.LOGGED_OUT

    monkeypatch.setattr(take, "until_known", refused)
    devices = [judged(f"salon{number}") for number in range(5)]
    for number, one in enumerate(devices):
        one.found.jid = f"7900123000{number}:1@s.whatsapp.net"
    assert len(await house.outcomes(*devices)) == MOST_BAD
