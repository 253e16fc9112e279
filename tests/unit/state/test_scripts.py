"""The one Lua file: said twice is done once, no writer takes a forbidden step, and Redis' clock is the only one."""

import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from shared import scripts
from shared.core import keys
from shared.core.lifecycle import CANCELLABLE, DEVICE, RUNNING, STEPS, IllegalStep, State
from shared.core.protocol import Body, MessageType
from shared.state.claims import Subject
from shared.state.lease import NOBODY
from shared.state.snapshots import Change
from shared.wa import wa
from tests.unit.state.said import SAID
from tests.unit.world import ONE, OTHER, SESSION, Ear, World, change, stop_beating

Said = tuple[str, Callable[[World], Awaitable[Callable[[], Awaitable[object]]]]]
SCRIPTS = sorted(re.findall(r"^function script\.(\w+)", scripts._SOURCE.read_text(), re.MULTILINE))


def test_every_script_is_in_the_table():
    assert sorted({name.partition(" ")[0] for name in SAID}) == SCRIPTS


@pytest.mark.parametrize("name", SAID)
async def test_a_script_that_is_said_twice_is_done_once_and_answers_the_same(world, monkeypatch, name):
    """As when the connection breaks after Redis has done it: redis-py says the command again."""
    say, script = await SAID[name](world), name.partition(" ")[0]
    evalsha, between, heard = world.redis.evalsha, {}, []
    answers: list[tuple[object, object]] = []

    async def everything():
        found = await world.everything()
        if script == "beat":  # a sign of life may be given twice
            found.pop(keys.WORKERS.encode())
        return found

    async def twice(sha, count, *rest):
        ran = rest[count].decode() if isinstance(rest[count], bytes) else rest[count]
        first = await evalsha(sha, count, *rest)
        if ran == script:
            between.update(await everything())
            heard.extend(await ear.heard())
            second = await evalsha(sha, count, *rest)
            answers.append((first, second))
            assert await ear.heard() == [], "it is announced once"
            assert await everything() == between, "the second time nothing more is done"
            return second
        return first

    async with Ear(world.redis) as ear:
        monkeypatch.setattr(world.redis, "evalsha", twice)
        await say()
    assert answers, f"{script} was not said"
    assert all(first == second for first, second in answers)


FORBIDDEN = sorted((old, new) for old in State for new in State if new not in STEPS[old])


async def brought_to(world: World, state: State) -> Any:
    """A lease, and a session in this state."""
    lease = await world.serve()
    if state is State.UNLINKED:
        await world.lead(lease, State.LINKED)
    await world.lead(lease, state)
    return lease


@pytest.mark.parametrize("state", sorted(State))
async def test_the_owner_cannot_write_a_forbidden_step(world, state):
    lease = await brought_to(world, state)
    before = await world.everything()
    for new in (one for old, one in FORBIDDEN if old is state):
        with pytest.raises(IllegalStep, match=f"{state.value} → {new.value}"):
            await world.snapshots.save(lease, change(new, ending=True, counters=("failures",)))
        assert await world.everything() == before, "nothing was changed"


@pytest.mark.parametrize("state", sorted(State))
async def test_nobody_else_writes_a_forbidden_step_either(world, state):
    lease = await brought_to(world, state)
    await world.leases.release(lease)
    await world.redis.delete(keys.claim(SESSION))
    await world.redis.zadd(keys.CLAIMS, {SESSION: 1})
    writers: list[tuple[frozenset[State], Callable[[Change], Awaitable[object]]]] = [
        (frozenset(State) - DEVICE - {State.LINKING}, lambda one: world.claims.request(SESSION, Subject("L", 1), one)),
        (CANCELLABLE, lambda one: world.claims.cancel(SESSION, one)),
        (CANCELLABLE, lambda one: world.rescue.restart(SESSION, one)),
    ]
    writers.append(
        (
            RUNNING,
            lambda one: wa(world.redis, "close_overdue", SESSION, change=one.dump(), waited={"change": one.dump()}),
        )
    )
    for new in (one for old, one in FORBIDDEN if old is state):
        for may_write, write in writers:
            before = await world.state()
            if state in may_write:
                with pytest.raises(IllegalStep):
                    await write(Change(Body(state=new), MessageType.STATUS, "forbidden"))
            else:
                await write(Change(Body(state=new), MessageType.STATUS, "forbidden"))
            assert await world.state() is before


async def test_an_owner_that_redis_forgot_may_say_where_it_stands(world):
    lease = await brought_to(world, State.QUEUED)
    with pytest.raises(IllegalStep):
        await world.snapshots.save(lease, change(State.LINKED))
    assert await world.snapshots.save(lease, replace(change(State.LINKED), restated=True))
    assert await world.state() is State.LINKED


async def test_a_snapshot_that_nobody_can_read_is_taken_for_none(world):
    await world.redis.hset(keys.snapshot(SESSION), mapping={"attempt": 1, "seq": 1, "body": b"{no json"})
    assert (await world.ask()).attempt


async def test_of_many_calls_for_a_sweep_one_worker_sweeps_and_the_others_hear_whom_to_call(world):

    async def begin(worker):
        return await wa(world.redis, "begin_sweep", worker=worker)

    assert await begin(ONE) == ONE
    assert await begin(OTHER) == ONE
    assert await begin(ONE) == ONE
    assert await wa(world.redis, "end_sweep", worker=ONE, rest=50_000) is True
    assert await begin(OTHER) == OTHER
    assert await wa(world.redis, "end_sweep", worker=ONE, rest=50_000) is True
    assert await begin(ONE) == OTHER
    assert await world.redis.pttl(keys.SWEPT) > 0


async def test_a_sweep_whose_worker_died_may_be_taken_by_another(world):
    assert await wa(world.redis, "begin_sweep", worker=ONE) == ONE
    await stop_beating(world.redis, ONE)
    assert await wa(world.redis, "begin_sweep", worker=OTHER) == OTHER


async def test_every_heartbeat_finds_an_abandoned_lease(world):
    await world.serve()
    await world.leases.abandon(SESSION, ONE)
    assert (await world.leases.beat(OTHER, 1)).lapsed
    assert await world.leases.dead() == [NOBODY]


def test_luacheck_finds_nothing():
    tool = shutil.which("luacheck")
    if tool is None:
        pytest.skip("luacheck is not installed: apt install lua-check")
    root = scripts._SOURCE.parents[2]
    said = subprocess.run([tool, "--no-color", str(scripts._SOURCE)], cwd=root, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout


async def test_a_script_runs_though_each_connection_leads_to_another_server(world, monkeypatch):
    """In a fail-over one server is told the script, and the other is asked for it."""

    async def told_elsewhere(_source):
        return "0" * 40

    monkeypatch.setattr(world.redis, "script_load", told_elsewhere)
    assert (await world.ask()).attempt
