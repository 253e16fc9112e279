"""Has fresh devices settle in processes of their own, while WhatsApp pours months of history into them.

Measured: a chunk of 20,000 messages takes 80 MB while it is read, and five companies at once took 677 MB. So only a
few sessions are loud at the same time, in a process that holds no session linked long ago. When that process is empty
it ends, and its memory is free again.
"""

import asyncio
from contextlib import ExitStack, suppress

from shared.core.ids import SessionId
from shared.tasks import Spawn
from workers.engine import protocol as pipe
from workers.holding.holders import Holders, Room
from workers.holding.memory import memory_of

LOOK_SECONDS = 2.0
GROWTH_MB = 2
"""A process that grows by less between two looks is at rest."""
LOUD_SECONDS = 15.0
"""A session is loud for at least this time, and for as long as its process grows. The history begins within seconds."""
REST_SECONDS = 40.0
"""After so long without growth a session moves in with the others."""
MOST_SECONDS = 600.0
PATIENCE_SECONDS = 3.0
"""A fresh device waits for its turn to be loud no longer than this: its owner was told that it is linked."""
SESSIONS_PER_LOUD = 75
"""A worker has one loud session at a time for each so many that it may hold: they have 256 MB of memory together."""


class Settling:
    def __init__(self, holders: Holders, most: int, spawn: Spawn) -> None:
        self._holders = holders
        self._spawn = spawn
        self._loud = asyncio.Semaphore(max(1, most // SESSIONS_PER_LOUD))

    async def hold(self, order: pipe.Hold) -> None:
        """Have a fresh device held, when it is its turn to be loud. Raises `EngineFailed`."""
        with ExitStack() as turn:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._loud.acquire()
                    turn.callback(self._loud.release)
            await self._holders.hold(order, Room.SETTLING)
            self._spawn(self._settle(SessionId(order.session), turn.pop_all()), "settle")

    async def _settle(self, session: SessionId, turn: ExitStack) -> None:
        clock = asyncio.get_running_loop().time
        began = grew = clock()
        size = memory_of(self._holders.settling(session))
        with turn:
            while (pid := self._holders.settling(session)) is not None:
                await asyncio.sleep(LOOK_SECONDS)
                now, before, size = clock(), size, memory_of(pid)
                if size >= before + GROWTH_MB:
                    grew = now
                if now - max(began, grew) >= LOUD_SECONDS:
                    turn.close()
                if now - max(began, grew) >= REST_SECONDS or now - began >= MOST_SECONDS:
                    break
        await self._holders.move_in(session)
