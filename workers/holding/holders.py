"""The holder processes of a worker: each session's place in one of them, and a fresh one for what dies or wears out.

One file, as to hold, to release and to move a session change the same table of places.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum

from shared.core.datum import asdict
from shared.core.ids import SessionId
from shared.log import log
from shared.tasks import Spawn, cancelled, happens
from shared.telemetry import sentry
from workers.capacity import SESSIONS_EACH
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed, Engines, Exited, Holder, PipeClosed, WrongMessage
from workers.holding.memory import memory_of

MOST_WEAR = 500
START_WEAR = 1
"""Each start leaves a file and 0.3 MB behind in the process for good, so it is replaced after so many."""
STUCK_WEAR = 10
"""A thread that never ends costs a little processor as well."""
TEXT_SECONDS = 45.0
MOVE_SECONDS = 75.0
"""A session that moves waits for the answer to a text that is under way (40 s at most), and for a dial (20 s at most)."""
WATCH_SECONDS = 30.0
RECYCLE_PAUSE_SECONDS = 3600.0

Hear = Callable[[pipe.FromHolder], Awaitable[None]]
HearDeath = Callable[[list[SessionId]], Awaitable[None]]


class Room(Enum):
    """The company of a session in its process: all others, fresh devices only, or nobody."""

    ORDINARY = "ordinary"
    SETTLING = "settling"
    ALONE = "alone"


_PLACES = {Room.ORDINARY: SESSIONS_EACH, Room.SETTLING: SESSIONS_EACH, Room.ALONE: 1}


class _Running:
    def __init__(self, holder: Holder, room: Room) -> None:
        self.holder = holder
        self.room = room
        self.sessions: dict[SessionId, pipe.Hold] = {}
        self.wear = self.stuck = 0
        self.reader: asyncio.Task[None]
        self.released: dict[SessionId, asyncio.Event] = {}


class Holders:
    """Starts holders as they are needed, and reads each in a task of its own."""

    def __init__(self, engines: Engines, spawn: Spawn) -> None:
        self._engines = engines
        self._spawn = spawn
        self._running: list[_Running] = []
        self._wanted: dict[SessionId, pipe.Hold] = {}  # looked at again whenever something was waited for
        self._closed = False
        self._starting = asyncio.Lock()
        self._hear: Hear
        self._died: HearDeath

    def listen(self, hear: Hear, died: HearDeath) -> None:
        """Name the functions that hear the holders' lines, and their deaths (with the sessions that were in there)."""
        self._hear = hear
        self._died = died

    async def hold(self, order: pipe.Hold, room: Room = Room.ORDINARY) -> None:
        """Have a session held by some process of this room. Raises the engine's `EngineFailed`.

        A session that is held already stays where it is; one that is released before a process is found is not held.
        """
        session = SessionId(order.session)
        if self._closed:
            return
        self._wanted[session] = order
        async with self._starting:
            running = self._of(session) or self._with_place(room)
            if running is None and self._wanted.get(session) is order:
                running = await self._another(room)
            if running is None or self._wanted.get(session) is not order:
                return
            running.sessions[session] = order
        await self._tell(running, order)
        self._wear(running, START_WEAR)

    def _with_place(self, room: Room) -> _Running | None:
        fresh = (one for one in self._running if one.wear < MOST_WEAR and not self._is_outdated(one))
        return next((one for one in fresh if one.room is room and len(one.sessions) < _PLACES[room]), None)

    def settling(self, session: SessionId) -> int | None:
        """The process in which a session settles; None if it does not."""
        running = self._of(session)
        return running.holder.pid if running is not None and running.room is Room.SETTLING else None

    async def move_in(self, session: SessionId) -> None:
        """Move a session that has settled in with the others."""
        running = self._of(session)
        if running is None or running.room is not Room.SETTLING:
            return
        try:
            if not await self._move(running, session, Room.ORDINARY):
                await running.holder.kill()  # it does not answer: its death moves all
        except EngineFailed:
            running.sessions.pop(session, None)
            self._spawn(self._died([session]), "holder")  # tried again, like those of a dead process
        self.retire()

    async def watch(self, most_mb: int) -> None:
        """Replace processes that have grown too large, one an hour at most, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            for running in self._running:
                if running.room is Room.ORDINARY and (size := memory_of(running.holder.pid)) > most_mb:
                    log.warning("holder.too-large", holder=running.holder.pid, mb=size, most=most_mb)
                    self._running.remove(running)
                    self._running.append(running)  # the others first, next time
                    self._wear(running, MOST_WEAR)
                    await asyncio.sleep(RECYCLE_PAUSE_SECONDS)
                    break

    def _is_outdated(self, running: _Running) -> bool:
        """True if fresh processes load another library than this one, which keeps what it holds and gets no more."""
        return running.holder.library != self._engines.library

    def retire(self) -> None:
        """End the processes that hold nothing and shall get nothing: their memory goes with them."""
        for running in [one for one in self._running if not one.sessions]:
            if running.room is Room.ORDINARY and not self._is_outdated(running):
                continue
            self._running.remove(running)
            self._spawn(running.holder.kill(), "retire")

    async def _another(self, room: Room) -> _Running | None:
        running = _Running(await self._engines.holder(), room)
        if self._closed:
            await running.holder.kill()
            return None
        self._running.append(running)
        log.info("holder.started", holder=running.holder.pid, room=room.value)
        running.reader = asyncio.create_task(self._read(running))
        return running

    def _wear(self, running: _Running, wear: int) -> None:
        before, running.wear = running.wear, running.wear + wear
        if before < MOST_WEAR <= running.wear:
            self._spawn(self._recycle(running), "recycle")

    async def _recycle(self, worn: _Running) -> None:
        """Move a worn process' sessions to a fresh one, one after the other: released first, then held."""
        log.info("holder.recycling", sessions=len(worn.sessions))
        for session in list(worn.sessions):
            try:
                if not await self._move(worn, session, worn.room):
                    break  # it does not answer: its death moves the rest
            except EngineFailed:
                break  # its death moves this one with the rest
        await worn.holder.kill()

    async def _move(self, running: _Running, session: SessionId, room: Room) -> bool:
        """Have a session of this process held by another one. Return True if this one still answers.

        Texts that are under way are answered before the session is released. Raises `EngineFailed`: then the session still
        counts as held here.
        """
        order = running.sessions.get(session)
        if order is None:
            return True
        # Its connection is closed: texts wait meanwhile, and are not handed to a process that lets the session go.
        await self._heard(running, pipe.Dropped(session=session))
        released = running.released[session] = asyncio.Event()
        await self._tell(running, pipe.Release(session=session, patience=TEXT_SECONDS))
        if not await happens(released, MOVE_SECONDS):
            return False
        if running.sessions.pop(session, None) is None:
            return True
        try:
            await self.hold(order, room)
        except EngineFailed:
            if self._wanted.get(session) is order:
                running.sessions[session] = order
            raise
        return True

    async def send(self, session: SessionId, order: pipe.Send | pipe.Look | pipe.LogOut) -> bool:
        """Give an order to the process that holds its session. Return True if one does."""
        running = self._of(session)
        return running is not None and await self._tell(running, order)

    async def release(self, session: SessionId) -> None:
        """Close the session's connection, if it has one. The device stays linked."""
        self._wanted.pop(session, None)
        running = self._of(session)
        if running is not None:
            running.sessions.pop(session, None)
            await self._tell(running, pipe.Release(session=session))
            self.retire()

    async def close(self) -> None:
        """End every process, and with it every connection. From then on nothing is held here."""
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
            self.retire()
        if isinstance(event, pipe.Probed):
            more, running.stuck = event.stuck - running.stuck, event.stuck
            self._wear(running, STUCK_WEAR * more)
        try:
            await self._hear(event)
        except Exception as error:  # noqa: BLE001 - one session's trouble must not deafen the others
            sentry.report("holder", error)

    async def _read(self, running: _Running) -> None:
        try:
            async for event in running.holder:
                if isinstance(event, Exited):
                    log.warning("holder.ended", **asdict(event))
                else:
                    await self._heard(running, event)
        except WrongMessage as error:
            log.error("holder.garbled", error=str(error))  # noqa: TRY400 - the trace adds nothing
        if running in self._running:
            self._running.remove(running)
            if running.sessions:
                sentry.engine_died("holder", **asdict(await running.holder.exited))
                self._spawn(self._died(sorted(running.sessions)), "holder")
