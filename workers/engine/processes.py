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
* A child that says something outside the protocol is killed and `WrongMessage` raised; the next event is `Exited`.
* `send` raises `PipeClosed` when the child is gone: its `Exited` says why.
* `EngineFailed`: no child could be had. Retry later; the zygote is restarted by itself.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self, TypeVar

from msgspec.json import Decoder

from shared.core.datum import replace
from shared.log import log
from shared.tasks import cancelled
from shared.telemetry import sentry
from workers.engine import protocol
from workers.engine.orders import Alive, Exited, Fork, Options, Role
from workers.engine.parent import Process, ZygoteHandle
from workers.engine.pipe import Pipe, PipeClosed, WrongMessage

__all__ = ["EngineFailed", "Engines", "Exited", "Holder", "Linker", "Options", "PipeClosed", "WrongMessage"]

M = TypeVar("M")
C = TypeVar("C", bound=Process[Any, object])

#: Until a child runs, and until it has loaded the library, in seconds (0.1 s when the machine is idle).
READY_LIMIT = 20.0
#: Pauses between failures, in seconds: first and longest.
PAUSES = (0.1, 5.0)


class EngineFailed(Exception):
    """No engine process could be had; the text says why, and holds no secret."""


Linker = Process[protocol.ToLinker, protocol.FromLinker]
"""A process for one attempt."""
Holder = Process[protocol.ToHolder, protocol.FromHolder]
"""A process that holds many sessions."""


class Engines:
    """The zygote, restarted when it dies, and the children it forks. An async context manager."""

    def __init__(
        self,
        options: Options,
        environment: Mapping[str, str] | None = None,
        *,
        heap_mb: int | None = None,
        life_line: int | None = None,
    ) -> None:
        """`heap_mb`: what Go shall try to keep below in each process; it holds no more than it must, but never less
        than it needs. `environment` for the engine processes; None is the worker's own. Go reads HTTPS_PROXY and SSL_CERT_FILE from
        it, at the start of the process and never again. `life_line`: the descriptor that each of them holds while it
        lives (`workers/lastwill/`)."""
        self._options = options
        self._start = partial(ZygoteHandle.start, environment, heap_mb, life_line)
        self._key = 0
        self.held = "unknown"
        """By what the kernel holds the newest child; `unknown` before the first."""
        self._zygote: ZygoteHandle | None = None
        self._changed = asyncio.Condition()
        self._why = "it has not started yet"
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Every child is gone afterwards."""
        if self._keeper is not None:
            await cancelled(self._keeper)
        if self._zygote is not None:
            await self._zygote.end()

    @property
    def pid(self) -> int | None:
        """The zygote's, if it runs."""
        return None if self._zygote is None or self._zygote.gone.is_set() else self._zygote.pid

    @property
    def library(self) -> str | None:
        """The file that fresh processes load in place of the installed library."""
        return self._options.library

    def use(self, library: str | None) -> None:
        """Have processes that are forked from now on load this file; None is the installed library."""
        self._options = replace(self._options, library=library)

    def alive(self, seconds: float) -> None:
        """Let every child live for so many seconds. Say it again in time, or the zygote kills them all."""
        if self._zygote is not None:
            self._zygote.order(Alive(seconds=seconds))

    async def linker(self, *, awaited: bool = False) -> Linker:
        """A fresh linker, ready, and warm unless it is `awaited`: `LinkerPool.take` has them warm. Raises `EngineFailed`."""
        return await self._ready(Linker, Role.LINKER, protocol.from_linker, awaited=awaited)

    async def try_library(self, library: str) -> None:
        """Load the file once, in a process of its own. Raises `EngineFailed` when it does not load."""
        await (await self._ready(Linker, Role.LINKER, protocol.from_linker, library=library)).kill()

    async def holder(self) -> Holder:
        """A fresh holder, ready. Raises `EngineFailed`."""
        return await self._ready(Holder, Role.HOLDER, protocol.from_holder)

    async def _ready(
        self, make: Callable[[ZygoteHandle, int, Pipe[M]], C], role: Role, incoming: Decoder[M], **changed: object
    ) -> C:
        options = replace(self._options, **changed)
        try:
            async with asyncio.timeout(READY_LIMIT):
                while (child := await self._fork(make, role, incoming, options)).pid is None:
                    child.close()
                    if (panic := child.exited.result().panic) is not None:
                        raise EngineFailed(f"no {role.value} could be forked: {panic}")
                    # The zygote died before it forked; wait for the next one.
                try:
                    first = await anext(child)
                except BaseException:
                    await child.kill()
                    raise
        except TimeoutError:
            raise EngineFailed(f"no {role.value} within {READY_LIMIT:.0f} s; the zygote: {self._why}") from None
        except WrongMessage as error:
            raise EngineFailed(f"a {role.value} did not become ready: {error}") from None
        if not isinstance(first, protocol.Ready):
            await child.kill()
            raise EngineFailed(f"a {role.value} did not become ready: {first if isinstance(first, Exited) else '?'}")
        self.held = first.held
        return child

    async def _fork(
        self, make: Callable[[ZygoteHandle, int, Pipe[M]], C], role: Role, incoming: Decoder[M], options: Options
    ) -> C:
        async with self._changed:
            while (zygote := self._zygote) is None or zygote.gone.is_set():
                await self._changed.wait()
        self._key = key = self._key + 1
        ours, theirs = socket.socketpair()
        with theirs:
            child = make(zygote, key, await Pipe.open(ours, incoming))
            child.library = options.library
            try:
                await zygote.fork(Fork(key=key, role=role, options=options), theirs.fileno(), child)
            except BaseException:
                await child.kill()
                raise
        return child

    async def _keep(self) -> None:
        pause, longest = PAUSES
        while True:
            began = asyncio.get_running_loop().time()
            try:
                zygote = await self._start()
            except OSError as error:
                self._why = f"it cannot be started: {error}"
            else:
                async with self._changed:
                    self._zygote = zygote
                    self._changed.notify_all()
                await zygote.gone.wait()
                self._why = f"it ended with {await zygote.end()}"
            log.error("zygote.died", reason=self._why)
            sentry.engine_died("zygote", code=None, signal=None, panic=self._why)
            pause = PAUSES[0] if asyncio.get_running_loop().time() - began > longest else min(2 * pause, longest)
            await asyncio.sleep(pause)
