"""The running service, as an operator meets it: its numbers, its command, its Sentry."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from shared.core import keys
from tests.e2e.conftest import emulator, folder, own_redis
from tests.e2e.stack import Stack
from tests.operators.sink import Sink

__all__ = ["emulator", "folder", "own_redis"]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """`onboarding`, beside a running service."""

    def __init__(self, stack: Stack) -> None:
        self._env = stack.environment

    async def __call__(self, *words: str, well: bool | None = True, **environment: str) -> Said:
        """Run it. `well`: it must end with 0, or must not, or may do as it likes."""
        names = ("REDIS_URL", "SECRET_KEY", "API_KEYS", "PORT", "WA_TEST_RUN", "PATH", "HOME", "COLUMNS")
        import os

        given = {name: value for name, value in {**os.environ, **self._env}.items() if name in names} | environment
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "app.cli",
            *words,
            cwd=ROOT,
            env={name: value for name, value in given.items() if value},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        said = Said(process.returncode, out.decode(), err.decode())
        if well is not None:
            assert (said.code == 0) is well, f"onboarding {' '.join(words)}: {said}"
        return said


async def stats(stack: Stack) -> Counter[str]:
    """All counters as they are, without the buckets and sums of the histograms, and without the API's own: the stack
    makes its links by the API."""
    flat = {name.decode(): int(value) for name, value in (await stack.redis.hgetall(keys.STATS)).items()}
    return Counter({n: value for n, value in flat.items() if "_seconds_" not in n and not n.startswith("api_")})


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[Sink]:
    """A Sentry that keeps what it gets."""
    async with Sink.running() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def own(emulator: Any, own_redis: Any, folder: Path) -> AsyncIterator[Stack]:
    """A service of this test alone, with counters at zero."""
    async with Stack.running(emulator, own_redis.url, folder, quiet=True) as stack:
        yield stack


@pytest.fixture
def command(own: Stack) -> Command:
    """The operators' command beside it."""
    return Command(own)
