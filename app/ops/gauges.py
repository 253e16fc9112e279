"""What is true of the service at this moment, read in one round trip: for /metrics, /readyz and the operators' command."""

from dataclasses import dataclass

from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId

WORKER_ALIVE_MS = 10_000
"""A worker whose last heartbeat is older than this is not counted as living; it beats every two seconds."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker as it reported itself, and how long ago it was heard of (ms). Numbers that it has not reported are 0."""

    id: WorkerId
    silent_ms: int
    fields: dict[str, str]

    @property
    def alive(self) -> bool:
        """Whether it is to be counted."""
        return self.silent_ms <= WORKER_ALIVE_MS

    def number(self, name: str) -> int:
        """One of its numbers."""
        text = self.fields.get(name, "0")
        return int(text) if text.lstrip("-").isdigit() else 0


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading. `oldest_ms` is how long the first in the queue has waited; `lapsed` counts leases that nobody
    renewed; `stats` is `wa:stats` as it is."""

    stats: dict[str, int]
    waiting: int
    oldest_ms: int
    other_jobs: int
    leases: int
    lapsed: int
    workers: list[WorkerView]

    @property
    def living(self) -> list[WorkerView]:
        """The workers that live."""
        return [one for one in self.workers if one.alive]

    def total(self, name: str) -> int:
        """A number summed over the living workers."""
        return sum(one.number(name) for one in self.living)

    @property
    def ill_stores(self) -> list[WorkerId]:
        """Living workers that cannot reach the device store."""
        return [one.id for one in self.living if one.fields.get("store") == "away"]


async def read(redis: Redis) -> Moment:
    """The present moment. Raises redis' own errors."""
    now = now_ms()
    async with redis.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.STATS)
        pipe.zcard(keys.QUEUE_LINKING)
        pipe.zrange(keys.QUEUE_LINKING, 0, 0, withscores=True)
        pipe.zcard(keys.QUEUE_SESSIONS)
        pipe.zcount(keys.LEASES, f"({now}", "+inf")
        pipe.zcount(keys.LEASES, "-inf", now)
        pipe.zrange(keys.WORKERS, 0, -1, withscores=True)
        stats, waiting, first, others, leases, lapsed, beats = await pipe.execute()
    return Moment(
        stats={name.decode(): int(value) for name, value in stats.items()},
        waiting=waiting,
        oldest_ms=max(0, now - int(first[0][1])) if first else 0,
        other_jobs=others,
        leases=leases,
        lapsed=lapsed,
        workers=await _workers(redis, [(WorkerId(one.decode()), now - int(at)) for one, at in beats]),
    )


async def _workers(redis: Redis, beats: list[tuple[WorkerId, int]]) -> list[WorkerView]:
    if not beats:
        return []
    async with redis.pipeline(transaction=False) as pipe:
        for one, _ in beats:
            pipe.hgetall(keys.worker(one))
        hashes = await pipe.execute()
    return [
        WorkerView(one, silent, {name.decode(): value.decode() for name, value in fields.items()})
        for (one, silent), fields in zip(beats, hashes, strict=True)
    ]
