"""Waiting for background tasks and events, and ending tasks."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, TypeVar

from redis.exceptions import RedisError

from shared.log import log

T = TypeVar("T")

TROUBLE = (RedisError, OSError)
"""Errors that background work outlives: of Redis, of the device store, of a connection; each `TimeoutError` is one."""

Spawn = Callable[[Awaitable[object], str], None]
"""Runs something beside everything else, under a name for the log. Its bugs are reported and end nothing but itself."""


class outlived(AbstractContextManager[Any]):  # noqa: N801 - as contextlib.suppress
    """Logs `TROUBLE` in its block as a warning, and goes on behind it."""

    def __init__(self, event: str, **about: object) -> None:
        self._event, self._about = event, about

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, TROUBLE):
            log.warning(self._event, **self._about, error=type(error).__name__)
        return isinstance(error, TROUBLE)


async def happens(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait for `event`, so many seconds at most. True if it has happened."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False


async def found(look: Callable[[], Awaitable[T | None]], seconds: float, pause: float) -> T | None:
    """Look, with a pause (s) after each look, until there is something; None if there is nothing after so many seconds. For
    what makes no event here, as it is in Redis."""
    end = time.monotonic() + seconds
    while not (seen := await look()) and time.monotonic() < end:  # noqa: ASYNC110 - it is in Redis
        await asyncio.sleep(pause)
    return seen


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel `task` until it has ended. On Python 3.11 redis-py can lose a cancel (docs/adr), so ask again."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.5)  # not sooner: a second cancel would cut a clean-up short
    if not task.cancelled() and (error := task.exception()):
        log.warning("task.ended", error=type(error).__name__)
