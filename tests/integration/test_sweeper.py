"""What a sweep puts right, without anybody on the page."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.events import EventType
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import DEVICE, State
from shared.scripts import SETTLING_MS
from shared.state.claims import Outcome
from shared.state.events import News
from shared.state.outbox import Outbox
from shared.state.snapshots import Snapshots
from shared.telemetry.metrics import Counter, field
from shared.wa import wa
from tests.unit.world import ONE, OTHER, SESSION, change
from workers import sweeper as sweeper_module
from workers.store.device import StoreAway, StoredDevice, Told
from workers.sweeper import Sweeper


class NoDevices:
    """A store in which nobody is registered."""

    async def to_hold(self) -> list[Any]:
        return []

    async def device(self, _session: SessionId) -> StoredDevice | None:
        return None


@pytest.fixture
def sweep(redis, world, monkeypatch):
    monkeypatch.setattr(sweeper_module, "REDIS_YOUNG_SECONDS", 0)
    store = cast("Any", NoDevices())
    return Sweeper(redis, world.leases, world.rescue, world.snapshots, store, Outbox(redis), OTHER).sweep


async def failure(world, session=SESSION):
    body = (await world.snapshots.read(session)).body
    return body.state, body.failure and body.failure.code


async def test_an_onboarding_past_its_deadline_is_closed_though_nobody_looks(sweep, world, redis):
    lease = await world.serve(deadline=1)
    await sweep()
    assert await failure(world) == (State.FAILED, "worker-lost")
    assert not await redis.exists(keys.claim(SESSION)), "the next request begins anew"
    assert await world.snapshots.save(lease, change(State.AWAITING_PHONE)) is None, "its worker is fenced off"
    assert await redis.hget(keys.STATS, field(Counter.SWEPT, kind="overdue")) == b"1"


async def test_one_past_its_deadline_is_not_begun_anew_when_its_worker_is_gone_as_well(sweep, world):
    await world.serve(deadline=1)
    await world.lapse()
    await sweep()
    assert await failure(world) == (State.FAILED, "worker-lost")


async def test_one_that_waited_for_a_worker_in_vain_is_closed(sweep, world, redis):
    await world.ask()
    body = b'{"state":"queued","method":"qr","deadline":1}'
    await redis.hset(keys.snapshot(SESSION), "body", body)
    await redis.zadd(keys.CLAIMS, {SESSION: 1})
    await sweep()
    assert await failure(world) == (State.EXPIRED, None)


async def test_one_in_its_time_goes_on(sweep, world, redis):
    await world.serve(ONE, State.AWAITING_PHONE, deadline=now_ms() - 1000)
    await sweep()
    assert await failure(world) == (State.AWAITING_PHONE, None)
    assert await redis.exists(keys.claim(SESSION))


@pytest.mark.parametrize("state", sorted(DEVICE))
async def test_a_session_whose_device_was_forgotten_may_be_linked_again(sweep, world, redis, state):
    """Its worker died between forgetting the device and saying so."""
    lease = await world.serve(state=state)
    await world.snapshots.save(lease, change(state, ending=True))
    await world.lapse()
    await sweep()
    assert await failure(world) == (State.UNLINKED, "internal")
    assert await redis.hget(keys.STATS, field(Counter.SWEPT, kind="device")) == b"1"
    assert (await world.ask()).outcome is Outcome.STARTED


class FalteringStore(NoDevices):
    """A store that is away when it is asked for the first time, and has one device, or none."""

    def __init__(self, found: StoredDevice | None) -> None:
        self._found, self.asked = found, 0

    async def to_hold(self) -> list[Any]:
        return [self._found] if self._found else []

    async def device(self, _session: SessionId) -> StoredDevice | None:
        self.asked += 1
        if self.asked == 1:
            raise StoreAway("away")
        return self._found


DEVICE_OF_SESSION = StoredDevice(SESSION, "79001234567:1@s.whatsapp.net", 1, "/x", told=Told.NOTHING)


@pytest.mark.parametrize(
    ("was", "found", "becomes", "told"),
    [
        (State.LINKED, None, State.UNLINKED, EventType.SESSION_UNLINKED),  # it was forgotten, and nobody has said so
        (State.RECONNECTING, None, State.UNLINKED, EventType.SESSION_UNLINKED),
        (State.LINKING, None, State.FAILED, EventType.ONBOARDING_FAILED),
        (State.LINKING, DEVICE_OF_SESSION, State.LINKED, EventType.SESSION_LINKED),  # safe, and nobody has said so
    ],
)
async def test_what_a_dead_worker_has_not_told_is_told_once_also_if_the_store_is_away_at_first(
    redis, world, monkeypatch, was, found, becomes, told
):
    monkeypatch.setattr(sweeper_module, "REDIS_YOUNG_SECONDS", 0)
    snapshots = Snapshots(redis, News(tuple(EventType)))
    await world.serve(state=was)
    await world.lapse()
    store = cast("Any", FalteringStore(found))
    one = Sweeper(redis, world.leases, world.rescue, snapshots, store, Outbox(redis), OTHER)
    with pytest.raises(StoreAway):
        await one.sweep()
    assert await world.state() is was
    assert (await world.leases.beat(OTHER, 1)).lapsed, "the next heartbeat calls for another sweep"
    for _ in range(3):
        await one.sweep()
    assert await world.state() is becomes
    kinds = [await redis.hget(keys.webhook(one.decode()), "type") for one in await redis.zrange(keys.WEBHOOKS, 0, -1)]
    assert kinds.count(told.value.encode()) == 1
    assert not await redis.exists(keys.claim(SESSION))
    asked = await world.ask()
    assert asked.outcome is (Outcome.STARTED if found is None else Outcome.REFUSED), "its link is spent"
    offered = await redis.zrange(keys.QUEUE_RESUME, 0, -1)
    assert offered == ([f"resume:{SESSION}".encode()] if found else [])


class OneDevice(NoDevices):
    """A store in which the session is registered by its worker, which dies while that is being read. `settles`: then
    another worker finds that Redis went back."""

    def __init__(self, redis, world, *, settles=False):
        self._redis, self._world, self._settles = redis, world, settles

    async def to_hold(self):
        await self._world.lapse()
        if self._settles:
            await self._redis.set(keys.SETTLING, "another", px=SETTLING_MS)
        return [SimpleNamespace(session=SESSION)]


async def linked_by_the_dead(redis, world, store, monkeypatch):
    """After a sweep: the sessions that are offered."""
    monkeypatch.setattr(sweeper_module, "REDIS_YOUNG_SECONDS", 0)
    lease = await world.serve(state=State.LINKED)
    await world.snapshots.save(lease, change(State.LINKED, ending=True))
    await Sweeper(redis, world.leases, world.rescue, world.snapshots, store, Outbox(redis), OTHER).sweep()
    return await redis.zrange(keys.QUEUE_RESUME, 0, -1)


async def test_sessions_that_a_sweep_has_freed_are_offered_though_redis_begins_to_settle(redis, world, monkeypatch):
    await world.lapse()
    store = OneDevice(redis, world, settles=True)
    monkeypatch.setattr(world.leases, "dead", AsyncMock(return_value=[ONE]))
    assert await linked_by_the_dead(redis, world, store, monkeypatch) == [f"resume:{SESSION}".encode()]
    assert await redis.get(keys.lease(SESSION)) is None


async def test_the_dead_are_looked_for_before_the_registry_which_has_all_that_they_have_linked(
    redis, world, monkeypatch
):
    """Else a session that was linked between the two would be freed, and offered by nobody."""
    assert await linked_by_the_dead(redis, world, OneDevice(redis, world), monkeypatch) == []
    assert await redis.get(keys.lease(SESSION)) is not None, "the next sweep sees to it as a whole"


async def test_an_attempt_of_a_dead_worker_is_begun_anew_once_though_its_sweep_is_called_twice(sweep, world, redis):
    lease = await world.serve(ONE, State.AWAITING_PHONE)
    await world.lapse()
    await asyncio.gather(sweep(), sweep())
    assert int(await redis.get(keys.claim(SESSION))) == lease.token + 1


async def test_a_sweep_whose_end_redis_did_not_hear_keeps_nobody_from_sweeping(redis, world, monkeypatch):
    """The worker that had its turn lives: another calls it, and it sweeps at once."""
    monkeypatch.setattr(sweeper_module, "REDIS_YOUNG_SECONDS", 0)
    store = cast("Any", NoDevices())
    one, other = (
        Sweeper(redis, world.leases, world.rescue, world.snapshots, store, Outbox(redis), me) for me in (ONE, OTHER)
    )

    async def cut_off(redis: Any, script: str, **about: Any) -> Any:
        if script == "end_sweep":
            raise RedisConnectionError("gone")
        return await wa(redis, script, **about)

    with monkeypatch.context() as patch:
        patch.setattr("workers.sweeper.wa", cut_off)
        with pytest.raises(RedisConnectionError):
            await one.sweep()
    await world.serve(WorkerId("dead"), State.AWAITING_PHONE)
    await world.lapse()
    await other.sweep()
    assert await world.state() is State.AWAITING_PHONE, "never two at a time"
    (called,) = await redis.zrange(keys.queue_worker(ONE), 0, -1)
    assert called.startswith(f"sweep:{ONE}:".encode())
    assert not await redis.zrange(keys.queue_worker(OTHER), 0, -1)
    await one.sweep()  # that job
    assert await world.state() is State.QUEUED
    assert not await redis.exists(keys.SWEEP)
    await other.sweep()
    assert await redis.zcard(keys.queue_worker(ONE)) == 1, "nobody is called when nobody is at it"


async def test_a_sweep_that_is_called_while_one_runs_begins_again_at_its_end(redis, world, monkeypatch):
    store = cast("Any", NoDevices())
    one, other = (
        Sweeper(redis, world.leases, world.rescue, world.snapshots, store, Outbox(redis), me) for me in (ONE, OTHER)
    )
    began = []

    async def once() -> None:
        began.append(ONE)
        if len(began) == 1:
            await other.sweep()
            assert await redis.zcard(keys.queue_worker(ONE)) == 1
            await one.sweep()  # that job

    monkeypatch.setattr(one, "_once", once)
    await one.sweep()
    assert began == [ONE, ONE]
