"""Our own processes, started for a test as the Procfile starts them; their log lines are the events to wait for."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 25.0

ZYGOTE = "workers.engine.child.zygote"


class Service:
    """A web or a worker process, and what it has logged."""

    def __init__(self, process: asyncio.subprocess.Process, module: str) -> None:
        self.module = module
        self.process = process
        self.lines: deque[dict[str, Any]] = deque(maxlen=5000)
        self.said_so_far = 0  # lines, those that are forgotten as well
        self._said = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, module: str, environment: dict[str, str], *below: str, until: str) -> "Service":
        """Start `python -m module`, maybe `below` another command; returns once it has logged the event `until`."""
        process = await asyncio.create_subprocess_exec(
            *below,
            sys.executable,
            "-m",
            module,
            env={**os.environ, **environment, "LOG_FORMAT": "json"},
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        service = cls(process, module)
        try:
            await service.said(until, seconds=START_SECONDS)
        except BaseException:
            await service.kill()
            raise
        return service

    @property
    def pid(self) -> int:
        """The process' id."""
        return self.process.pid

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            try:
                line = json.loads(raw)
            except ValueError:
                line = {"event": "raw", "text": raw.decode(errors="replace").rstrip()}
            async with self._said:
                self.lines.append(line)
                self.said_so_far += 1
                self._said.notify_all()
        async with self._said:
            self._said.notify_all()

    async def said(self, event: str, *, seconds: float = 20.0, **fields: object) -> dict[str, Any]:
        """The first log line with this event and these fields, now or within `seconds`."""

        def found() -> dict[str, Any] | None:
            wanted = {"event": event, **fields}
            return next((line for line in self.lines if wanted.items() <= line.items()), None)

        try:
            async with asyncio.timeout(seconds), self._said:
                await self._said.wait_for(lambda: found() or self._reader.done())
        except TimeoutError:
            raise AssertionError(f"{self.module} did not log {event} {fields}:\n{self.tail()}") from None
        line = found()
        assert line is not None, f"{self.module} ended before it logged {event}:\n{self.tail()}"
        return line

    def tail(self) -> str:
        """The last lines, for a failing test's report."""
        return "\n".join(json.dumps(line, ensure_ascii=False) for line in list(self.lines)[-30:])

    def children(self) -> list[psutil.Process]:
        """Every process below it that works for it: not the one that speaks for it once it is dead."""
        below = psutil.Process(self.pid).children(recursive=True)
        return [one for one in below if "workers.lastwill" not in words(one)]

    def engines(self) -> list[psutil.Process]:
        """The children of its zygote: linkers, spares and holders."""
        return [one for one in self.children() if parent(one) != self.pid]

    def zygote(self) -> psutil.Process:
        """The parent of its engine processes."""
        return next(one for one in self.children() if parent(one) == self.pid and ZYGOTE in words(one))

    async def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        await self.ended()

    async def stop(self) -> int:
        """SIGTERM, then its end within the time that hosts give; the exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await self.ended()
        except TimeoutError:
            self.process.kill()
            await self.ended()
            raise AssertionError(f"{self.module} did not stop in {STOP_SECONDS} s:\n{self.tail()}") from None

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        code = await self.process.wait()
        await asyncio.wait([self._reader], timeout=5)
        return code


def logged_in(worker: Service) -> set[str]:
    """The sessions that it has had logged in."""
    return {line["session"] for line in worker.lines if line["event"] == "session.logged-in"}


def is_at_rest(worker: Service) -> bool:
    """True if it has no more than its zygote, a spare linker, and a holder each for sessions that settle and that have."""
    started = {line["holder"] for line in worker.lines if line["event"] == "holder.started"}
    alive = {child.pid for child in living(worker.children())}
    return len(alive - started) <= 2 and len(alive & started) <= 2


def words(process: psutil.Process) -> list[str]:
    """Its command line; of one that has just ended, nothing."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def program(process: psutil.Process) -> str:
    """The name of its program; of one that has just ended, nothing."""
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def parent(process: psutil.Process) -> int | None:
    """The process above it; of one that has just ended, None."""
    try:
        return process.ppid()
    except psutil.Error:
        return None


def living(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that have not ended; one that nobody has waited for yet has ended."""

    def lives(one: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            return bool(one.is_running() and one.status() != psutil.STATUS_ZOMBIE)
        return False

    return [one for one in processes if lives(one)]


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Signal each; one that has ended meanwhile, as with its parent, is passed over."""
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.send_signal(number)
