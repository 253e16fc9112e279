"""A linker connects while its attempt's job is still read and leased; what becomes no attempt leaves nothing."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.jobs.queue import link_job_id
from shared.state.switches import PAUSE, Board
from shared.tasks import cancelled
from tests.integration.courses import Script
from tests.integration.stage import Stage
from tests.waiting import until
from workers.engine import protocol as pipe
from workers.jobs import Jobs
from workers.linking.limits import AttemptLimits
from workers.places import Places
from workers.store.device import StoreAway, StoredDevice

WARM, COLD = 2, 5
"""Seeds of a stage with a linker that waits, and without one."""


class Worker(Stage):
    """A stage with the jobs of a worker."""

    def __init__(self, redis: Any, seed: int = WARM) -> None:
        shown = (0, pipe.Qr(text="https://x#a,k", number=1, born=now_ms()))
        super().__init__(redis, Script(seed, [[shown]] * 3), limits=AttemptLimits())
        self.sessions = SimpleNamespace(free=1)
        self.is_store_away = False
        self.tasks: list[asyncio.Task[object]] = []
        nothing = cast("Any", None)
        self.jobs = Jobs(
            redis, self.leases, self.ownership, self.parts, cast("Any", self.sessions), nothing, Places(5), nothing,
            lambda work, _: self.tasks.append(asyncio.ensure_future(work)),
        )  # fmt: skip

    async def device(self, session: SessionId) -> StoredDevice | None:
        if self.is_store_away:
            raise StoreAway("away")
        return await super().device(session)

    async def is_showing(self) -> bool:
        return (await self.snapshots.read(self.session)).body.state is State.AWAITING_PHONE


@pytest.fixture
async def worker(redis):
    worker = Worker(redis)
    yield worker
    for task in worker.tasks:
        await cancelled(task)
    assert not worker.alive


async def test_the_linker_is_under_way_before_the_lease_is_had_and_serves_the_attempt(worker):
    number = await worker.ask()
    async with worker.jobs.dialling(link_job_id(worker.session, number)):
        [linker] = worker.alive
        assert await worker.leases.owner(worker.session) is None
        assert not await worker.is_showing()
        await worker.jobs.link(worker.session, number)
    await until(worker.is_showing)
    assert worker.alive == {linker}


async def test_nothing_is_left_when_the_attempt_is_no_longer_the_claimed_one(worker):
    number = await worker.ask()
    async with worker.jobs.dialling(link_job_id(worker.session, number - 1)):
        assert len(worker.alive) == 1
        await worker.jobs.link(worker.session, number - 1)
    assert not worker.alive
    assert not worker.tasks


async def test_nothing_is_left_when_the_job_fails(worker):
    async def fail() -> None:
        async with worker.jobs.dialling(link_job_id(worker.session, await worker.ask())):
            assert worker.alive
            raise OSError("Redis is away")

    with pytest.raises(OSError, match="Redis"):
        await fail()
    assert not worker.alive


async def test_a_job_that_runs_again_does_not_touch_the_file_of_its_running_attempt(worker):
    job = link_job_id(worker.session, number := await worker.ask())
    for again in (False, True):
        async with worker.jobs.dialling(job):
            assert len(worker.alive) == 1
            async with worker.jobs.dialling(f"{job}:elsewhere:{now_ms()}"):
                assert len(worker.alive) == 1
            await worker.jobs.link(worker.session, number)
        assert len(worker.alive) == 1, f"again: {again}"
    await until(worker.is_showing)


@pytest.mark.parametrize(
    "job", ["sweep", "link:company_a", "link:company_../../etc:5", "link:company_a:5x", "link:a:5", "code:company_a:5"]
)
async def test_another_job_dials_nobody(worker, job):
    async with worker.jobs.dialling(job):
        assert not worker.alive


@pytest.mark.parametrize(
    ("parked", "is_away", "begins"), [("", False, False), ("replaced", False, True), ("", True, True)]
)
async def test_after_redis_went_back_a_stored_device_is_taken_up_in_place_of_an_attempt(
    worker, parked, is_away, begins
):
    """Its owner has not spoken yet. A device that is not to be held keeps nobody from linking anew."""
    worker.ownership.another_server()
    worker.old = StoredDevice(worker.session, "79001230001:1@s.whatsapp.net", 1, "", parked)
    worker.is_store_away = is_away
    number = await worker.ask()
    async with worker.jobs.dialling(link_job_id(worker.session, number)):
        await worker.jobs.link(worker.session, number)
    if begins:
        await until(worker.is_showing)
        return
    assert not worker.alive
    assert await worker.leases.owner(worker.session) is None
    assert [b"resume:company_" in job for job in await worker.redis.zrange(keys.QUEUE_RESUME, 0, -1)] == [True]


@pytest.mark.parametrize("why", ["full", "paused", "cold"])
async def test_nobody_is_dialled_in_vain(redis, why):
    worker = Worker(redis, COLD if why == "cold" else WARM)
    worker.sessions.free = 0 if why == "full" else 1
    worker.board = Board({PAUSE: "on"} if why == "paused" else {})
    async with worker.jobs.dialling(link_job_id(worker.session, 5)):
        assert not worker.alive
