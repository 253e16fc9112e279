"""An operator has a parked device held again."""

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from tests.unit.holding.house import HOUR_AGO, SESSION, R
from workers.engine import protocol as pipe
from workers.jobs import Jobs
from workers.places import Places


async def test_an_operator_has_a_parked_device_held_again(house):
    await house.up()
    await house.lose(R.BANNED, now_ms() + HOUR_AGO)
    await house.sessions.unpark(SESSION)
    await house.holders.hear(pipe.Held(session=SESSION))
    assert (await house.body()).state is State.LINKED
    assert house.store.devices[SESSION].parked == ""


async def test_an_operator_who_comes_before_the_lease_is_given_back_is_heard_a_moment_later(house):
    await house.up()
    await house.lose(R.BANNED, now_ms() + HOUR_AGO)
    lease = await house.leases.acquire(SESSION, WorkerId("another"))  # it has just parked the device
    jobs = Jobs(house.redis, house.leases, house.ownership, None, house.sessions, None, Places(1), None, house.spawn)
    await jobs.unpark(SESSION)
    (job,) = await house.redis.zrange(keys.QUEUE_SESSIONS, 0, -1)
    assert job.startswith(f"unpark:{SESSION}:".encode())
    await house.leases.release(lease)
    await jobs.unpark(SESSION)
    await house.holders.hear(pipe.Held(session=SESSION))
    assert (await house.body()).state is State.LINKED
    assert await house.redis.zcard(keys.QUEUE_SESSIONS) == 1, "and that is all"
