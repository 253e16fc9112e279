"""Linked devices without anybody who holds them yet: paired by our linkers, kept as the SQLite store keeps them."""

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bench.handover import until
from emulator.client import Emulator
from shared.core.ids import SessionId, WorkerId
from workers.engine.parent import LINGER_LIMIT
from workers.engine.pool import LinkerPool
from workers.engine.processes import Engines, Options
from workers.engine.protocol import Connected, Paired, Qr, Start
from workers.store.device import Fence, StoredDevice
from workers.store.sqlite import SqliteStore

AT_ONCE = 3
FIRST = 79_300_000_000


class Fleet:
    """Companies `company_fleet-0`, `company_fleet-1` …, each linked with a phone of its own."""

    def __init__(self, emulator: Emulator, folder: Path, say: Callable[[str], None]) -> None:
        self.emulator = emulator
        self._folder = folder
        self._say = say
        self._store = SqliteStore(folder, WorkerId("fleet"))
        self._devices: list[StoredDevice] = []

    def close(self) -> None:
        """Nothing more is linked."""
        self._store.scratch.close()

    async def grow(self, count: int) -> None:
        """Link until there are `count`."""
        wanted = range(len(self._devices), count)
        if not wanted:
            return
        self._say(f"linking {len(wanted)} companies")
        places = asyncio.Semaphore(AT_ONCE)
        environment = os.environ | self.emulator.client_env("fleet")
        async with (
            Engines(Options(device_name="Bench"), environment) as engines,
            LinkerPool(engines, AT_ONCE) as pool,
        ):

            async def one(number: int) -> StoredDevice:
                async with places:
                    return await self._link(pool, number)

            self._devices += await asyncio.gather(*(one(number) for number in wanted))

    async def _link(self, pool: LinkerPool, number: int) -> StoredDevice:
        session = SessionId(f"company_fleet-{number}")
        scratch = self._store.scratch.path(session, 1)
        linker = await pool.take()
        await linker.send(Start(database=scratch))
        qr = await until(linker, Qr)
        scanning = asyncio.create_task(self.emulator.phone(str(FIRST + number)).scan(qr.text))
        paired = await until(linker, Paired)
        await until(linker, Connected)
        await linker.gone(LINGER_LIMIT)
        await scanning
        # Long ago, so that nobody is within the dwell.
        linked_at = (time.time_ns() // 1_000_000) - 86_400_000
        device = await self._store.adopt(session, scratch, paired.jid, linked_at, Fence(1))
        if number % 50 == 49:
            self._say(f"{number + 1} linked")
        return device

    def sessions(self, count: int) -> list[str]:
        """The first `count` sessions."""
        return [device.session for device in self._devices[:count]]

    @staticmethod
    def numbers(count: int) -> list[str]:
        """The phones of the first `count`."""
        return [str(FIRST + number) for number in range(count)]

    def files(self, count: int, into: Path) -> list[Path]:
        """Copies of the first `count` device files, for somebody who holds them without us."""
        return [Path(shutil.copy(device.database, into)) for device in self._devices[:count]]

    def data(self, count: int, into: Path) -> Path:
        """A DATA_DIR with the first `count` devices."""
        SqliteStore(into, WorkerId("copy")).scratch.close()
        self.files(count, into / "devices")
        rows = [(device.session, device.jid, device.linked_at) for device in self._devices[:count]]
        with closing(sqlite3.connect(into / "registry.sqlite3")) as registry, registry:
            registry.executemany("INSERT INTO devices (session, jid, linked_at) VALUES (?, ?, ?)", rows)
        return into
