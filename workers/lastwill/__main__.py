"""Speaks for a worker that was killed: `python -m workers.lastwill WORKER`. The wait for that is in `left.py`."""

from shared import lean  # isort: split

import asyncio
import sys
from contextlib import suppress

from shared import settings
from shared.core import keys
from shared.core.ids import WorkerId
from shared.jobs.queue import client, enqueue
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.tasks import TROUBLE
from shared.wa import wa

lean.ready()

PATIENCE_SECONDS = 6.0
"""By then the heartbeat has lapsed, and the others know without us."""


def speak(worker: str) -> None:
    """End the heartbeat of `worker`, and call for a sweep. If Redis is away, nothing is said."""
    with suppress(*TROUBLE):
        asyncio.run(_speak(WorkerId(worker), settings.read()))


async def _speak(worker: WorkerId, config: Settings) -> None:
    redis = client(redis_pool.pool(config))
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            if await wa(redis, "last_will", worker=worker):
                await enqueue(redis, keys.QUEUE_SESSIONS, "sweep")
    finally:
        await redis.aclose(close_connection_pool=True)


if __name__ == "__main__":
    speak(sys.argv[1])
