"""A linker connects while its attempt's job is still read and leased; what becomes no attempt leaves nothing."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from shared.core.clock import now_ms
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

WARM, COLD = 2, 5
"""Seeds of a stage with a linker that waits, and without one."""


class Worker(Stage):
    """A stage with the jobs of a worker."""

    def __init__(self, redis: Any, seed: int = WARM) -> None:
        shown = (0, pipe.Qr(text="https://x#a,k", number=1, born=now_ms()))
        super().__init__(redis, Script(seed, [[shown]] * 3), limits=AttemptLimits())
        self.sessions = SimpleNamespace(free=1)
        self.tasks: list[asyncio.Task[object]] = []
        nothing = cast("Any", None)
        self.jobs = Jobs(
            redis, self.leases, self.ownership, self.parts, cast("Any", self.sessions), nothing, Places(5), nothing,
            lambda work, _: self.tasks.append(asyncio.ensure_future(work)),
        )  # fmt: skip

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


@pytest.mark.parametrize("why", ["full", "paused", "cold"])
async def test_nobody_is_dialled_in_vain(redis, why):
    worker = Worker(redis, COLD if why == "cold" else WARM)
    worker.sessions.free = 0 if why == "full" else 1
    worker.board = Board({PAUSE: "on"} if why == "paused" else {})
    async with worker.jobs.dialling(link_job_id(worker.session, 5)):
        assert not worker.alive
