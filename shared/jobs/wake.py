"""Calls workers when there is something to do: by pub/sub at once, and by a look at all queues now and then."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from redis.asyncio import Redis

from shared.core import keys
from shared.jobs import queue
from shared.jobs.queue import QueueWorker
from shared.tasks import cancelled, outlived
from shared.wa import wa


async def listen_for_calls(
    redis: Redis, workers: Sequence[QueueWorker], also: Mapping[str, Callable[[], None]] = {}
) -> None:
    """Wake each queue's worker as soon as something is put into it, and call whom `also` names for its channel. Runs
    until cancelled; reconnects by itself. Calls can be lost, so the queues are looked at now and then as well."""
    looking = asyncio.create_task(_look(workers))
    try:
        await _listen(redis, workers, also)
    finally:
        await cancelled(looking)


async def _look(workers: Sequence[QueueWorker]) -> None:
    """Wake workers whose queue holds a due job. One command looks at all queues."""
    if not workers:
        return
    names = {f"queue{number}": worker.queue_name for number, worker in enumerate(workers)}
    for worker in workers:
        worker.watched = True
    while True:
        await asyncio.sleep(queue.IDLE_SECONDS)
        with outlived("queues.unreachable"):
            # One command for all: three idle workers would send half of a process' commands.
            found = await wa(workers[0].pool, "due_queues", names=names, looks=True, queues=list(names))
            for worker, has in zip(workers, found, strict=True):
                if has:
                    worker.wake()


async def _listen(redis: Redis, workers: Sequence[QueueWorker], also: Mapping[str, Callable[[], None]]) -> None:
    by_channel = {keys.wake(worker.queue_name).encode(): worker.wake for worker in workers}
    by_channel |= {channel.encode(): call for channel, call in also.items()}
    pause = 0.05
    while True:
        with outlived("calls.unreachable"):
            async with redis.pubsub() as calls:
                await calls.subscribe(*by_channel)
                async for message in calls.listen():
                    # A new subscription means that calls may have been missed.
                    by_channel[message["channel"]]()
                    pause = 0.05
        await asyncio.sleep(pause)
        pause = min(2.0, pause * 2)
