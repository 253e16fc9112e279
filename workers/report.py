"""A worker's report on itself for operators, every ten seconds: `wa:worker:<id>`. Its memory is that of the last minute."""

import asyncio
import itertools
import os
from contextlib import suppress
from pathlib import Path

from redis.asyncio import Redis

from shared import VERSION
from shared.core.clock import now_ms, skew_ms
from shared.core.datum import Datum, field
from shared.core.ids import WorkerId
from shared.tasks import outlived
from shared.telemetry.metrics import ENGINE
from shared.wa import wa
from workers.engine.processes import Engines
from workers.holding.sessions import Sessions
from workers.media import MediaHost
from workers.places import Places
from workers.store.device import DeviceStore
from workers.version.keeper import WebVersion

REPORT_SECONDS = 10.0
WEIGHED_EVERY = 6
"""Reports for which the processes are weighed once. With 300 sessions that takes as long as fifteen texts."""


def processes(pid: int) -> list[int]:
    """The process and everything below it. Empty where there is no /proc."""
    found, open_ = [], [pid]
    while open_:
        one = open_.pop()
        with suppress(OSError, ValueError):  # gone meanwhile
            for thread in Path(f"/proc/{one}/task").iterdir():  # hundreds: as cheap as can be
                with open(f"{thread}/children", "rb", buffering=0) as children:
                    open_ += map(int, children.read().split())
            found.append(one)
    return found


def memory_bytes(pids: list[int]) -> int:
    """Memory of these processes, each shared page counted once (Pss, /proc/<pid>/smaps_rollup, Linux 4.14)."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


class Report(Datum):
    """Writes the report of one worker until cancelled. `most`: sessions that it may hold."""

    redis: Redis
    worker: WorkerId
    places: Places
    sessions: Sessions
    store: DeviceStore
    version: WebVersion
    media: MediaHost
    most: int
    engines: Engines
    started: int = field(default_factory=now_ms)

    async def run(self) -> None:
        """Survives every fault of Redis. `lagMs` is how late the loop woke up: above some hundred, it is overloaded."""
        loop = asyncio.get_running_loop()
        lag, family, memory = 0.0, list[int](), 0
        for number in itertools.count():
            if number % WEIGHED_EVERY == 0:
                family = await asyncio.to_thread(processes, os.getpid())
                memory = await asyncio.to_thread(memory_bytes, family)
            with outlived("report.unsaved"):
                await self._write(lag, memory, len(family))
            due = loop.time() + REPORT_SECONDS
            await asyncio.sleep(REPORT_SECONDS)
            lag = loop.time() - due

    async def _write(self, lag: float, memory: int, count: int) -> None:
        fields = {
            "version": VERSION,
            "engine": ENGINE,
            "started": self.started,
            "at": now_ms(),
            "clockMs": skew_ms(),
            "attempts": self.places.taken,
            "maxAttempts": self.places.most,
            "sessions": len(self.sessions),
            "maxSessions": self.most,
            "memoryMB": memory // 2**20,
            "processes": count,
            "lagMs": round(lag * 1000),
            "store": "away" if self.store.away else "ok",
            "client": self.version.health.value,
            "clientAgeDays": round(self.version.age_days),
            "webRevision": self.version.in_use,
            "webSource": self.version.source,
            "outdated": self.sessions.outdated,
            "mediaAway": self.media.away,
            "mediaMissed": self.media.without,
            "held": self.engines.held,
            "quarantined": ",".join(self.sessions.quarantined),
        }
        told = [[name, str(value)] for name, value in fields.items()]
        await wa(self.redis, "report", looks=True, worker=self.worker, fields=told)
