"""Full garbage collections: seldom, and not while thousands of sockets wait for them.

A full collection visits every living object, 155 for each socket, and web stands still meanwhile: for 64 ms to 1.2 s
at a time while 5,000 sockets were opened. By itself Python collects whenever the heap has grown by a quarter. Full
collections are needed for the cycles that closed sockets leave, 99 objects each. So one comes when as many sockets
have closed as are open. Garbage then never weighs more than what is in use.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator

FEWEST = 1000
"""Fewer closed sockets than this are not worth a collection."""
LONGEST_SECONDS = 600.0
"""The longest time between two collections, since requests leave a cycle now and then as well."""
NEVER = 1_000_000
"""Collections of the second generation before the oldest is collected. Python collects the others by its own rule."""


class Garbage:
    """One for each process. `collect` is a full collection."""

    def __init__(self, collect: Callable[[], object] = gc.collect) -> None:
        self._collect = collect
        self._open = 0
        self._closed = 0

    @contextlib.contextmanager
    def socket(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._closed += 1
            if self._closed >= max(FEWEST, self._open):
                # Soon, not now: the closing socket is still on the stack.
                asyncio.get_running_loop().call_soon(self._collect_all)

    async def run(self) -> None:
        """Collect every `LONGEST_SECONDS` or sooner, until cancelled. What lives already, such as code, is exempt."""
        before = gc.get_threshold()
        self._collect()
        gc.freeze()
        gc.set_threshold(*before[:2], NEVER)
        try:
            while True:
                await asyncio.sleep(LONGEST_SECONDS)
                self._collect_all()
        finally:
            gc.set_threshold(*before)
            gc.unfreeze()

    def _collect_all(self) -> None:
        if self._closed:
            self._closed = 0
            self._collect()
