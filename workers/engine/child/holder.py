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
    """The sessions of the process."""

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
                match message:
                    case pipe.Hold():
                        self._waiting[message.session] = message
                        group.create_task(self._hold(message))
                    case pipe.Release():
                        await self._release(message)
                    case pipe.LogOut(session=name):
                        group.create_task(self._log_out(name))
                    case pipe.Send():
                        group.create_task(self._send(message))
                    case pipe.Look():
                        group.create_task(self._look(message))
                    case pipe.Probe():
                        await self._worker.send(
                            pipe.Probed(
                                sessions=len(self._sessions), starts=self._library.starts, stuck=len(self._stuck)
                            )
                        )
                    case _:
                        assert_never(message)
            leave()

    async def _hold(self, hold: pipe.Hold) -> None:
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
            end = pipe.Lost(
                session=session.name,
                reason=pipe.LostReason.START_FAILED,
                detail=f"internal: {type(error).__name__}",
                recycle=True,
            )
        if session.stuck:
            self._stuck.append(session)
        del self._sessions[session.name]
        session.gone.set()
        await self._worker.send(end)

    def _is_waiting(self, hold: pipe.Hold) -> bool:
        return self._waiting.get(hold.session) is hold

    async def _release(self, asked: pipe.Release) -> None:
        self._waiting.pop(asked.session, None)
        session = self._sessions.get(asked.session)
        if session is None:
            await self._worker.send(pipe.Released(session=asked.session))
        else:
            session.release(asked.patience)

    async def _log_out(self, name: str) -> None:
        session = self._sessions.get(name)
        if session is None:
            await self._worker.send(pipe.Released(session=name, detail="not held"))
        else:
            await session.log_out()

    async def _send(self, send: pipe.Send) -> None:
        session = self._sessions.get(send.session)
        if session is None:
            await self._worker.send(pipe.SendFailed(session=send.session, message=send.message, reason="not held"))
        else:
            await session.texts.send(send)

    async def _look(self, asked: pipe.Look) -> None:
        session = self._sessions.get(asked.session)
        people = await look(session.client, asked.numbers, session.number) if session is not None and session.up else []
        await self._worker.send(pipe.Looked(session=asked.session, question=asked.question, people=people))
