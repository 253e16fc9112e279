"""Whatever anybody has put under our names: a look at the switches and at the workers survives it."""

import pytest

from shared.core import keys
from shared.state.switches import Switches

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
    assert await world.leases.anybody() == []
