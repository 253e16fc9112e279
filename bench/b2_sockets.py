"""B2: 5,000 sockets on one web process: how long from a published snapshot to the socket, and what a socket weighs.

Each socket is of another company; the clients live in a second process (bench/sockets.py) and share the machine. `idle`:
every page is open and nothing else goes on, and snapshots with a QR are published one by one. `all show a QR`: the same
while each of the 5,000 shows one, which web looks after now and then. The floor is Redis' own publish to a plain
subscriber, taken in the same moments. `At once`: one for each, as fast as Redis takes them; the floor is a process that
hands on what it hears to bare websockets (bench/forward.py), in turns with web.

One measurement and its floors, taken in the same moments: one file.
"""

import asyncio
import contextlib
import json
import os
import random
import resource
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from app.access import Access
from app.local.redis import free_port
from bench import memory
from bench.result import Line, median, percentile
from bench.run import Run
from shared.core import keys, qr
from shared.core.clock import now_ms
from shared.core.ids import SessionId, company_id
from shared.core.lifecycle import State
from shared.core.protocol import Body, Method, QrView
from shared.settings import Settings
from shared.state.snapshots import dump_body
from shared.wa import batches
from tests.e2e.stack import Stack

SOCKETS = 5000
MEDIAN_MS = 1.0
P99_MS = 10.0
EACH_KIB = 30.0
AT_ONCE_RATIO = 2.0
ROUNDS = 5
PAUSE_SECONDS = 0.02
SETTLE_SECONDS = 5.0
ROOT = Path(__file__).parents[1]

Heard = list[tuple[str, int, int]]


