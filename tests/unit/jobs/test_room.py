"""An owner reads `no-room` only when no worker has any."""

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from workers.jobs import room_elsewhere

ME, OTHER = WorkerId("me"), WorkerId("other")


async def says(redis, worker, most, sessions, attempts, *, alive=True):
    await redis.zadd(keys.WORKERS, {worker: now_ms()})
    await redis.hset(keys.worker(worker), mapping={"maxSessions": most, "sessions": sessions, "attempts": attempts})
    if alive:
        await redis.set(keys.alive(worker), 1)


async def test_a_worker_that_lives_and_has_a_place_left_has_room(redis):
    assert not await room_elsewhere(redis, ME)
    await says(redis, ME, 2, 0, 0)
    assert not await room_elsewhere(redis, ME), "ours is known already"
    await says(redis, OTHER, 2, 1, 0)
    assert await room_elsewhere(redis, ME)
    await says(redis, OTHER, 2, 1, 1)
    assert not await room_elsewhere(redis, ME), "the place is reserved for an attempt"


async def test_the_dead_and_the_odd_have_no_room(redis):
    await says(redis, OTHER, 5, 0, 0, alive=False)
    assert not await room_elsewhere(redis, ME)
    await says(redis, OTHER, "many", "few", 0)
    assert not await room_elsewhere(redis, ME)
