"""The bench's side of `bench.bare`."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from emulator.client import Emulator

DRIVER = Path(__file__).parents[1] / "tests/emulator/driver.py"
SECONDS = 300.0
QUICK_STORE = "?_journal_mode=WAL&_synchronous=OFF&_foreign_keys=on&x="
"""Options that make the bare library as quick as it gets: those that our own linkers use."""


class Bare:
    """A warm process with the library in it, and nothing of ours."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, emulator: Emulator, tag: str = "bare") -> AsyncIterator["Bare"]:
        """Ready; gone with the block."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.bare",
            env=os.environ | emulator.client_env(tag, python_path=str(Path(__file__).parents[1])),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        bare = cls(process)
        try:
            await bare._said()
            yield bare
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    async def ask(self, do: str, **fields: object) -> dict[str, Any]:
        """Have it do something; its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._said()

    async def _said(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"bare neonize ended with {await self._process.wait()}")
        said: dict[str, Any] = json.loads(line)
        return said


class Driver:
    """The library by itself with its own defaults, one attempt a process (tests/emulator/driver.py)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, emulator: Emulator, database: Path) -> AsyncIterator["Driver"]:
        """It connects at once; gone with the block."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(DRIVER),
            str(database),
            env=os.environ | emulator.client_env("bare") | {"NEONIZE_BOT_TAG": "off"},  # the emulator refuses it
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            yield cls(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def order(self, **fields: str) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(fields).encode() + b"\n")
        await self._process.stdin.drain()

    async def said(self, event: str) -> dict[str, str]:
        """The next of these events; others are dropped."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line := await self._process.stdout.readline():
                said: dict[str, str] = json.loads(line)
                if said["event"] == event:
                    return said
        raise RuntimeError(f"neonize ended without {event}")
