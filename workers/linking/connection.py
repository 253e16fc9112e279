"""One connection of an attempt to WhatsApp: a linker process of its own, what it says, and the file it pairs into."""

import asyncio
from collections.abc import Callable

from shared.log import log
from shared.tasks import cancelled
from workers.engine import protocol as pipe
from workers.engine.parent import LINGER_LIMIT
from workers.engine.processes import Exited, Linker, PipeClosed, WrongMessage
from workers.linking.course import LinkerEvent
from workers.store.scratch import discard

Heard = LinkerEvent | WrongMessage


class LinkerConnection:
    """Made with a linker that waits for its start. Nothing of it is left once it is closed."""

    def __init__(self, linker: Linker, scratch: str, tell: Callable[["LinkerConnection", Heard], None]) -> None:
        """`tell` hears everything that the linker says, the last time of its end."""
        self.scratch = scratch
        self.library = linker.library
        self._linker = linker
        self._tell = tell
        self.listening = asyncio.create_task(self._listen())  # until the linker is gone
        self._killing: asyncio.Task[Exited] | None = None

    async def send(self, message: pipe.Start | pipe.RequestCode) -> None:
        """Tell the linker. If it is gone, nothing happens: its end is heard in turn."""
        try:
            await self._linker.send(message)
        except PipeClosed:
            log.debug("linker.closed")

    def kill(self) -> None:
        """Kill the linker now, whatever anybody waits for. To be closed all the same."""
        self._killing = asyncio.create_task(self._linker.kill())

    async def close(self, *, keep: bool = False) -> None:
        """Kill the linker, and throw its file away, but not if somebody shall `keep` it. Idempotent."""
        await self._linker.kill()
        await cancelled(self.listening)
        if not keep:
            discard(self.scratch)

    async def _listen(self) -> None:
        try:
            async for event in self._linker:
                if isinstance(event, pipe.Connected):  # its file is whole when it is gone
                    await self._linker.gone(LINGER_LIMIT)
                self._tell(self, event)
        except WrongMessage as error:
            self._tell(self, error)
