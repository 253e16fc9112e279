"""Waiting for what will be and nobody announces, without guessing how long it takes; and what runs beside a test."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from shared.tasks import cancelled

T = TypeVar("T")


async def until(true: Callable[[], Any] | Callable[[], Awaitable[Any]], seconds: float = 20) -> Any:
    """The first true answer of a question that is asked again and again; it may be a coroutine function."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if inspect.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.02)


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Runs `work` beside the block, such as a gauge or an asker, and cancels it at the block's end.

    Raises what the work died of, also where the block has failed by it: a test that goes on without its gauge looks at
    stale numbers.
    """
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await cancelled(task)
        if not task.cancelled():
            task.result()


@contextmanager
def played_time() -> Iterator[None]:
    """In the block, and after it, the clock of the running loop is played: it stands still while anything is done, and jumps to
    what is due next instead of waiting for it. How busy the machine is takes no time then. Nothing in the block may wait for IO.
    """
    loop: Any = asyncio.get_running_loop()
    really, select, stands = loop.time, loop._selector.select, loop.time()

    def jump(timeout: float | None) -> Any:
        nonlocal stands
        if timeout is None or (found := select(0)):
            return select(timeout) if timeout is None else found
        stands += timeout
        return []

    loop.time, loop._selector.select = (lambda: stands), jump
    try:
        yield
    finally:
        gone = stands - really()
        loop.time, loop._selector.select = (lambda: really() + gone), select
