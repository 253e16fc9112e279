"""State of the service at this moment, read in one round trip: for /metrics, /readyz and the operators' command."""

from collections.abc import Mapping, Sequence

from redis.asyncio import Redis

from shared.core import keys, odd
from shared.core.clock import in_words
from shared.core.datum import Datum, field
from shared.core.ids import WorkerId
from shared.core.webversion import ClientHealth
from shared.state.lease import NOBODY

WORKER_ALIVE_MS = 10_000
"""A worker whose last heartbeat is older than this is not counted as living; it beats every two seconds."""


class WorkerView(Datum):
    """A worker as it reported itself, and how long ago it was heard of (ms); how many sessions its leases name, and
    whether its heartbeat, by which these live, is there. Numbers that it has not reported are 0."""

    id: WorkerId
    silent_ms: int
    fields: dict[str, str]
    held: int = 0
    beats: bool = True

    @property
    def alive(self) -> bool:
        return self.silent_ms <= WORKER_ALIVE_MS

    def number(self, name: str) -> int:
        text = self.fields.get(name, "0")
        return -odd.number(text[1:]) if text.startswith("-") else odd.number(text)


class Moment(Datum):
    """One reading. `oldest_ms` is how long the first in the queue has waited; `lapsed` counts leases whose
    worker does not beat; `unheld` counts sessions that wait for a worker with room; `stats` is `wa:stats` as it is."""

    stats: Mapping[str, int] = field(default_factory=dict)
    waiting: int = 0
    oldest_ms: int = 0
    other_jobs: int = 0
    leases: int = 0
    lapsed: int = 0
    workers: Sequence[WorkerView] = ()
    unheld: int = 0

    @property
    def living(self) -> list[WorkerView]:
        return [one for one in self.workers if one.alive]

    def total(self, name: str) -> int:
        return sum(one.number(name) for one in self.living)

    def worst(self, name: str) -> int:
        return max((one.number(name) for one in self.living), default=0)

    def with_client(self, health: ClientHealth) -> list[WorkerView]:
        return [one for one in self.living if one.fields.get("client") == health.value]

    @property
    def client(self) -> str:
        """The state of the client that logs in at WhatsApp, in a few words. The worst worker decides."""
        if self.with_client(ClientHealth.REFUSED):
            return "WhatsApp refuses its version, and no newer one helps"
        if self.with_client(ClientHealth.UNKNOWN):
            return "its version is not where it should be in the library"
        if self.with_client(ClientHealth.OLD):
            return f"its version is {self.worst('clientAgeDays')} days old"
        return "ok" if self.living else "unknown"

    @property
    def without_media(self) -> list[WorkerView]:
        """Living workers that cannot reach WhatsApp's media host, or whose sessions could not fetch a file lately."""
        return [one for one in self.living if one.fields.get("mediaAway") or one.number("mediaMissed")]

    @property
    def wrong_clocks(self) -> dict[WorkerId, str]:
        said = {one.id: in_words(one.number("clockMs")) for one in self.living}
        return {worker: word for worker, word in said.items() if word != "ok"}

    @property
    def ill_stores(self) -> list[WorkerId]:
        return [one.id for one in self.living if one.fields.get("store") == "away"]


async def read(redis: Redis) -> Moment:
    """The present moment, by Redis' clock. Raises redis' own errors."""
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hgetall(keys.STATS)
        pipe.zcard(keys.QUEUE_LINKING)
        pipe.zrange(keys.QUEUE_LINKING, 0, 0, withscores=True)
        pipe.zcard(keys.QUEUE_SESSIONS)
        pipe.zcard(keys.QUEUE_RESUME)
        pipe.scard(keys.held(NOBODY))
        pipe.zrange(keys.WORKERS, 0, -1, withscores=True)
        (seconds, micros), stats, waiting, first, others, unheld, adrift, beats = await pipe.execute()
    now = seconds * 1000 + micros // 1000
    workers = await _workers(redis, now, beats)
    return Moment(
        stats={odd.text(name): odd.number(value) for name, value in stats.items() if odd.number(value, -1) >= 0},
        waiting=waiting,
        oldest_ms=max(0, now - odd.number(first[0][1], now)) if first else 0,
        other_jobs=others,
        leases=sum(one.held for one in workers if one.beats),
        lapsed=adrift + sum(one.held for one in workers if not one.beats),
        unheld=unheld,
        workers=workers,
    )


async def _workers(redis: Redis, now: int, scores: list[tuple[bytes, float]]) -> list[WorkerView]:
    if not scores:
        return []
    beats = [(WorkerId(odd.text(one)), now - odd.number(at)) for one, at in scores]
    async with redis.pipeline(transaction=False) as pipe:
        for one, _ in beats:
            pipe.hgetall(keys.worker(one))
            pipe.scard(keys.held(one))
            pipe.exists(keys.alive(one))
        answers = await pipe.execute()
    return [
        WorkerView(one, silent, {odd.text(name): odd.text(value) for name, value in fields.items()}, held, bool(alive))
        for (one, silent), fields, held, alive in zip(beats, answers[::3], answers[1::3], answers[2::3], strict=True)
    ]
