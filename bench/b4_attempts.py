"""B4: the memory of an attempt that waits for its phone, and ten of them beside 150 held sessions.

The floor is bare neonize, a process an attempt, as it must be: a panic or an abandoned attempt costs the process.
"""

import asyncio

from bench import memory
from bench.floor import Bare
from bench.result import Line
from bench.run import Run
from tests.e2e.stack import Stack

ATTEMPTS = 10
SESSIONS = 150
EACH_MB = 25.0
HOST_MB = 512.0
SETTLE_SECONDS = 10.0


async def measure(run: Run) -> list[Line]:
    """One host, as small as promised."""
    held = run.rounds(SESSIONS, 10)
    fleet = await run.fleet(held)
    async with Bare.running(fleet.emulator) as bare:
        await bare.ask("qr")
        await run.settle(SETTLE_SECONDS)
        floor = memory.of(bare.pid).own
    with run.redis() as redis:
        async with Stack.running(
            fleet.emulator, redis, fleet.data(held, run.place()), MAX_ATTEMPTS="10", MAX_SESSIONS="1000"
        ) as stack:
            for session in fleet.sessions(held):
                await stack.worker.said("session.logged-in", session=session, seconds=300)
            await run.settle(SETTLE_SECONDS)
            before, processes = memory.family(stack.worker.pid)
            run.say(f"{held} held: {before.own:.0f} MB in {processes} processes")
            go_on = asyncio.Event()
            waiting = [asyncio.create_task(_wait(stack, go_on)) for _ in range(ATTEMPTS)]
            async with asyncio.timeout(60):
                while int(await stack.redis.hget("wa:stats", "qr_codes_shown") or 0) < ATTEMPTS:  # type: ignore[misc]
                    await asyncio.sleep(0.2)
            await run.settle(SETTLE_SECONDS)
            after, grown = memory.family(stack.worker.pid)
            web = memory.of(stack.web.pid)
            go_on.set()
            await asyncio.gather(*waiting)
    each = (after.own - before.own) / ATTEMPTS
    note = f"{processes} processes before, {grown} with {ATTEMPTS}"
    return [
        Line("a waiting attempt", each, "MB", bar=EACH_MB, floor=floor, samples=ATTEMPTS, note=note),
        Line(
            f"{ATTEMPTS} attempts beside {held} sessions: pss of all processes",
            after.pss,
            "MB",
            bar=HOST_MB,
            note=f"own {after.own:.0f}; before the clicks {before.own:.0f}",
        ),
        Line("web, with 10 sockets", web.own, "MB"),
    ]


async def _wait(stack: Stack, go_on: asyncio.Event) -> None:
    async with stack.socket(await stack.link()) as socket:
        await socket.send("request-qr")
        await socket.snapshot(lambda seen: "qr" in seen, 60)
        await go_on.wait()
        await socket.send("cancel")
        await socket.state("cancelled", 60)
