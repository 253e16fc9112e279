"""A killed worker's sessions are taken over before its heartbeat lapses, and never before its engines are gone."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from app.local.redis import LocalRedis
from emulator.client import Emulator
from shared.core import keys
from shared.core.ids import SessionId, WorkerId
from shared.state.lease import Leases
from tests.chaos.invariants import Watch, all_quiet
from tests.chaos.test_workers import KILLED, LAPSED, owner
from tests.e2e.processes import living, words
from tests.e2e.stack import Stack
from tests.recovery import Recovery
from tests.waiting import until
from workers.lastwill.left import waiting

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session")
async def pair(emulator: Emulator, own_redis: LocalRedis, folder: Path) -> AsyncIterator[Stack]:
    """A web and two workers."""
    async with Stack.running(emulator, own_redis.url, folder, workers=2) as stack:
        yield stack


def _speaker(worker: int) -> psutil.Process:
    """The process that speaks for a worker once it is dead."""
    return next(one for one in psutil.Process(worker).children() if "workers.lastwill" in words(one))


def _ignores(pid: int, one: signal.Signals) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mask = next(int(line.split()[1], 16) for line in lines if line.startswith("SigIgn:"))
    return bool(mask >> (one - 1) & 1)


@pytest.mark.parametrize(
    ("first", "within"), [(None, KILLED), ("zygote", KILLED), ("speaker", LAPSED)], ids=["worker", "zygote", "speaker"]
)
async def test_the_sessions_of_a_killed_worker_are_taken_over(
    pair: Stack, recovery: Recovery, first: str | None, within: float
) -> None:
    """`first` dies before the worker."""
    held, number = await pair.linked()
    victim = await owner(pair, held["session"])
    await victim.said("session.logged-in", session=held["session"])
    speaker = _speaker(victim.pid)
    async with Watch(pair), pair.socket(held) as socket:
        before = await pair.emulator.now()
        with recovery.within(f"kill -9 of a worker, {first or 'nothing'} before it: held elsewhere", within):
            if first == "zygote":
                victim.zygote().kill()
            elif first == "speaker":
                speaker.kill()
            await victim.kill()
            await pair.emulator.wait_for("device.connected", after=before, phone=number.lstrip("+"))
        await socket.state("linked")
    await all_quiet(pair)
    await until(lambda: not living([speaker]))


@pytest.mark.parametrize("word", [b"", b"\n"], ids=["killed", "stopped"])
async def test_nothing_is_said_while_one_process_lives_or_after_a_good_bye(own_redis: LocalRedis, word: bytes) -> None:
    """The test holds the life line itself, as an engine process does that takes long to die."""
    redis = Redis.from_url(own_redis.url)
    leases, worker, session = Leases(redis), WorkerId("host-1-abc"), SessionId("company_a")
    await leases.beat(worker, 1)
    await leases.acquire(session, worker)
    end, line = os.pipe()
    speaker = await asyncio.create_subprocess_exec(
        *waiting(worker),
        stdin=end,
        env=os.environ | {"REDIS_URL": own_redis.url, "SECRET_KEY": 32 * "s", "API_KEYS": 32 * "k"},
        cwd=Path(__file__).parents[2],
    )
    os.close(end)
    engine = os.dup(line)
    os.write(line, word)
    os.close(line)  # the worker is dead
    if not word:
        await until(lambda: _ignores(speaker.pid, signal.SIGTERM))
        speaker.send_signal(signal.SIGTERM)  # as a host does to all processes
    await leases.beat(worker, 1)  # a slow machine takes longer for all that than a heartbeat lives
    assert await leases.owner(session) == worker
    os.close(engine)
    await speaker.wait()
    assert await leases.owner(session) == (worker if word else None)
    assert await leases.dead() == ([] if word else [worker])
    assert await redis.zcard(keys.QUEUE_SESSIONS) == (0 if word else 1)
    await redis.aclose()
