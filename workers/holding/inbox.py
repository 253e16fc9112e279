"""Incoming messages of a worker's sessions, on their way to the integrator, in the order in which WhatsApp told them.

Nothing is kept but the event itself. While Redis is away some wait here; what finds no room is counted, and told.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError

from shared.core.ids import SessionId
from shared.core.messages import Incoming
from shared.state.inbound import InboundShelf
from workers.engine import protocol as pipe

log = structlog.get_logger()

MOST = 2000
"""Messages that wait for Redis, of all sessions of a worker."""
AGAIN_SECONDS = 1.0


class Inbox:
    """Everything that comes in for the sessions of one worker."""

    def __init__(self, shelf: InboundShelf, spawn: Callable[[Awaitable[None], str], None]) -> None:
        self._shelf = shelf
        self._spawn = spawn
        self._waiting: deque[pipe.Received] = deque()
        self._lost: dict[SessionId, int] = {}
        self._running = False

    def heard(self, event: pipe.Received) -> None:
        """A message has come in."""
        session = SessionId(event.session)
        if len(self._waiting) >= MOST:
            self._lost[session] = self._lost.get(session, 0) + 1
            return
        self._waiting.append(event)
        if not self._running:
            self._running = True
            self._spawn(self._run(), "inbox")

    async def _run(self) -> None:
        try:
            while self._waiting:
                event = self._waiting[0]
                try:
                    await self._keep(event)
                except (RedisError, OSError, TimeoutError) as error:
                    log.warning("inbox.delayed", session=event.session, error=type(error).__name__)
                    await asyncio.sleep(AGAIN_SECONDS)
                    continue
                self._waiting.popleft()
        finally:
            self._running = False

    async def _keep(self, event: pipe.Received) -> None:
        session = SessionId(event.session)
        lost = self._lost.get(session, 0)
        if not await self._shelf.put(session, _incoming(event), lost=lost):
            log.warning("inbox.full", session=session)
        elif lost:
            self._lost[session] -= lost


def _incoming(event: pipe.Received) -> Incoming:
    fields = event.model_dump(exclude={"type", "session"})
    return Incoming(**{**fields, "came": event.came.value})
