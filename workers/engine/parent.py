"""The zygote and a child of it, as the worker sees them."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, cast

from msgspec.json import encode

from shared.core import clock
from shared.core.datum import replace
from workers.engine.orders import GARBAGE, PACKET, Alive, Died, Exited, Fork, Forked, Kill, from_zygote
from workers.engine.pipe import Pipe, WrongMessage
from workers.engine.protocol import Line

T_co = TypeVar("T_co", covariant=True)
S_contra = TypeVar("S_contra", bound=Line, contravariant=True)

#: For the library, which reads its environment as it was when the process started. By default it marks each text to one
#: person with `<bot biz_bot="1"/>`, for which the recipient sees an "AI" label.
_NO_MARK = {"NEONIZE_BOT_TAG": "off"}
#: Until a killed child must be gone, in seconds, before its pid is signalled directly.
KILL_LIMIT = 0.8
#: Between the end of a child's pipe and its death, in seconds.
LINGER_LIMIT = 2.0


#: What an engine process may find in its environment: where things are, how to reach WhatsApp, how Go and Python run.
#: Everything else, every secret of the worker among it, stays with the worker. `WA_` begins what the emulator and the
#: tests tell their own.
_KNOWN = frozenset(
    {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {"HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "all_proxy", "no_proxy"}
)
_BEGINNINGS = ("LC_", "PYTHON", "GO", "LD_", "MALLOC_", "FAKETIME", "WA_")


def engine_environment() -> dict[str, str]:
    """Of this process' environment, what its engine processes may have."""
    return {name: value for name, value in os.environ.items() if name in _KNOWN or name.startswith(_BEGINNINGS)}


class Process(Generic[S_contra, T_co]):
    """A running child: send it messages of the union `S_contra`, iterate over what it says, of `T_co`."""

    def __init__(self, zygote: "ZygoteHandle", key: int, pipe: Pipe[T_co]) -> None:
        self.pid: int | None = None
        self.library: str | None = None  # the file that it has loaded in place of the installed one
        self._zygote = zygote
        self._key = key
        self._pipe = pipe
        self._broken = False
        self._finished = False
        self.begun = asyncio.Event()  # it runs, or never will
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
                return _by_our_clock(message)
        exited = await self.gone(LINGER_LIMIT)
        self._finished = True
        self._pipe.close()
        return exited

    async def send(self, message: S_contra) -> None:
        """Raises `PipeClosed` when the process is gone."""
        await self._pipe.send(message)

    async def kill(self) -> Exited:
        """SIGKILL; returns when it is gone. Idempotent."""
        if not self.exited.done():
            self._zygote.order(Kill(key=self._key))
        exited = await self.gone(KILL_LIMIT)
        self._pipe.close()
        return exited

    def close(self) -> None:
        """Close the pipe: the process ends by itself then, politely enough. Idempotent."""
        self._pipe.close()

    async def gone(self, limit: float) -> Exited:
        """Wait for the process' end, and bring it about if it does not come by itself."""
        await asyncio.wait({self.exited}, timeout=limit)
        if not self.exited.done() and self.pid is not None:
            # The zygote has not reaped it, so the pid is still its own.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            await asyncio.wait({self.exited}, timeout=KILL_LIMIT)
        if not self.exited.done():
            self.exited.set_result(Exited(None, signal.SIGKILL))
        return self.exited.result()


class ZygoteHandle:
    """A running zygote and the children that it has."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self.pid = process.pid
        self._children: dict[int, Process[Any, object]] = {}
        self.gone = asyncio.Event()
        asyncio.get_running_loop().add_reader(control, self._hear)

    def order(self, order: Fork | Kill | Alive, descriptor: int | None = None) -> None:
        """Send an order; if the zygote is gone, so are its children, and nothing is to be done."""
        with contextlib.suppress(OSError):
            socket.send_fds(self._control, [encode(order)], [] if descriptor is None else [descriptor])

    async def fork(self, fork: Fork, pipe: int, child: Process[Any, object]) -> None:
        """Have the child forked; returns when it runs, or is gone without a pid."""
        self._children[fork.key] = child
        self.order(fork, pipe)
        if self.gone.is_set():
            self._bury(fork.key, Exited(None, signal.SIGKILL))
        await child.begun.wait()

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
            message = from_zygote.decode(packet)
            match message:
                case Forked(key=key, pid=pid):
                    self._children[key].pid = pid
                    self._children[key].begun.set()
                case Died(key=key, exited=exited):
                    self._bury(key, exited)

    def _bury(self, key: int, exited: Exited) -> None:
        child = self._children.pop(key)
        if not child.exited.done():
            child.exited.set_result(exited)
        child.begun.set()

    def leave(self) -> None:
        """Let go of it: it ends by itself, and the kernel ends its children with it."""
        if not self.gone.is_set():
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            self.gone.set()
            for key in list(self._children):
                self._bury(key, Exited(None, signal.SIGKILL))

    async def end(self) -> int:
        """Wait for the end of the process, and kill it if none comes. Return its exit code."""
        for child in self._children.values():
            child.close()
        self.leave()
        try:
            async with asyncio.timeout(LINGER_LIMIT):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    @classmethod
    async def start(
        cls, environment: Mapping[str, str] | None, heap_mb: int | None = None, life_line: int | None = None
    ) -> Self:
        """A new zygote with this environment, or with the worker's own. `heap_mb` is what Go shall try to keep below in
        each of its children, unless the environment says so itself. `life_line` is a descriptor that the zygote and its
        children hold for as long as they live. Raises OSError."""
        limits = {} if heap_mb is None else {"GOMEMLIMIT": f"{heap_mb}MiB", "GOGC": GARBAGE}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        lines = () if life_line is None else (life_line,)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "workers.engine.child.zygote",
                str(theirs.fileno()),
                str(os.getpid()),
                *map(str, lines),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *lines),
                cwd=Path(__file__).parents[2],
                env={**limits, **(engine_environment() if environment is None else environment), **_NO_MARK},
                # Its own session: Ctrl-C in the worker's terminal is the worker's business.
                start_new_session=True,
            )
        return cls(process, ours)


def _by_our_clock(message: T_co) -> T_co:  # type: ignore[misc]  # it goes in and out
    """A message with its moments as the service counts them. A child knows its host's clock alone."""
    told = {name: moment for name in ("born", "until") if (moment := getattr(message, name, None)) is not None}
    counted = {name: clock.of_host(moment) for name, moment in told.items()}
    return cast("T_co", replace(cast("Line", message), **counted))
