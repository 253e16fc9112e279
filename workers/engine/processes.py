"""The worker's side of its engine processes. Imports no neonize: a panic of the library cannot reach the worker.

    async with Engines(Options(device_name="Salon")) as engines, LinkerPool(engines, spares=1) as pool:
        linker = await pool.take()                      # warm: ready for `start` at once
        await linker.send(Start(database="/absolute/path"))
        async for event in linker:                      # FromLinker messages, then one Exited, then the end
            ...
        await linker.kill()                             # idempotent; gone when it returns, within 1 s

        holder = await engines.holder()                 # ready; `send` ToHolder, iterate over FromHolder | Exited

* `Ready` is already consumed. Events are read only when asked for: nothing piles up here, a slow reader slows the child.
  `await anext(...)` may be cancelled (asyncio.timeout) without losing an event. One reader at a time.
* The last event is always `Exited`, whatever happened: a normal end, a panic, a kill, the zygote's death.
* When a linker's `Connected` comes out, its process is gone and the file that `start` named is the whole device, synced:
  no write-ahead log beside it.
* A child that says something outside the protocol is killed and `WrongMessage` raised; the next event is `Exited`.
* `send` raises `PipeClosed` when the child is gone: its `Exited` says why.
* `EngineFailed`: no child could be had. Retry later; the zygote is restarted by itself.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import structlog
from pydantic import TypeAdapter

from workers.engine.devices import settle
from workers.engine.orders import PACKET, Died, Fork, Forked, Kill, Options, Role, from_zygote
from workers.engine.pipe import Pipe, PipeClosed, WrongMessage
from workers.engine.protocol import (
    Connected,
    FromHolder,
    FromLinker,
    Hold,
    Line,
    LogOut,
    Probe,
    Ready,
    Release,
    RequestCode,
    Send,
    Start,
    from_holder,
    from_linker,
)

__all__ = [
    "EngineFailed",
    "Engines",
    "Exited",
    "Holder",
    "Linker",
    "LinkerPool",
    "Options",
    "PipeClosed",
    "WrongMessage",
]

log = structlog.get_logger()

T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M")
C = TypeVar("C", bound="Process[object]")

#: Until a child runs, and until it has loaded the library, in seconds (0.1 s when the machine is idle).
READY_LIMIT = 20.0
#: Until a killed child must be gone, in seconds, before its pid is signalled directly.
KILL_LIMIT = 0.8
#: Between the end of a child's pipe and its death, in seconds.
LINGER_LIMIT = 2.0
#: Between a take and the refill, in seconds: forking at once would take the processor from the click that waits.
REFILL_PAUSE = 0.3
#: Pauses between failures, in seconds: first and longest.
PAUSES = (0.1, 5.0)


class EngineFailed(Exception):
    """No engine process could be had, or it could not finish its work; the text says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The end of a process: its exit code, or the signal that killed it, and the first line of the panic if one did.

    `panic` is scrubbed and at most 200 characters: Go's `panic: …` or `fatal error: …`, or `fatal error: python
    <type> at <place>` for an error of our own in the child (code 70).
    """

    code: int | None
    signal: int | None
    panic: str | None = None


class Process(Generic[T_co]):
    """A running child: send to it, iterate over what it says."""

    def __init__(self, zygote: "_Zygote", key: int, pipe: Pipe[T_co]) -> None:
        self.pid: int | None = None
        self._zygote = zygote
        self._key = key
        self._pipe = pipe
        self._broken = False
        self._finished = False
        self.exited: asyncio.Future[Exited] = asyncio.get_running_loop().create_future()

    def __aiter__(self) -> AsyncIterator[T_co | Exited]:
        return self

    async def __anext__(self) -> T_co | Exited:
        if self._finished:
            raise StopAsyncIteration
        if not self._broken:
            try:
                message = await self._pipe.receive()
            except WrongMessage:
                self._broken = True
                await self.kill()
                raise
            if message is not None:
                return message
        exited = await self._gone(LINGER_LIMIT)
        self._finished = True
        self._pipe.close()
        return exited

    async def _send(self, message: Line) -> None:
        await self._pipe.send(message)

    async def kill(self) -> Exited:
        """SIGKILL; returns when it is gone. Idempotent."""
        if not self.exited.done():
            self._zygote.order(Kill(key=self._key))
        exited = await self._gone(KILL_LIMIT)
        self._pipe.close()
        return exited

    def close(self) -> None:
        """Close the pipe: the process ends by itself then, politely enough. Idempotent."""
        self._pipe.close()

    async def _gone(self, limit: float) -> Exited:
        """Its end, which is brought about if it does not come by itself."""
        await asyncio.wait({self.exited}, timeout=limit)
        if not self.exited.done() and self.pid is not None:
            # The zygote has not reaped it, so the pid is still its own.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            await asyncio.wait({self.exited}, timeout=KILL_LIMIT)
        if not self.exited.done():
            self.exited.set_result(Exited(None, signal.SIGKILL))
        return self.exited.result()


class Linker(Process[FromLinker]):
    """A process for one attempt."""

    _database: str | None = None
    _connected: Connected | None = None
    _settling: "asyncio.Future[None] | None" = None

    async def send(self, message: Start | RequestCode) -> None:
        """Raises `PipeClosed` when the process is gone."""
        if isinstance(message, Start):
            self._database = message.database
        await self._send(message)

    async def __anext__(self) -> FromLinker | Exited:
        if self._connected is None:
            event = await super().__anext__()
            if not isinstance(event, Connected):
                return event
            self._connected = event
        if self._settling is None:
            self._settling = asyncio.ensure_future(self._settle())
        # Shielded and kept: whoever cancels this call finds `Connected` again at the next.
        await asyncio.shield(self._settling)
        connected, self._connected = self._connected, None
        return connected

    async def _settle(self) -> None:
        await self._gone(LINGER_LIMIT)
        if self._database is None:
            raise EngineFailed("a linker connected that was never started")
        try:
            await asyncio.to_thread(settle, self._database)
        except (sqlite3.Error, OSError) as error:
            raise EngineFailed(f"the device file cannot be closed: {error}") from error


class Holder(Process[FromHolder]):
    """A process that holds many sessions."""

    async def send(self, message: Hold | Release | LogOut | Send | Probe) -> None:
        """Raises `PipeClosed` when the process is gone."""
        await self._send(message)


class _Zygote:
    """A running zygote and the children that it has."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self.pid = process.pid
        self._children: dict[int, Process[object]] = {}
        self._forked: dict[int, asyncio.Event] = {}
        self.gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(control, self._hear)

    def order(self, order: Fork | Kill, descriptor: int | None = None) -> None:
        """Send an order; if the zygote is gone, so are its children, and nothing is to be done."""
        with contextlib.suppress(OSError):
            socket.send_fds(
                self._control, [order.model_dump_json().encode()], [] if descriptor is None else [descriptor]
            )

    async def fork(self, fork: Fork, pipe: int, child: Process[object]) -> None:
        """Have the child forked; returns when it runs, or is gone without a pid."""
        self._children[fork.key] = child
        forked = self._forked[fork.key] = asyncio.Event()
        self.order(fork, pipe)
        if self.gone.is_set():
            self._bury(fork.key, Exited(None, signal.SIGKILL))
        await forked.wait()

    def _hear(self) -> None:
        while True:
            try:
                packet = self._control.recv(PACKET)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self.leave()
                return
            message = from_zygote.validate_json(packet)
            match message:
                case Forked(key=key, pid=pid):
                    self._children[key].pid = pid
                    self._forked.pop(key).set()
                case Died(key=key):
                    self._bury(key, Exited(message.code, message.signal, message.panic))

    def _bury(self, key: int, exited: Exited) -> None:
        child = self._children.pop(key, None)
        if child is not None and not child.exited.done():
            child.exited.set_result(exited)
        if forked := self._forked.pop(key, None):
            forked.set()

    def leave(self) -> None:
        """Let go of it: it ends by itself, and the kernel ends its children with it."""
        if not self.gone.is_set():
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self.gone.set()
            for key in list(self._children):
                self._bury(key, Exited(None, signal.SIGKILL))

    async def end(self) -> int:
        """Its exit code, once it has ended; it is killed if it does not by itself."""
        for child in self._children.values():
            child.close()
        self.leave()
        try:
            async with asyncio.timeout(LINGER_LIMIT):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()


class Engines:
    """The zygote, restarted when it dies, and the children it forks. An async context manager."""

    def __init__(self, options: Options, environment: Mapping[str, str] | None = None) -> None:
        """`environment` for the engine processes; None is the worker's own. Go reads HTTPS_PROXY and SSL_CERT_FILE from
        it, at the start of the process and never again."""
        self._options = options
        self._environment = environment
        self._key = 0
        self._zygote: _Zygote | None = None
        self._changed = asyncio.Condition()
        self._why = "it has not started yet"
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Every child is gone afterwards."""
        if self._keeper is not None:
            await _cancel(self._keeper)
        if self._zygote is not None:
            await self._zygote.end()

    @property
    def pid(self) -> int | None:
        """The zygote's, if it runs."""
        return None if self._zygote is None or self._zygote.gone.is_set() else self._zygote.pid

    async def linker(self) -> Linker:
        """A fresh linker, ready. `LinkerPool.take` has them warm. Raises `EngineFailed`."""
        return await self._ready(Linker, Role.LINKER, from_linker)

    async def holder(self) -> Holder:
        """A fresh holder, ready. Raises `EngineFailed`."""
        return await self._ready(Holder, Role.HOLDER, from_holder)

    async def _ready(self, make: Callable[[_Zygote, int, Pipe[M]], C], role: Role, incoming: TypeAdapter[M]) -> C:
        try:
            async with asyncio.timeout(READY_LIMIT):
                while (child := await self._fork(make, role, incoming)).pid is None:
                    child.close()  # the zygote died before it forked; wait for the next one
                try:
                    first = await anext(child)
                except BaseException:
                    await child.kill()
                    raise
        except TimeoutError:
            raise EngineFailed(f"no {role.value} within {READY_LIMIT:.0f} s; the zygote: {self._why}") from None
        except WrongMessage as error:
            raise EngineFailed(f"a {role.value} did not become ready: {error}") from None
        if not isinstance(first, Ready):
            await child.kill()
            raise EngineFailed(f"a {role.value} did not become ready: {first if isinstance(first, Exited) else '?'}")
        return child

    async def _fork(self, make: Callable[[_Zygote, int, Pipe[M]], C], role: Role, incoming: TypeAdapter[M]) -> C:
        async with self._changed:
            while (zygote := self._zygote) is None or zygote.gone.is_set():
                await self._changed.wait()
        self._key = key = self._key + 1
        ours, theirs = socket.socketpair()
        with theirs:
            child = make(zygote, key, await Pipe.open(ours, incoming))
            try:
                await zygote.fork(Fork(key=key, role=role, options=self._options), theirs.fileno(), child)
            except BaseException:
                await child.kill()
                raise
        return child

    async def _keep(self) -> None:
        """Keep a zygote running."""
        pause, longest = PAUSES
        while True:
            began = asyncio.get_running_loop().time()
            try:
                zygote = await _start_zygote(self._environment)
            except OSError as error:
                self._why = f"it cannot be started: {error}"
            else:
                async with self._changed:
                    self._zygote = zygote
                    self._changed.notify_all()
                await zygote.gone.wait()
                self._why = f"it ended with {await zygote.end()}"
            log.error("zygote.died", reason=self._why)
            pause = PAUSES[0] if asyncio.get_running_loop().time() - began > longest else min(2 * pause, longest)
            await asyncio.sleep(pause)


class LinkerPool:
    """Keeps `spares` linkers warm. An async context manager, inside that of `Engines`."""

    def __init__(self, engines: Engines, spares: int = 1) -> None:
        self._engines = engines
        self._spares = spares
        self._warm: list[Linker] = []
        self._short = asyncio.Event()
        self._filler: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._filler = asyncio.create_task(self._fill())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The spares are gone afterwards; linkers that were taken are not touched."""
        if self._filler is not None:
            await _cancel(self._filler)
        for linker in list(self._warm):
            await linker.kill()

    async def take(self) -> Linker:
        """A warm linker, or a fresh one if there is none. The caller kills it or reads it to its end.

        Raises `EngineFailed`.
        """
        if self._warm:
            linker = self._warm.pop(0)
            self._short.set()
            return linker
        return await self._engines.linker()

    async def _fill(self) -> None:
        pause, longest = PAUSES
        while True:
            if len(self._warm) >= self._spares:
                self._short.clear()
                await self._short.wait()
                await asyncio.sleep(REFILL_PAUSE)
                continue
            try:
                linker = await self._engines.linker()
            except EngineFailed as error:
                log.warning("linker.not_warm", reason=str(error))
                pause = min(2 * pause, longest)
                await asyncio.sleep(pause)
                continue
            pause = PAUSES[0]
            self._warm.append(linker)
            linker.exited.add_done_callback(self._miss)

    def _miss(self, _: object) -> None:
        for linker in [linker for linker in self._warm if linker.exited.done()]:
            self._warm.remove(linker)
            linker.close()
            self._short.set()


async def _start_zygote(environment: Mapping[str, str] | None) -> _Zygote:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "workers.engine.zygote",
            str(theirs.fileno()),
            str(os.getpid()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            cwd=Path(__file__).parents[2],
            env=environment,
            # Its own session: Ctrl-C in the worker's terminal is the worker's business.
            start_new_session=True,
        )
    return _Zygote(process, ours)


async def _cancel(task: "asyncio.Task[None]") -> None:
    """Cancel until it has ended: before Python 3.12 a cancel can be lost (docs: arq and redis)."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=1)
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
