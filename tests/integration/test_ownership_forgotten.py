"""The heartbeat over a Redis that forgot: a lease is retaken, or lost to another, and its owner is told first."""

import asyncio

from shared.core import keys
from shared.core.ids import SessionId
from tests.integration.beating import Acting, Beating, after
from tests.unit.world import ONE, OTHER, SESSION
from tests.waiting import until


async def test_a_lease_that_a_flushed_redis_forgot_is_retaken_under_a_higher_token(redis, operator):
    await operator.set(keys.fence(SESSION), 1000)  # as of long ago: within one second numbers would not grow
    async with Beating(redis) as worker:
        owner = Acting()
        lease = await worker.ownership.acquire(SESSION, owner)
        await operator.flushall()
        await until(lambda: owner.leases)
        assert owner.leases[0].token > lease.token
        assert owner.lost_at is None
        assert await worker.leases.owner(SESSION) == ONE
        assert await worker.ownership.advance(owner.leases[0])


async def test_a_lease_that_another_took_in_a_flushed_redis_is_lost(redis, operator):
    async with Beating(redis) as worker:
        owner = Acting()
        await worker.ownership.acquire(SESSION, owner)
        await until(lambda: after(operator.flushall(), worker.leases.acquire, SESSION, OTHER))
        await until(lambda: owner.lost_at)
        assert await worker.leases.owner(SESSION) == OTHER


async def test_a_session_that_is_given_back_while_it_is_retaken_stays_given_back(redis, operator, monkeypatch):
    async with Beating(redis) as worker:
        owner, other = Acting(), Acting()
        await worker.ownership.acquire(SESSION, owner)
        await worker.ownership.acquire(SessionId("company_other"), other)
        retake = worker.leases.retake

        async def slow(*about):
            await worker.ownership.let_go(SESSION, owner)
            return await retake(*about)

        monkeypatch.setattr(worker.leases, "retake", slow)
        await operator.flushall()
        await until(lambda: other.leases)
        await until(lambda: is_free(worker))
        assert (owner.lost_at, owner.leases) == (None, [])
        assert worker.ownership.owner(SESSION) is None
        assert not worker.task.done()


async def is_free(worker):
    return await worker.leases.owner(SESSION) is None


class Stumbling(Acting):
    """Cannot say where it stands: at first as Redis is away, then for a bug."""

    def __init__(self):
        super().__init__()
        self.faults = [ConnectionResetError(), KeyError()]

    async def renewed(self, lease):
        await super().renewed(lease)
        raise self.faults.pop(0)


async def test_an_owner_that_cannot_say_where_it_stands_ends_nobody_else(redis, operator):
    async with Beating(redis) as worker:
        owner = Stumbling()
        await worker.ownership.acquire(SESSION, owner)
        await operator.flushall()
        await until(lambda: not owner.faults)
        count = len(worker.beats)
        await until(lambda: len(worker.beats) > count)
        assert await worker.leases.owner(SESSION) == ONE


async def test_a_writer_whom_redis_forgot_waits_until_its_owner_was_told(redis, operator):
    async with Beating(redis) as worker:
        told, go_on = asyncio.Event(), asyncio.Event()

        class Slow(Acting):
            async def renewed(self, lease):
                told.set()
                await go_on.wait()
                await super().renewed(lease)

        owner = Slow()
        lease = await worker.ownership.acquire(SESSION, owner)
        await operator.flushall()
        writing = asyncio.create_task(worker.ownership.retaken(lease))
        await told.wait()
        assert not writing.done()
        go_on.set()
        assert await writing == owner.leases[0] != lease
        assert await worker.ownership.advance(lease)


async def test_a_writer_whose_lease_another_has_learns_it_at_the_next_beat(redis, operator):
    async with Beating(redis) as worker:
        lease = await worker.ownership.acquire(SESSION, Acting())
        await until(lambda: after(operator.flushall(), worker.leases.acquire, SESSION, OTHER))
        assert await worker.ownership.retaken(lease) is None
