"""An owner whose process is stopped past its lease: it loses, and is told as soon as it goes on."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.core.ids import WorkerId
from shared.state.lease import LEASE_MS, Leases
from tests.unit.world import SESSION
from tests.waiting import until

ROOT = Path(__file__).parents[2]

STOPPABLE = """
import asyncio, sys, time
from shared.state import pool as redis_pool
from shared.core.ids import SessionId, WorkerId
from shared.state.lease import LEASE_MS, Leases
from shared.jobs.queue import client
from shared.settings import Settings
from workers.ownership import Ownership

class Acting:
    outlasts_redis = False

    def lost(self):
        print("lost", flush=True)
    async def renewed(self, lease):
        print("renewed", flush=True)

async def on_lapsed():
    pass

async def act(ownership, at):
    # Says after a stop of the process, whenever it came, whether it would act for the session.
    while True:
        await asyncio.sleep(0.05)
        await ownership.sure()
        if time.monotonic() - at > 5:
            print("acts" if ownership.owner(SessionId("company_salon-1")) else "rests", flush=True)
        at = time.monotonic()

async def main():
    config = Settings(redis_url=sys.stdin.readline().strip(), secret_key="k" * 40, api_keys=("a" * 20,))
    leases = Leases(client(redis_pool.pool(config)))
    ownership = Ownership(leases, WorkerId("stopped"), on_lapsed=on_lapsed, on_beat=lambda _: None)
    assert await ownership.acquire(SessionId("company_salon-1"), Acting())
    at = time.monotonic()
    print("owned", flush=True)
    acting = asyncio.create_task(act(ownership, at))
    await ownership.run()

asyncio.run(main())
"""


@pytest.fixture
def stoppable(redis_server):
    """A worker's heart in a process of its own, that owns the session."""
    with subprocess.Popen(
        [sys.executable, "-c", STOPPABLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{redis_server}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "owned\n"
        yield process
        process.send_signal(signal.SIGCONT)
        process.kill()


async def test_an_owner_that_was_stopped_past_its_lease_loses_it_and_does_not_act(stoppable, redis):
    leases = Leases(redis)
    stoppable.send_signal(signal.SIGSTOP)
    await until(leases.dead, LEASE_MS / 1000 + 3)
    taken = await leases.acquire(SESSION, WorkerId("another"))
    assert taken is not None
    stoppable.send_signal(signal.SIGCONT)
    try:
        async with asyncio.timeout(10):
            while (line := await asyncio.to_thread(stoppable.stdout.readline)) != "rests\n":
                assert line.strip() not in {"renewed", "acts"}
                assert line, "it ended"
    finally:
        stoppable.kill()  # a thread that still reads comes to an end
    assert await leases.owner(SESSION) == "another"
