"""Waiting for what will be and nobody announces, without guessing how long it takes."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any


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
