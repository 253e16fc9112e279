"""However an attempt ends, its worker keeps nothing in its name: a dead attempt must not be renewed, nor retaken."""

from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.core import keys
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType
from shared.state.lease import NOBODY, Leases
from shared.state.snapshots import Snapshots
from tests.unit.world import ONE, SESSION
from tests.waiting import beside
from workers.jobs import Jobs
from workers.linking.attempt import Attempt
from workers.linking.course import Show
from workers.linking.page import Page
from workers.ownership import Ownership
from workers.places import Places


class Over:
    """An attempt whose driver just ends, without a last snapshot: as when Redis was away, or somebody wrote newer."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.renewals = 0

    async def run(self, _lease: object) -> None:
        if self.error is not None:
            raise self.error

    outlasts_redis = False

    def lost(self) -> None:
        raise AssertionError("nobody is there any more")

    async def renewed(self, _lease: object) -> None:
        raise AssertionError("nobody is there any more")


@pytest.fixture
def ownership(redis):
    async def nothing():
        pass

    return Ownership(Leases(redis), ONE, on_lapsed=nothing, on_beat=lambda _: None)


@pytest.fixture
def jobs(redis, ownership):
    nothing = cast("Any", None)
    parts = dict.fromkeys(("parts", "sessions", "sweeper", "forgetting", "spawn"), nothing)
    return Jobs(redis, Leases(redis), ownership, places=Places(5), **parts)


@pytest.mark.parametrize("error", [None, RuntimeError("a bug"), RedisConnectionError("gone")])
async def test_an_attempt_that_ended_without_a_word_is_let_go(jobs, ownership, redis, operator, error):
    run = cast("Attempt", Over(error))
    lease = await ownership.acquire(SESSION, run)
    jobs.places.take()
    try:
        await jobs._serve(run, lease)
    except Exception as raised:
        assert raised is error
    assert ownership.owner(SESSION) is None
    assert jobs.places.free == 5
    # What it has left undone is found by the sweep: from the next heartbeat on the lease is nobody's.
    await ownership._beat()
    assert await Leases(redis).owner(SESSION) is None
    assert await Leases(redis).dead() == [NOBODY]
    assert await Leases(redis).held_by(NOBODY) == [SESSION]
    # And after the sweep has thrown the lease away, nobody takes it up again.
    await operator.delete(keys.lease(SESSION))
    await ownership._beat()
    assert await Leases(redis).owner(SESSION) is None


async def test_the_holder_of_a_device_keeps_the_lease_after_the_attempt(jobs, ownership, redis):
    run, holder = cast("Attempt", Over()), Over()
    lease = await ownership.acquire(SESSION, run)
    assert ownership.hand_over(SESSION, holder) == lease
    jobs.places.take()
    await jobs._serve(run, lease)
    assert ownership.owner(SESSION) is holder
    assert await Leases(redis).owner(SESSION) == ONE


async def test_an_attempt_that_writes_to_a_redis_that_forgot_it_goes_on_under_its_new_lease(ownership, redis, operator):
    async with beside(ownership.run()):
        snapshots = Snapshots(redis)
        page = Page(snapshots, ownership, SESSION)

        class Driver(Over):
            async def renewed(self, lease: Any) -> None:
                page.lease = lease

        page.lease = await ownership.acquire(SESSION, Driver())
        await operator.flushall()
        await page.show(Body(state=State.CONNECTING), Show(MessageType.STATUS, "attempt.connecting"))
        stored = await snapshots.read(SESSION)
        assert (stored.body.state, stored.attempt) == (State.CONNECTING, page.lease.token)
