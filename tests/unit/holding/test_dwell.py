"""The dwell of a device that was linked a moment ago: told once, verified once."""

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from tests.unit.holding.house import SESSION, House, R
from tests.unit.world import World, change
from workers.engine import protocol as pipe
from workers.holding import carrying, roster
from workers.holding.tenure import Sign
from workers.store.device import Told


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
    await house.sessions._carrier.feed_safely(house.sessions._held[SESSION], Sign.DWELT)  # 30 seconds later
    await house.until(lambda: house.store.devices[SESSION].told is Told.VERIFIED)
    assert await house.counted('verified{method="qr",region="RU"}') == 1
    await house.sessions.hand_over()
    house.sessions._carrier.over = False
    await house.up()
    await house.settled()
    assert await house.counted('verified{method="qr",region="RU"}') == 1


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
    monkeypatch.setattr(roster, "SAY_AGAIN_SECONDS", 0.01)
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
