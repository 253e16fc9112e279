"""A holder process: keeps up to some hundred linked sessions logged in.

Measured for an idle session: 0.51 MB private (bare neonize: 0.55), one thread, 4.5 descriptors. The worker starts another
when it dies, and after some hundred starts, since a stopped session leaves descriptors and memory behind.
"""

import asyncio
import socket
from typing import assert_never

from shared.private import raise_descriptors
from workers.engine import protocol as pipe
from workers.engine.child.client import Library
from workers.engine.child.confine import seal
from workers.engine.child.contacts import look
from workers.engine.child.process import leave
from workers.engine.child.session import Session
from workers.engine.orders import Options
from workers.engine.pipe import Pipe

#: Threads of the executor: every session and every call needs one. With too few every call waits for ever, so these are
#: more than a holder can need. A thread is made only when needed.
THREADS = 4096


async def main(sock: socket.socket, options: Options) -> None:
    """Say `ready` and serve until the worker is gone."""
    raise_descriptors()  # a session needs 4.5 (its write-ahead log has some); the usual 1024 end at 220 sessions
    library = Library(options, THREADS)
    worker = await Pipe.open(sock, pipe.to_holder)
    await worker.send(pipe.Ready(held=seal()))
    await Holding(library, worker).serve()


class Holding:
    def __init__(self, library: Library, worker: Pipe[pipe.ToHolder]) -> None:
        self._library = library
        self._worker = worker
        self._sessions: dict[str, Session] = {}
        # Until nothing of that session is left here; a `release` ends the wait.
        self._waiting: dict[str, pipe.Hold] = {}
        self._stuck: list[Session] = []  # also keeps their clients from being collected

    async def serve(self) -> None:
        """Obey the worker. Each command runs on its own; starts take their turns in the library's lock."""
        async with asyncio.TaskGroup() as group:
            while (message := await self._worker.receive()) is not None:
                group.create_task(self._obey(message))
            leave()

    async def _obey(self, message: pipe.ToHolder) -> None:
        """Begin at once, in the order of the commands: a `release` ends a `hold` that waits."""
        if isinstance(message, pipe.Probe):
            await self._count()
            return
        name, session = message.session, self._sessions.get(message.session)
        match message:
            case pipe.Hold():
                await self._hold(message)
            case pipe.Release(patience=patience):
                self._waiting.pop(name, None)
                if session is not None:
                    session.release(patience)
                else:
                    await self._worker.send(pipe.Released(session=name))
            case pipe.LogOut() if session is not None:
                await session.log_out()
            case pipe.LogOut():
                await self._worker.send(pipe.Released(session=name, detail="not held"))
            case pipe.Send() if session is not None:
                await session.texts.send(message)
            case pipe.Send(message=text):
                await self._worker.send(pipe.SendFailed(session=name, message=text, reason="not held"))
            case pipe.Look(question=question, numbers=numbers):
                people = await look(session.client, numbers, session.number) if session and session.up else []
                await self._worker.send(pipe.Looked(session=name, question=question, people=people))
            case _:
                assert_never(message)

    async def _hold(self, hold: pipe.Hold) -> None:
        self._waiting[hold.session] = hold
        while self._is_waiting(hold) and (present := self._sessions.get(hold.session)) is not None and present.leaving:
            await present.gone.wait()
        if not self._is_waiting(hold):
            return
        del self._waiting[hold.session]
        if (present := self._sessions.get(hold.session)) is not None:
            await present.report_up()
            return
        session = self._sessions[hold.session] = Session(hold, self._library, self._worker.send)
        try:
            end = await session.live()
        except Exception as error:  # noqa: BLE001  (a bug: costs this session, not its neighbours, and is reported)
            session.stuck = True
            detail = f"internal: {type(error).__name__}"
            end = pipe.Lost(session=session.name, reason=pipe.LostReason.START_FAILED, detail=detail)
        del self._sessions[session.name]
        session.gone.set()
        await self._worker.send(end)
        await session.stop()
        if session.stuck:
            self._stuck.append(session)
            await self._count()

    async def _count(self) -> None:
        sessions, starts = len(self._sessions), self._library.starts
        await self._worker.send(pipe.Probed(sessions=sessions, starts=starts, stuck=len(self._stuck)))

    def _is_waiting(self, hold: pipe.Hold) -> bool:
        return self._waiting.get(hold.session) is hold
