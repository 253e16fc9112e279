"""Waiting for what will be and nobody announces, without guessing how long it takes; and what runs beside a test."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
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
