"""The least that can happen until a fleet holds its sessions again: for each a lease, an engine's word and a snapshot.

    python -m bench.least URL WORKER COUNT      one process of the fleet: says `ready`, and after a line on stdin `done`

Scripts, client and pipe are ours. Nothing else is: no heartbeat, store, log or text, and one session after the other.
"""

import asyncio
import contextlib
import os
import socket
import sys
import time
from contextlib import AsyncExitStack

from redis.asyncio import Redis

from bench.fake import holder
from bench.run import Run
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType
from shared.jobs.queue import client
from shared.state.lease import Leases
from shared.state.snapshots import Change, Snapshots
from workers.engine.orders import Options
from workers.engine.pipe import Pipe
from workers.engine.protocol import Hold, from_holder

SECONDS = 300.0


async def seconds(run: Run, sessions: int, workers: int) -> float:
    """Seconds that so many processes take for so many sessions, from a start at once to the last."""
    async with AsyncExitStack() as stack:
        url = stack.enter_context(run.redis())
        processes = []
        for number in range(workers):
            count = len(range(number, sessions, workers))
            words = ("-m", "bench.least", url, f"least-{number}", str(count))
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe)
            stack.push_async_callback(_end, process)
            await _said(process, b"ready\n")
            processes.append(process)
        began = time.monotonic()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
        await asyncio.gather(*(_said(one, b"done\n") for one in processes))
        return time.monotonic() - began


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def _said(process: asyncio.subprocess.Process, word: bytes) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        if await process.stdout.readline() != word:
            raise RuntimeError("a process of bench.least has ended")


def _engine() -> socket.socket:
    """A holder that only pretends, in a process of its own; our end of its pipe."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        asyncio.run(holder.main(theirs, Options(device_name="Bench")))
    theirs.close()
    return ours


async def _work(url: str, worker: WorkerId, count: int, engine: socket.socket) -> None:
    redis = client(Redis.from_url(url).connection_pool)
    leases, snapshots, pipe = Leases(redis), Snapshots(redis), await Pipe.open(engine, from_holder)
    await pipe.receive()  # it is ready
    await redis.ping()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    for number in range(count):
        session = SessionId(f"company_{worker}-{number}")
        lease = await leases.acquire(session, worker)
        await pipe.send(Hold(session=session, database="", jid=""))
        await pipe.receive()
        assert lease is not None
        change = Change(Body(state=State.LINKED), MessageType.WHATSAPP_CONNECTED, "session.resumed")
        assert await snapshots.save(lease, change)
    sys.stdout.write("done\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], WorkerId(sys.argv[2]), int(sys.argv[3]), _engine()))