async def measure(run: Run) -> list[Line]:
    """Weight first, then latency."""
    many, few = run.rounds(SOCKETS, 500), run.rounds(1000, 200)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < many + 200:
        raise RuntimeError(f"{many} sockets need as many descriptors; the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the children inherit it
    with run.redis() as redis:
        async with run.emulator() as emulator, Stack.running(emulator, redis, run.place(), workers=0) as stack:
            async with _browsers(stack, 100):  # warms web up; what they leave behind is not a socket's weight
                pass
            await run.settle(SETTLE_SECONDS)
            before = memory.of(stack.web.pid)
            async with _browsers(stack, many) as browsers:
                await run.settle(SETTLE_SECONDS)
                after = memory.of(stack.web.pid)
                run.say(f"{many} sockets are open: {after.own:.0f} MB; publishing {few} snapshots")
                publisher = Publisher(stack, many, run)
                async with publisher.listening():
                    idle, floor = await publisher.one_by_one(browsers, few)
                    for number in range(many):
                        await publisher.publish(number)
                    await run.settle(SETTLE_SECONDS)
                    shown = memory.of(stack.web.pid)
                    await browsers.heard()
                    run.say("all show a QR; publishing again")
                    busy, _ = await publisher.one_by_one(browsers, few)
                async with _bare(stack) as port, _browsers(stack, many, port) as bare:
                    spread, base = [], []
                    for _ in range(ROUNDS):
                        base.append(await publisher.at_once(bare, bare=True))
                        spread.append(await publisher.at_once(browsers))
                        run.say(f"all at once: {spread[-1]:.0f} ms, bare {base[-1]:.0f} ms")
    each = (after.own - before.own) * 1024 / many
    weight = (shown.own - before.own) * 1024 / many
    samples = len(idle)
    return [
        Line("idle: published to received, median", median(idle), "ms", MEDIAN_MS, floor=median(floor), samples=samples),
        Line(
            "idle: p99", percentile(idle, 0.99), "ms", P99_MS, floor=percentile(floor, 0.99), samples=samples,
            note=f"worst {max(idle):.1f}",
        ),
        Line("all show a QR: median", median(busy), "ms", p95=percentile(busy, 0.95), samples=len(busy)),
        Line("all show a QR: p99", percentile(busy, 0.99), "ms", samples=len(busy)),
        Line(f"one snapshot for each of {many} at once: the last", median(spread), "ms", floor=median(base), samples=ROUNDS),
        Line("one for each at once: times bare websockets", median(spread) / median(base), "x", AT_ONCE_RATIO),
        Line("a socket's memory", each, "KiB", bar=EACH_KIB, note=f"{many} sockets"),
        Line("a socket's memory once it shows a QR", weight, "KiB"),
    ]  # fmt: skip


class Browsers:
    """The other process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self, line: object) -> None:
        """One line in."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(line) + b"\n")
        await self._process.stdin.drain()

    async def said(self) -> Any:
        """One line out."""
        assert self._process.stdout is not None
        async with asyncio.timeout(300):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the sockets' process ended")
        return json.loads(line)

    async def heard(self) -> Heard:
        """The messages that have come since this was last asked."""
        await self.say({})
        return [(session, seq, ns) for session, seq, ns in await self.said()]


@contextlib.asynccontextmanager
async def _bare(stack: Stack) -> AsyncIterator[int]:
    """The port of a process that does nothing but hand on."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.forward",
        stack.environment["REDIS_URL"],
        str(port),
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield port
    finally:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def _browsers(stack: Stack, count: int, port: int | None = None) -> AsyncIterator[Browsers]:
    settings = Settings(secret_key=stack.environment["SECRET_KEY"], api_keys=stack.environment["API_KEYS"])  # type: ignore[arg-type]
    access = Access(settings)
    links = [
        access.new_link(company_id(f"socket-{number}"), ttl_seconds=3600, company_name="Aurora")
        for number in range(count)
    ]
    sockets = [{"token": access.sign(link), "address": f"198.18.{number // 20}.1"} for number, link in enumerate(links)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.sockets",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    browsers = Browsers(process)
    try:
        await browsers.say({"port": port or stack.port, "origin": stack.url, "sockets": sockets})
        opened = (await browsers.said())["open"]
        assert opened == count, f"{opened} of {count} sockets"
        yield browsers
    finally:
        process.kill()
        await process.wait()


class Publisher:
    """Saves and announces snapshots as a worker's script does, without a lease."""

    def __init__(self, stack: Stack, count: int, run: Run) -> None:
        self._redis: Redis = stack.redis
        self._run = run
        self._count = count
        self._seq = 0
        self._sent: dict[tuple[str, int], int] = {}
        self._floor: list[float] = []
        text = "https://wa.me/settings/linked_devices#" + "2@" + "x" * 230
        view = QrView(text=text, svg=qr.svg(text), number=1, of=qr.COUNT, expires_at=now_ms() + 60_000)
        body = Body(state=State.AWAITING_PHONE, method=Method.QR, qr=view, deadline=now_ms() + 3_600_000)
        self._body = dump_body(body)

    async def publish(self, number: int) -> None:
        """A new snapshot of one company."""
        session, announced = self._next(number)
        await self._save(self._redis, session)
        self._sent[session, self._seq] = time.monotonic_ns()
        await self._redis.publish(keys.events(session), announced)

    def _next(self, number: int) -> tuple[SessionId, bytes]:
        self._seq += 1
        announced = b'{"type":"qr-update","attempt":1,"seq":%d,"body":%b}' % (self._seq, self._body)
        return SessionId(f"company_socket-{number}"), announced

    async def _save(self, redis: Redis, session: SessionId) -> None:
        fields: dict[Any, Any] = {"attempt": 1, "seq": self._seq, "body": self._body}
        await redis.hset(keys.snapshot(session), mapping=fields)  # type: ignore[misc]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """The floor: a plain subscriber hears the same announcements."""
        pubsub = self._redis.pubsub(ignore_subscribe_messages=True)
        await pubsub.psubscribe("wa:events:*")

        async def listen() -> None:
            async for message in pubsub.listen():
                now = time.monotonic_ns()
                seq = orjson.loads(message["data"])["seq"]
                sent = self._sent.get((message["channel"].decode().removeprefix("wa:events:"), seq))
                if sent is not None:
                    self._floor.append((now - sent) / 1e6)

        task = asyncio.create_task(listen())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def one_by_one(self, browsers: Browsers, count: int) -> tuple[list[float], list[float]]:
        """Latencies at the sockets and at the plain subscriber, in ms. Every snapshot must arrive."""
        self._sent.clear()
        self._floor.clear()
        for _ in range(count):
            await self.publish(random.randrange(self._count))
            await asyncio.sleep(random.uniform(0.5, 1.5) * PAUSE_SECONDS)
        await asyncio.sleep(2)
        return self._latencies(await browsers.heard(), count), list(self._floor)

    async def at_once(self, browsers: Browsers, *, bare: bool = False) -> float:
        """One snapshot for everybody, as fast as Redis takes them; ms until the last has arrived."""
        self._sent.clear()
        told = []
        for number in range(self._count):
            session, announced = self._next(number)
            if bare:
                text = b'{"type":"qr-update","snapshot":{"sessionId":"%b","attempt":1,"seq":%d,"serverNow":0,%b}'
                told.append((f"bare:{session}", text % (session.encode(), self._seq, self._body[1:])))
            else:
                await self._save(self._redis, session)
                told.append((keys.events(session), announced))
            self._sent[session, self._seq] = 0
        await asyncio.sleep(1)
        began = time.monotonic_ns()
        for some in batches(told, 500):
            async with self._redis.pipeline(transaction=False) as pipe:
                for channel, payload in some:
                    pipe.publish(channel, payload)
                await pipe.execute()
        heard: Heard = []
        until = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < until and not self._sent.keys() <= {(session, seq) for session, seq, _ in heard}:
            await self._run.settle(SETTLE_SECONDS)  # in one piece: to be asked would delay the other process
            heard += await browsers.heard()
        self._latencies(heard, self._count)
        return (max(ns for session, seq, ns in heard if (session, seq) in self._sent) - began) / 1e6

    def _latencies(self, heard: Heard, count: int) -> list[float]:
        first: dict[tuple[str, int], int] = {}
        for session, seq, ns in heard:
            first.setdefault((session, seq), ns)
        lost = [one for one in self._sent if one not in first]
        assert not lost, f"{len(lost)} of {count} snapshots never arrived"
        return [(first[one] - sent) / 1e6 for one, sent in self._sent.items()]
