"""Warm linkers: a click shall not wait for a process to be forked and a library to be loaded."""

import asyncio
from typing import Self

from shared.log import log
from shared.tasks import cancelled
from workers.engine.processes import PAUSES, EngineFailed, Engines, Linker

#: Between a take and the refill, in seconds: forking at once would take the processor from the click that waits. Nor does
#: the pool fork while others wait for a fresh linker.
REFILL_PAUSE = 0.3


class LinkerPool:
    """Keeps `spares` linkers warm. An async context manager, inside that of `Engines`."""

    def __init__(self, engines: Engines, spares: int = 1) -> None:
        self._engines = engines
        self._spares = spares
        self._warm: list[Linker] = []
        self._short = asyncio.Event()
        self._awaited = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._filler: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._filler = asyncio.create_task(self._fill())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the spares. Linkers that were taken are left alone."""
        if self._filler is not None:
            await cancelled(self._filler)
        for linker in list(self._warm):
            await linker.kill()

    @property
    def is_warm(self) -> bool:
        return bool(self._warm)

    async def take(self) -> Linker:
        """A warm linker, or a fresh one if there is none. The caller kills it or reads it to its end.

        Raises `EngineFailed`.
        """
        if self._warm:
            linker = self._warm.pop(0)
            self._short.set()
            if linker.library == self._engines.library:
                return linker
            await linker.kill()
        self._awaited += 1
        self._calm.clear()
        try:
            return await self._engines.linker(awaited=True)
        finally:
            self._awaited -= 1
            if not self._awaited:
                self._calm.set()

    async def refresh(self) -> None:
        """Replace the spares that have another library loaded than fresh ones would."""
        for linker in [one for one in self._warm if one.library != self._engines.library]:
            await linker.kill()  # its end calls for another

    async def _fill(self) -> None:
        pause, longest = PAUSES
        while True:
            if len(self._warm) >= self._spares:
                self._short.clear()
                await self._short.wait()
                await asyncio.sleep(REFILL_PAUSE)
                await self._calm.wait()
                continue
            try:
                linker = await self._engines.linker()
            except EngineFailed as error:
                log.warning("linker.not_warm", reason=str(error))
                pause = min(2 * pause, longest)
                await asyncio.sleep(pause)
                continue
            pause = PAUSES[0]
            if linker.library != self._engines.library:  # changed meanwhile
                await linker.kill()
                continue
            self._warm.append(linker)
            linker.exited.add_done_callback(self._miss)

    def _miss(self, _: object) -> None:
        for linker in [linker for linker in self._warm if linker.exited.done()]:
            self._warm.remove(linker)
            linker.close()
            self._short.set()
