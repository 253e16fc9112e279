"""The places for attempts that a worker has."""

import asyncio
from collections.abc import Callable


class Places:
    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.on_free: Callable[[], None] = lambda: None
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def free(self) -> int:
        """Number of further attempts that may be served."""
        return self.most - self.taken

    def take(self) -> None:
        self.taken += 1
        self._empty.clear()

    def give_back(self) -> None:
        """Free a place, and tell who waits for one."""
        self.taken -= 1
        if not self.taken:
            self._empty.set()
        self.on_free()

    async def empty(self) -> None:
        """Wait until no attempt runs."""
        await self._empty.wait()
