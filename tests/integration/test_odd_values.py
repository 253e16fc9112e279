"""Whatever anybody has put under our names: a look at the switches and at the workers survives it."""

from typing import Any

import pytest

from shared.core import keys
from shared.core.ids import WorkerId
from shared.state.lease import Leases
from shared.state.outbox import Outbox
from shared.state.rescue import Rescue
from shared.state.snapshots import Snapshots
from shared.state.switches import Switches
from tests.unit.world import SESSION
from workers.sweeper import Sweeper

ODD = [b"\xff\xfe", b"", b"many", b"1.5", b"\x00", b'{"a":[', b"x" * 10_000, "\u2028".encode()]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
async def test_an_odd_switch_throws_nothing_and_hides_none(redis, odd):
    await redis.hset(keys.SWITCH, mapping={b"pause": b"on", odd: odd, b"region:KZ": odd})
    board = await Switches(redis).look()
    assert board.paused
    again = await Switches(redis).look()
    assert again == board


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
async def test_an_odd_worker_is_dead_and_nobodys_fault(world, redis, odd):
    await redis.zadd(keys.WORKERS, {odd: 1.5})
    await world.leases.dead()
    assert await world.leases.living() == {}


class Nobody:
    """A device store without devices."""

    async def to_hold(self):
        return []

    async def device(self, _session):
        return None


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
async def test_a_sweep_goes_past_odd_values_and_they_do_not_come_round_for_ever(redis, operator, odd):
    store: Any = Nobody()
    sweeper = Sweeper(redis, Leases(redis), Rescue(redis), Snapshots(redis), store, Outbox(redis), WorkerId("w"))
    dead = WorkerId("dead")
    await operator.zadd(keys.WORKERS, {dead: 1})
    await operator.sadd(keys.held(dead), SESSION, odd)
    await operator.set(keys.lease(SESSION), f"{dead}:5")
    await operator.set(keys.fence(SESSION), odd)
    await operator.hset(keys.snapshot(SESSION), mapping={"attempt": odd, "seq": odd, "body": odd})
    await operator.zadd(keys.CLAIMS, {odd: 1.5, SESSION: 2})
    await operator.zadd(keys.OUTBOXES, {odd: 1.5})
    await sweeper.sweep()
    await sweeper.sweep()
    assert await operator.zscore(keys.OUTBOXES, odd) is None
    assert await operator.scard(keys.held(dead)) == 0
