"""Ten thousand sessions on ten workers, in a real Redis: no command touches all of them.

Redis' own MONITOR says each command, also those of scripts. A command is as large as its arguments, or as the whole of a
key if it asks for that.
"""

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import Any, cast

import pytest

from app.ops import gauges
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import State
from shared.state.outbox import Outbox
from tests.unit.world import OTHER, SESSION, hold, stop_beating
from tests.waiting import beside
from workers import sweeper as sweeper_module
from workers.store.device import StoredDevice
from workers.sweeper import Sweeper

SESSIONS, WORKERS = 10_000, 10
MOST = 2_000
"""A batch: 200 jobs have eight parts each."""
WHOLE = {
    b"HGETALL": "hlen",
    b"HKEYS": "hlen",
    b"HVALS": "hlen",
    b"SMEMBERS": "scard",
    b"SORT": "scard",
    b"KEYS": "dbsize",
    b"XRANGE": "xlen",
}
RANGES = {b"ZRANGE": "zcard", b"LRANGE": "llen", b"ZRANGEBYSCORE": "zcard", b"ZREVRANGE": "zcard"}


class Registered:
    """A store in which all of them are registered."""

    def __init__(self, sessions):
        at = now_ms() - keys.DAY
        self.devices = [
            StoredDevice(one, f"7900{number:07}:1@s.whatsapp.net", at, "") for number, one in enumerate(sessions)
        ]

    async def to_hold(self):
        return self.devices

    async def device(self, session):
        return next((one for one in self.devices if one.session == session), None)


@pytest.fixture
async def fleet(redis):
    """Ten workers that beat, with a thousand linked sessions each."""
    sessions = [SessionId(f"company_{number}") for number in range(SESSIONS)]
    for index in range(WORKERS):
        await hold(redis, WorkerId(f"w{index}"), sessions[index::WORKERS])
    return sessions


@asynccontextmanager
async def monitored(operator):
    """Every command that Redis carries out meanwhile, as lists of its parts."""
    said: list[list[bytes]] = []
    async with operator.monitor() as monitor:

        async def listen():
            async for line in monitor.listen():
                if (parts := str(line["command"]).encode().split(b" ")) == [b"ECHO", b"over"]:
                    return
                said.append(parts)

        async with beside(listen()) as listening:
            yield said
            await operator.echo("over")  # the monitor speaks after the answers, and in their order
            async with asyncio.timeout(20):
                await listening


async def sizes(redis, said):
    """The largest of each kind of command: arguments, or the whole of what it asks for."""
    most: dict[bytes, int] = {}
    for parts in said:
        name = parts[0].upper()
        if name in {b"SCAN", b"SSCAN", b"HSCAN", b"ZSCAN"}:
            raise AssertionError(f"nothing is scanned: {parts}")
        if name == b"SCRIPT":
            continue  # the text of our scripts
        size = len(parts) + sum(one.count(b",") for one in parts)  # a script takes its arguments as one JSON object
        counted = WHOLE.get(name) or (RANGES.get(name) if b"LIMIT" not in [one.upper() for one in parts] else None)
        if counted == "dbsize":
            size = await redis.dbsize()
        elif counted:
            with suppress(Exception):  # a key of another kind, or none
                size = int(await getattr(redis, counted)(parts[1].decode()))
            if name in RANGES and parts[2:4] in ([b"0", b"0"], [b"-1", b"-1"]):
                size = 1
        most[name] = max(most.get(name, 0), size)
    return most


async def test_no_command_touches_all_of_ten_thousand_sessions(redis, operator, world, fleet, monkeypatch):
    monkeypatch.setattr(sweeper_module, "REDIS_YOUNG_SECONDS", 0)
    store = cast("Any", Registered(fleet))
    sweeper = Sweeper(redis, world.leases, world.rescue, world.snapshots, store, Outbox(redis), OTHER)
    async with monitored(operator) as said:
        lease = await world.serve(OTHER, State.AWAITING_PHONE)  # a click, and all that comes of it
        assert await world.leases.advance(lease)
        await gauges.read(redis)
        await world.leases.held_by(WorkerId("w2"))
        await sweeper.sweep()  # when all is well
        await stop_beating(redis, WorkerId("w0"))
        await world.leases.beat(WorkerId("w1"), 4)
        await redis.delete(keys.SWEPT)
        await sweeper.sweep()  # when a worker with a thousand sessions has died
    assert await redis.zcard(keys.QUEUE_RESUME) == SESSIONS // WORKERS, "its sessions wait for a worker with room"
    await world.leases.beat(OTHER, 1)  # a slow machine takes longer for all that than a heartbeat lives
    assert await world.leases.owner(SESSION) == OTHER
    most = await sizes(redis, said)
    assert {b"EVALSHA", b"GET", b"SRANDMEMBER", b"ZADD"} <= most.keys(), "it hears what scripts do"
    assert {name: size for name, size in most.items() if size > MOST} == {}
