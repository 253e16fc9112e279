"""Cost of a hand-over: from the phone's scan to a durable, registered device, over bare neonize on its default SQLite.

    python -m bench.handover [--rounds 12] [--distance 5]

Rounds of all kinds alternate, so that they meet the same machine. Needs PostgreSQL and PgBouncer; prints a table of
medians in ms. The bar is 0.4 x bare neonize, also with Postgres 5 ms away. `held` is when a holder has logged in again.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar

from bench.postgres import Postgres, binaries, distance
from emulator.client import Emulator
from shared.core.ids import SessionId, WorkerId
from workers.engine.parent import LINGER_LIMIT
from workers.engine.pool import LinkerPool
from workers.engine.processes import Engines, Holder, Options
from workers.engine.protocol import Connected, Held, Hold, Paired, Qr, Start
from workers.store.device import DeviceStore, Fence
from workers.store.postgres import pgbouncer
from workers.store.postgres.dsn import server_of
from workers.store.postgres.reach import reached
from workers.store.postgres.store import PostgresStore
from workers.store.scratch import Scratch, discard
from workers.store.sqlite import SqliteStore

E = TypeVar("E")

BAR = 0.4
SECONDS = 60.0
DRIVER = Path(__file__).parents[1] / "tests/emulator/driver.py"
"""The library by itself, with its own defaults; says in JSON lines what happens."""

_numbers = itertools.count(79_200_000_000)


async def bare(emulator: Emulator, folder: Path) -> float:
    """Seconds from the scan to Connected, of neonize by itself."""
    number = next(_numbers)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(DRIVER),
        str(folder / f"{number}.db"),
        env=os.environ | emulator.client_env("bare"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        qr = await _line(process, "qr")
        began = time.perf_counter()
        await asyncio.gather(emulator.phone(str(number)).scan(qr["text"]), _line(process, "Connected"))
        return time.perf_counter() - began
    finally:
        process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process, event: str) -> dict[str, str]:
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        while line := await process.stdout.readline():
            said: dict[str, str] = json.loads(line)
            if said["event"] == event:
                return said
    raise RuntimeError(f"neonize ended without {event}")


async def until(stream: AsyncIterator[object], kind: type[E]) -> E:
    """The next event of this kind."""
    async with asyncio.timeout(SECONDS):
        async for event in stream:
            if isinstance(event, kind):
                return event
    raise RuntimeError(f"the process ended without {kind.__name__}")


async def ours(emulator: Emulator, pool: LinkerPool, holder: Holder, store: DeviceStore) -> tuple[float, float, float]:
    """Seconds from the scan to the durable device, of the hand-over in it, and to a session that is held."""
    number = next(_numbers)
    session = SessionId(f"company_{number}")
    scratch = store.scratch.path(session, 1)
    linker = await pool.take()
    await linker.send(Start(database=scratch))
    qr = await until(linker, Qr)
    began = time.perf_counter()
    scan = asyncio.create_task(emulator.phone(str(number)).scan(qr.text))
    paired = await until(linker, Paired)
    await until(linker, Connected)
    await linker.gone(LINGER_LIMIT)
    handing = time.perf_counter()
    device = await store.adopt(session, scratch, paired.jid, time.time_ns() // 1_000_000, Fence(1))
    durable = time.perf_counter() - began
    handed = time.perf_counter() - handing
    assert await store.holds(device)
    await holder.send(Hold(session=session, database=device.database, jid=device.jid))
    await until(holder, Held)
    held = time.perf_counter() - began
    await scan
    discard(scratch)
    return durable, handed, held


async def measure(rounds: int, round_trip: float) -> int:
    """The table; the exit code says whether the bar is met."""
    found, binary = binaries(), pgbouncer.installed()
    if found is None or binary is None:
        sys.stderr.write("PostgreSQL and PgBouncer are needed\n")
        return 2
    far = f"Postgres, {round_trip:g} ms away"
    took: dict[str, list[float]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wa-bench-")))
        postgres = Postgres(found)
        stack.callback(postgres.remove)
        postgres.create()
        postgres.start()
        emulator = await stack.enter_async_context(Emulator.start(life=0))
        environment = os.environ | emulator.client_env("ours")
        engines = await stack.enter_async_context(Engines(Options(device_name="Bench"), environment))
        pool = await stack.enter_async_context(LinkerPool(engines, 1))
        holder = await engines.holder()
        stack.push_async_callback(holder.kill)
        files = SqliteStore(folder, WorkerId("files"))
        stack.callback(files.scratch.close)
        stores: dict[str, DeviceStore] = {"SQLite": files}
        port = await stack.enter_async_context(distance(postgres.port, round_trip))
        for name, at in (("Postgres, loopback", postgres.port), (far, port)):
            url = postgres.url(await postgres.database(), port=at)
            way = await stack.enter_async_context(reached(server_of(url), binary, 4))
            stores[name] = PostgresStore(way, Scratch(folder, WorkerId(name)))
        for number in range(rounds + 1):
            measured = [("bare neonize", await bare(emulator, folder))]
            for name, store in stores.items():
                durable, handed, held = await ours(emulator, pool, holder, store)
                measured += [(name, durable), (f"{name}: hand-over", handed), (f"{name}: held", held)]
            if number:  # the first round warms everything up
                for name, seconds in measured:
                    took[name].append(seconds * 1000)
    floor = statistics.median(took["bare neonize"])
    print(f"{'scan to durable device':30} {'median':>8} {'worst':>8} {'x bare':>8}")
    for name, values in took.items():
        median = statistics.median(values)
        print(f"{name:30} {median:8.0f} {max(values):8.0f} {median / floor:8.2f}")
    return 0 if all(statistics.median(took[name]) <= BAR * floor for name in ("SQLite", far)) else 1


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--distance", type=float, default=5.0, metavar="MS", help="round trip to the far Postgres")
    asked = parser.parse_args()
    return asyncio.run(measure(asked.rounds, asked.distance))


if __name__ == "__main__":
    sys.exit(main())
