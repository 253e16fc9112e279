"""Memory that a worker takes for linked sessions and for waiting onboardings: the numbers of docs/deploy.md.

    python -m bench.sizes [SESSIONS [ATTEMPTS]]

Real processes and the real library against the emulator; memory is that of the worker and all its children, shared pages
counted once (Pss). The sessions are idle; the onboardings show a QR.
"""

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from app.local import redis as local_redis
from emulator.client import Emulator
from tests.e2e.stack import Stack
from workers.capacity import SESSIONS_EACH
from workers.report import memory_bytes, processes

STEPS = 4
SETTLE_SECONDS = 6.0
HOSTS = (512, 1024, 2560)
HEADROOM = 0.85
"""Of a host's memory; the rest is for peaks: a start, a sync of many chats, a hand-over."""


async def sizes(sessions: int, attempts: int) -> None:
    """Prints the table."""
    folder = Path(tempfile.mkdtemp(prefix="sizes-"))
    try:
        with local_redis.running(folder / "redis") as redis:
            async with (
                Emulator.start(life=0) as emulator,
                Stack.running(
                    emulator, redis.url, folder, MAX_ATTEMPTS=str(attempts + 1), MAX_SESSIONS="1000"
                ) as stack,
            ):
                await _measure(stack, sessions, attempts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _measure(stack: Stack, sessions: int, attempts: int) -> None:
    web = memory_bytes(processes(stack.web.pid)) / 2**20
    base = await _memory(stack)
    print(f"web, idle: {web:.0f} MB; worker, nothing held: {base:.0f} MB")
    points = [(0, base)]
    before = (await stack.redis.info("memory"))["used_memory"]
    for _ in range(STEPS):
        for _ in range(sessions // STEPS):
            link, _ = await stack.linked()
            await stack.worker.said("session.logged-in", session=link["session"])
        points.append((points[-1][0] + sessions // STEPS, await _memory(stack)))
        print(f"{points[-1][0]} sessions: {points[-1][1]:.0f} MB")
    used = (await stack.redis.info("memory"))["used_memory"] - before
    print(f"Redis: {used / points[-1][0] / 1024:.0f} KB a linked session")
    each = (points[-1][1] - points[1][1]) / (points[-1][0] - points[1][0])
    held = points[-1][1]
    async with contextlib.AsyncExitStack() as pages:
        for _ in range(attempts):
            await pages.enter_async_context(_waiting(stack))
        both = await _memory(stack)
    print(f"{points[-1][0]} sessions beside {attempts} onboardings: {both:.0f} MB, measured")
    waiting = (both - held) / attempts
    first = points[1][1] - each * points[1][0]
    print(
        f"a session: {each:.2f} MB more; a waiting onboarding: {waiting:.1f} MB; the first holder: {first - base:.0f} MB"
    )
    for host in HOSTS:
        rooms = {some: host * HEADROOM - base - waiting * some for some in (4, 8, 16, 40)}
        fits = [
            f"{_fits(room, each, first - base)} beside {some}" for some, room in rooms.items() if room > first - base
        ]
        print(f"{host} MB: sessions beside onboardings, calculated: {', '.join(fits)}")


def _fits(room: float, each: float, holder: float) -> int:
    """The most sessions that take no more than `room`, with a holder for every SESSIONS_EACH of them."""
    sessions = 0
    while holder * -(-(sessions + 1) // SESSIONS_EACH) + each * (sessions + 1) <= room:
        sessions += 1
    return sessions


async def _memory(stack: Stack) -> float:
    await asyncio.sleep(SETTLE_SECONDS)
    return memory_bytes(processes(stack.worker.pid)) / 2**20


@contextlib.asynccontextmanager
async def _waiting(stack: Stack) -> AsyncIterator[None]:
    async with stack.socket(await stack.link()) as socket:
        await socket.send("request-qr")
        await socket.snapshot(lambda s: "qr" in s)
        yield


if __name__ == "__main__":
    given = [int(one) for one in sys.argv[1:]]
    asyncio.run(sizes(*(given + [80, 8][len(given) :])))
