"""One worker's ownership over a real Redis, which beats, and what it called."""

import asyncio

from shared.state.lease import Leases
from shared.tasks import cancelled
from tests.unit.world import ONE
from tests.waiting import until
from workers.ownership import Ownership


class Acting:
    """Whatever acts under a lease."""

    def __init__(self):
        self.lost_at: float | None = None
        self.leases = []

    outlasts_redis = False

    def lost(self):
        assert self.lost_at is None, "told twice"
        self.lost_at = asyncio.get_running_loop().time()

    async def renewed(self, lease):
        self.leases.append(lease)


class Beating:
    """One worker's ownership, and what it called."""

    def __init__(self, redis, worker=ONE):
        self.leases = Leases(redis)
        self.beats: list[float] = []
        self.lapsed_at: list[int] = []  # by the number of beats
        self.ownership = Ownership(self.leases, worker, on_lapsed=self._on_lapsed, on_beat=self.beats.append)
        self.task: asyncio.Task[None] | None = None

    async def _on_lapsed(self):
        self.lapsed_at.append(len(self.beats))

    async def __aenter__(self):
        self.task = asyncio.create_task(self.ownership.run())
        await until(lambda: self.beats)
        return self

    async def __aexit__(self, *_error):
        await cancelled(self.task)


async def after(first, then, *about):
    """What `then` says once `first` is done."""
    await first
    return await then(*about)
