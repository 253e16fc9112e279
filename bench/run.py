"""Things that the rows share: progress, places for files, an emulator, a Redis, and companies that are linked already."""

import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from app.local import redis as local_redis
from bench.fleet import Fleet
from emulator.client import Emulator

QUICK_SETTLE_SECONDS = 1.0


@dataclass
class Run:
    """One run of the benchmark. `quick`: few rounds and small fleets, to see that it works; `full`: what is
    extrapolated otherwise is measured."""

    quick: bool
    full: bool
    folder: Path
    _began: float = field(default_factory=time.monotonic)
    _fleet: Fleet | None = None
    _growing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _of_fleet: AsyncExitStack = field(default_factory=AsyncExitStack)

    def say(self, text: str) -> None:
        """Progress, for a person who waits."""
        sys.stderr.write(f"{time.monotonic() - self._began:7.1f} s  {text}\n")
        sys.stderr.flush()

    def rounds(self, many: int, few: int) -> int:
        """The number of measurements to take."""
        return few if self.quick else many

    async def settle(self, seconds: float) -> None:
        """Wait until processes weigh what they will; not for long in a quick run, whose numbers nobody reads."""
        await asyncio.sleep(min(seconds, QUICK_SETTLE_SECONDS) if self.quick else seconds)

    def place(self) -> Path:
        """A new folder, gone with the run."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    @contextlib.contextmanager
    def redis(self) -> Iterator[str]:
        """The URL of a Redis that is nobody else's."""
        with local_redis.running(self.place()) as server:
            yield server.url

    @contextlib.asynccontextmanager
    async def emulator(self) -> AsyncIterator[Emulator]:
        """A WhatsApp that is nobody else's."""
        async with Emulator.start(life=0) as emulator:
            yield emulator

    async def fleet(self, count: int) -> Fleet:
        """At least so many linked companies; made once in a run, as each costs a pairing."""
        async with self._growing:
            if self._fleet is None:
                emulator = await self._of_fleet.enter_async_context(Emulator.start(life=0))
                self._fleet = Fleet(emulator, self.place(), self.say)
                self._of_fleet.callback(self._fleet.close)
            await self._fleet.grow(count)
            return self._fleet

    @contextlib.asynccontextmanager
    async def apart(self) -> AsyncIterator["Run"]:
        """The same run with a fleet of its own, which is gone with the block."""
        run = Run(self.quick, self.full, self.folder, self._began)
        try:
            yield run
        finally:
            await run.forget_fleet()

    async def forget_fleet(self) -> None:
        """At the end, and after a row that failed: what spoiled that row must not spoil the next."""
        self._fleet = None
        with contextlib.suppress(Exception):  # an emulator that has died cannot be stopped
            await self._of_fleet.aclose()
