"""Beginning and end of a forked process: descriptors, signals, its loop, and the one way out."""

import asyncio
import ctypes
import fcntl
import os
import resource
import signal
import socket
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn

from workers.engine.pipe import PipeClosed

#: Where the child finds its pipe.
PIPE = 3
#: Exit code of a child whose own code failed; the library's panics end it by SIGABRT instead.
BUG = 70

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Let the kernel kill this process when `parent`, its present parent, dies."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the call
        os._exit(0)


def arrange_descriptors(pipe: int, noise: int, line: int | None = None) -> None:
    """Keep the pipe (as descriptor 3), the life line (as 4, if there is one), and nothing else of the parent's.

    The Go library prints login words, and QR texts if it is let, on descriptor 1: they go nowhere. Descriptor 2 is
    `noise`, which the zygote reads for the first line of a panic and drops otherwise.
    """
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(noise, 2)
    kept = [pipe] if line is None else [pipe, line]
    # First to where none stands in another's place.
    copies = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, PIPE + len(kept)) for one in kept]
    for place, copy in enumerate(copies, PIPE):
        os.dup2(copy, place, inheritable=False)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.closerange(PIPE + len(kept), 1 << 20 if soft == resource.RLIM_INFINITY else soft)


def overwrite_variable(name: str, known: str, value: str) -> None:
    """Change a variable of the environment where Go looks for it: in the block that the process was started with, which
    `os.environ` leaves as it is. Nothing happens unless it is `known`, which is as long as `value`."""
    getenv = ctypes.CDLL(None).getenv
    getenv.argtypes, getenv.restype = [ctypes.c_char_p], ctypes.c_void_p
    at = getenv(name.encode())
    if at is not None and ctypes.string_at(at) == known.encode() and len(known) == len(value):
        ctypes.memmove(at, value.encode(), len(value))


def run(main: Callable[[socket.socket], Awaitable[None]]) -> NoReturn:
    """Run `main` with the pipe and leave the process when it returns or fails.

    It leaves by os._exit: an interpreter that ends normally joins its threads, and those of unpaired clients never end.
    """

    async def whole_life() -> NoReturn:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: _fail(context.get("exception")))
        try:
            await main(socket.socket(fileno=PIPE))
        except* PipeClosed:
            leave()  # the worker is gone
        except* BaseException as errors:  # noqa: BLE001  (all: this is the last frame of the process)
            _fail(errors)
        leave()

    asyncio.run(whole_life())
    os._exit(BUG)


def leave() -> NoReturn:
    """End the process well, from anywhere in it. The kernel has what was sent, and nothing else needs an ending."""
    os._exit(0)


def _fail(error: BaseException | None) -> NoReturn:
    """Leave a line where Go leaves its panics: the type and the place, as the text may hold a secret."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, PipeClosed):
        leave()
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    os.write(2, f"\nfatal error: python {type(error).__name__} at {place}\n".encode())
    os._exit(BUG)
