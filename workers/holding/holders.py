"""The holder processes of a worker: which session lives in which, and what to do when one dies or wears out."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from shared.core.ids import SessionId
from shared.tasks import cancelled
from shared.telemetry import sentry
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed, Engines, Exited, Holder, PipeClosed, WrongMessage

log = structlog.get_logger()

SESSIONS_EACH = 300
"""A process holds this many: about 220 MB, and a death costs no more than these. Each further process is 31 MB more."""

MOST_WEAR = 500
START_WEAR = 1
"""Each start leaves a file and 0.3 MB behind in the process for good: after 500 it is replaced."""
STUCK_WEAR = 10
"""A thread that never ends costs a little processor as well."""
RELEASE_SECONDS = 10.0

Hear = Callable[[pipe.FromHolder], Awaitable[None]]
Died = Callable[[list[SessionId]], Awaitable[None]]


class _Running:
    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.sessions: dict[SessionId, pipe.Hold] = {}
        self.wear = 0
        self.reader: asyncio.Task[None]
        self.released: dict[SessionId, asyncio.Event] = {}


class Holders:
    """Starts holders as they are needed; one reader task each."""

    def __init__(self, engines: Engines, spawn: Callable[[Awaitable[None], str], None]) -> None:
        self._engines = engines
        self._spawn = spawn
        self._running: list[_Running] = []
        self._wanted: dict[SessionId, pipe.Hold] = {}  # looked at again whenever something was waited for
        self._closed = False
        self._starting = asyncio.Lock()
        self._hear: Hear
        self._died: Died

    def listen(self, hear: Hear, died: Died) -> None:
        """Who hears what holders say, and of their deaths (with the sessions that were in there)."""
        self._hear = hear
        self._died = died

    async def hold(self, order: pipe.Hold) -> None:
        """Have a session held by some process, unless it is released before one is found. Raises the engine's
        `EngineFailed`."""
        session = SessionId(order.session)
        if self._closed:
            return
        self._wanted[session] = order
        async with self._starting:
            running = self._of(session) or self._with_room()
            if running is None and self._wanted.get(session) is order:
                running = await self._another()
            if running is None or self._wanted.get(session) is not order:
                return
            running.sessions[session] = order
        await self._tell(running, order)
        self._wear(running, START_WEAR)

    def _with_room(self) -> _Running | None:
        fresh = (one for one in self._running if one.wear < MOST_WEAR and not self._is_outdated(one))
        return next((one for one in fresh if len(one.sessions) < SESSIONS_EACH), None)

    def _is_outdated(self, running: _Running) -> bool:
        """It has loaded another library than fresh processes do: it keeps what it holds, and gets nothing more."""
        return running.holder.library != self._engines.library

    def retire(self) -> None:
        """End the outdated processes that hold nothing any more."""
        for running in [one for one in self._running if self._is_outdated(one) and not one.sessions]:
            self._running.remove(running)
            self._spawn(self._end(running), "retire")

    @staticmethod
    async def _end(running: _Running) -> None:
        await running.holder.kill()

    async def _another(self) -> _Running | None:
        running = _Running(await self._engines.holder())
        if self._closed:
            await running.holder.kill()
            return None
        self._running.append(running)
        log.info("holder.started", holder=running.holder.pid)
        running.reader = asyncio.create_task(self._read(running))
        return running

    def _wear(self, running: _Running, wear: int) -> None:
        before, running.wear = running.wear, running.wear + wear
        if before < MOST_WEAR <= running.wear:
            self._spawn(self._recycle(running), "recycle")

    async def _recycle(self, worn: _Running) -> None:
        """Move a worn process' sessions to a fresh one, one after the other: released first, then held."""
        log.info("holder.recycling", sessions=len(worn.sessions))
        for session, order in list(worn.sessions.items()):
            # Its connection is closed: texts wait meanwhile, and are not handed to a process that lets the session go.
            await self._heard(worn, pipe.Dropped(session=session))
            released = worn.released[session] = asyncio.Event()
            await self._tell(worn, pipe.Release(session=session))
            try:
                async with asyncio.timeout(RELEASE_SECONDS):
                    await released.wait()
            except TimeoutError:
                break  # it does not answer: its death moves the rest
            if worn.sessions.pop(session, None) is None:
                continue
            try:
                await self.hold(order)
            except EngineFailed:
                if self._wanted.get(session) is order:
                    worn.sessions[session] = order
                break  # its death moves this one with the rest
        await worn.holder.kill()

    async def send(self, session: SessionId, order: pipe.Send | pipe.Look | pipe.LogOut) -> bool:
        """Tell the process that holds the session; whether one does."""
        running = self._of(session)
        return running is not None and await self._tell(running, order)

    async def release(self, session: SessionId) -> None:
        """Close the session's connection; the device stays linked. Idempotent."""
        self._wanted.pop(session, None)
        running = self._of(session)
        if running is not None:
            running.sessions.pop(session, None)
            await self._tell(running, pipe.Release(session=session))
            self.retire()

    async def close(self) -> None:
        """End every process, and with it every connection; nothing is held any more. Idempotent."""
        self._closed = True
        self._wanted.clear()
        running, self._running = self._running, []
        for one in running:
            await one.holder.kill()
            await cancelled(one.reader)

    def _of(self, session: SessionId) -> _Running | None:
        return next((one for one in self._running if session in one.sessions), None)

    async def _tell(self, running: _Running, order: pipe.ToHolder) -> bool:
        try:
            await running.holder.send(order)
        except PipeClosed:
            log.debug("holder.closed")  # its reader learns of the end and has the sessions taken up again
            return False
        return True

    async def _heard(self, running: _Running, event: pipe.FromHolder) -> None:
        if isinstance(event, pipe.Released) and (moving := running.released.pop(SessionId(event.session), None)):
            moving.set()
            return
        if isinstance(event, pipe.Lost):
            session = SessionId(event.session)
            order = running.sessions.pop(session, None)
            if order is not None and self._wanted.get(session) is order:
                del self._wanted[session]
            if event.recycle:
                self._wear(running, STUCK_WEAR)
            self.retire()
        try:
            await self._hear(event)
        except Exception as error:  # noqa: BLE001 - one session's trouble must not deafen the others
            sentry.report("holder", error)

    async def _read(self, running: _Running) -> None:
        try:
            async for event in running.holder:
                if isinstance(event, Exited):
                    log.warning("holder.ended", code=event.code, signal=event.signal, panic=event.panic)
                else:
                    await self._heard(running, event)
        except WrongMessage as error:
            log.error("holder.garbled", error=str(error))  # noqa: TRY400 - the trace adds nothing
        if running in self._running:
            self._running.remove(running)
            if running.sessions:
                end = await running.holder.exited
                sentry.engine_died("holder", code=end.code, signal=end.signal, panic=end.panic)
                self._spawn(self._died(sorted(running.sessions)), "holder")
