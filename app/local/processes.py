"""Runs the lines of a Procfile side by side, as a Heroku-style host does."""

import asyncio
import signal
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable, Coroutine, Mapping
from itertools import cycle
from pathlib import Path
from typing import Any, TextIO

from app.local.guard import stop
from shared.tasks import cancelled

_COLOURS = (36, 33, 32, 35)
_LONGEST_LINE = 2**24


async def run_procfile(
    procfile: Path,
    env: Mapping[str, str],
    *,
    keep_open: int,
    guard: Callable[..., None],
    log: TextIO,
    redis: subprocess.Popen[bytes] | None,
    beside: Coroutine[Any, Any, None],
) -> int:
    """Run all lines until SIGINT or SIGTERM (exit code 0), or until one of them or `redis` ends: then stop the others, say
    which one ended, and return its exit code or 1. `beside` goes on meanwhile.

    Their output goes to `log`. The descriptor `keep_open` stays open in every process; `guard` is told of them.
    """
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    lines = _read(procfile)
    processes = {
        name: await asyncio.create_subprocess_shell(
            command,
            stdout=PIPE,
            stderr=STDOUT,
            limit=_LONGEST_LINE,
            env=dict(env),
            cwd=procfile.parent,
            start_new_session=True,
            pass_fds=(keep_open,),
        )
        for name, command in lines.items()
    }
    leaders = [one.pid for one in processes.values()]
    guard(*leaders)

    async def follow(name: str, colour: int) -> int:
        process, shown = processes[name], name.ljust(max(map(len, lines)))
        assert process.stdout is not None  # noqa: S101 - we asked for a pipe
        async for line in process.stdout:
            head = f"{time.strftime('%H:%M:%S')} {shown} | "
            head = f"\033[{colour}m{head}\033[0m" if log.isatty() else head
            print(head + line.decode(errors="replace").rstrip("\r\n"), file=log, flush=True)
        return await process.wait()

    async def follow_redis() -> int:
        while (code := redis.poll() if redis is not None else None) is None:  # noqa: ASYNC110 - a process makes no event
            await asyncio.sleep(0.1)
        return code

    ends = [asyncio.create_task(follow(*one), name=one[0]) for one in zip(lines, cycle(_COLOURS), strict=False)]
    ends.append(asyncio.create_task(follow_redis(), name="Redis"))
    signalled, going = asyncio.create_task(asked.wait()), asyncio.create_task(beside)
    await asyncio.wait([*ends, signalled], return_when=asyncio.FIRST_COMPLETED)
    first = next((one for one in reversed(ends) if one.done()), None)
    await asyncio.to_thread(stop, leaders)
    await asyncio.wait(ends[:-1])
    for one in (ends[-1], signalled, going):
        await cancelled(one)
    if first is None or (asked.is_set() and first is not ends[-1]):
        print("Stopped.", flush=True)
        return 0
    code = first.result()
    how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    print(f"{first.get_name()} {how}, so everything else was stopped.", file=sys.stderr, flush=True)
    return code if code > 0 else 1


def _read(procfile: Path) -> dict[str, str]:
    """The commands of the lines, by their names; but for `release`, which a host runs once before a version goes live."""
    lines = (line.partition(":") for line in procfile.read_text(encoding="utf-8").splitlines() if ":" in line)
    return {name.strip(): command.strip() for name, _, command in lines if name.strip() not in {"release", ""}}
