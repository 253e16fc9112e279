"""A lease that was asked for, and the answer was lost: it is had again, or given back, at once."""

import pytest

from shared.core import keys
from shared.state.lease import NOBODY
from tests.integration.beating import Acting, Beating
from tests.unit.world import OTHER, SESSION
from tests.waiting import until


@pytest.mark.parametrize("kind", ["attempt", "device"])
@pytest.mark.parametrize("asks_again", [True, False])
async def test_a_lease_that_was_had_unheard_is_had_again_or_given_back_at_the_next_heartbeat(
    redis, world, monkeypatch, kind, asks_again
):
    attempt = (await world.ask()).attempt if kind == "attempt" else None
    async with Beating(redis) as worker:
        acquire = worker.leases.acquire

        async def unheard(*who, **about):
            assert await acquire(*who, **about)
            raise TimeoutError

        monkeypatch.setattr(worker.leases, "acquire", unheard)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await worker.ownership.acquire(SESSION, Acting(), attempt=attempt)
        monkeypatch.setattr(worker.leases, "acquire", acquire)
        if asks_again:
            owner = Acting()
            lease = await worker.ownership.acquire(SESSION, owner, attempt=attempt)
            assert attempt in {None, lease.token}
            count = len(worker.beats)
            await until(lambda: len(worker.beats) > count + 1)
            assert worker.ownership.owner(SESSION) is owner
            assert await redis.get(keys.lease(SESSION)) == lease.owner.encode()
        else:
            lapsed, count = len(worker.lapsed_at), len(worker.beats)
            await until(lambda: worker.leases.held_by(NOBODY))
            await until(lambda: worker.lapsed_at[lapsed:])  # a sweep is called for
            assert worker.lapsed_at[lapsed] <= count + 1, "at the next heartbeat"


async def test_a_lease_that_was_asked_for_unheard_and_is_anothers_is_left_alone(redis, monkeypatch):
    async with Beating(redis) as worker:
        acquire = worker.leases.acquire

        async def unheard(*_who, **_about):
            await acquire(SESSION, OTHER)
            raise TimeoutError

        monkeypatch.setattr(worker.leases, "acquire", unheard)
        with pytest.raises(TimeoutError):
            await worker.ownership.acquire(SESSION, Acting())
        monkeypatch.setattr(worker.leases, "acquire", acquire)
        count = len(worker.beats)
        await until(lambda: len(worker.beats) > count + 1)
        assert await worker.ownership.acquire(SESSION, Acting()) is None
        assert await worker.leases.owner(SESSION) == OTHER
