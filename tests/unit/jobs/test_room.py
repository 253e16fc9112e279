"""An owner reads `no-room` only when no worker has any."""

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from workers.jobs import room_elsewhere

ME, OTHER = WorkerId("me"), WorkerId("other")


async def holds(redis, worker, number, *, most, alive=True):
    await redis.zadd(keys.WORKERS, {worker: now_ms()})
    await redis.hset(keys.worker(worker), mapping={"maxSessions": most})
    for one in range(number):
        await redis.sadd(keys.held(worker), f"company_{one}")
    if alive:
        await redis.set(keys.alive(worker), 1)


async def test_a_worker_that_lives_and_has_a_place_left_has_room(redis):
    assert not await room_elsewhere(redis, ME)
    await holds(redis, ME, 0, most=2)
    assert not await room_elsewhere(redis, ME), "ours is known already"
    await holds(redis, OTHER, 1, most=2)
    assert await room_elsewhere(redis, ME)
    await holds(redis, OTHER, 2, most=2)
    assert not await room_elsewhere(redis, ME), "an attempt keeps a place for what it links"


async def test_the_dead_and_the_odd_have_no_room(redis):
    await holds(redis, OTHER, 0, most=5, alive=False)
    assert not await room_elsewhere(redis, ME)
    await holds(redis, OTHER, 0, most="many")
    assert not await room_elsewhere(redis, ME)
