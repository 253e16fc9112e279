"""When Python looks through everything for garbage: not while thousands of sockets wait for it.

A full collection visits every object that lives, 155 for each socket, and web stands still meanwhile: while 5,000 were
opened, for 64 ms to 1.2 s at a time. By itself Python does that whenever the heap has grown by a quarter. What it is needed for are the cycles that a
closed socket leaves, 99 objects each. So full collections come when as many sockets have closed as are open: their cost
is shared by all of those, and what waits for them never weighs more than what is in use.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator

FEWEST = 1000
"""Closed sockets that are not worth a collection, however few are open."""
LONGEST_SECONDS = 600.0
"""Requests leave a cycle now and then as well: so often everything is looked through in any case."""
NEVER = 1_000_000
"""Younger generations are collected by Python's own rule; the oldest not before so many collections of the second."""


class Garbage:
    """One a process. `collect` looks through everything."""

    def __init__(self, collect: Callable[[], object] = gc.collect) -> None:
        self._collect = collect
        self._open = 0
        self._closed = 0

    @contextlib.contextmanager
    def socket(self) -> Iterator[None]:
        """A socket's life."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._closed += 1
            if self._closed >= max(FEWEST, self._open):
                # Soon, not now: the socket that closes is still on the stack.
                asyncio.get_running_loop().call_soon(self._collect_all)

    async def run(self) -> None:
        """Until cancelled, see to it that nothing waits for ever. What lives already, the code, is set aside for good."""
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
