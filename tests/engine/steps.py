"""What the engine's tests do again and again."""

import asyncio
import os
import select
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from emulator.client import Emulator, Phone
from workers.engine.devices import settle
from workers.engine.pool import LinkerPool
from workers.engine.processes import Engines, Exited, Holder, Linker
from workers.engine.protocol import Connected, Hold, Lost, Paired, Qr, Start

SECONDS = 20.0
GOOD_END = Exited(code=0, signal=None)

E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Linked:
    """A linked device."""

    phone: Phone
    database: str
    jid: str

    def hold(self, session: str) -> Hold:
        return Hold(session=session, database=self.database, jid=self.jid)


@dataclass(frozen=True, slots=True)
class Steps:
    engines: Engines
    pool: LinkerPool
    emulator: Emulator
    tag: str
    folder: Path
    numbers: Iterator[int]

    def phone(self) -> Phone:
        """A phone that no test has had."""
        return self.emulator.phone(str(next(self.numbers)))

    def database(self) -> str:
        return str(self.folder / f"{next(self.numbers)}.db")

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[Linker]:
        """A linker that has been started, and is gone afterwards."""
        linker = await self.pool.take()
        try:
            await linker.send(Start(database=self.database()))
            yield linker
        finally:
            await linker.kill()

    @asynccontextmanager
    async def holder(self) -> AsyncIterator[Holder]:
        """A holder, gone afterwards."""
        holder = await self.engines.holder()
        try:
            yield holder
        finally:
            await holder.kill()

    async def link(self) -> Linked:
        """Link a phone by QR."""
        phone = self.phone()
        database = self.database()
        linker = await self.pool.take()
        await linker.send(Start(database=database))
        qr = await until(linker, Qr)
        await phone.scan(qr.text)
        paired = await until(linker, Paired)
        await until(linker, Connected)
        await until(linker, Exited)
        settle(database)
        return Linked(phone, database, paired.jid)


async def until(stream: AsyncIterator[object], kind: type[E], seconds: float = SECONDS) -> E:
    """The next event of this kind; the others on the way are dropped, but for an end, which fails."""
    async with asyncio.timeout(seconds):
        async for event in stream:
            if isinstance(event, kind):
                return event
            assert not isinstance(event, Exited | Lost), event
    raise AssertionError(f"the stream ended without {kind.__name__}")


async def act(engines: Engines, what: str) -> Linker:
    """A linker of the pretended library that was told to do that."""
    linker = await engines.linker()
    await linker.send(Start(database=what))
    return linker


async def story(stream: AsyncIterator[object], seconds: float = SECONDS) -> list[object]:
    """All events up to the end."""
    async with asyncio.timeout(seconds):
        return [event async for event in stream]


async def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether the process, which need not be our child, is gone within the time."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = await asyncio.to_thread(select.select, [descriptor], [], [], seconds)
        return bool(ready)
    finally:
        os.close(descriptor)
