"""Waiting for background tasks and events, and ending tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import structlog

log = structlog.get_logger()

Spawn = Callable[[Awaitable[object], str], None]
"""Runs something beside everything else, under a name for the log. Its bugs are reported and end nothing but itself."""


async def happens(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for `event`, so many seconds at most. True if it has happened."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel `task` until it has ended. On Python 3.11 redis-py can lose a cancel (docs/adr), so ask again."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.5)  # not sooner: a second cancel would cut a clean-up short
    if not task.cancelled() and (error := task.exception()):
        log.warning("task.ended", error=type(error).__name__)
