"""Everything in Redis under one word: no name escapes it, and nothing of another stack is heard."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.core import keys
from shared.core.ids import WorkerId
from shared.core.lifecycle import State
from shared.jobs.queue import QueueWorker, client, enqueue
from shared.jobs.wake import listen_for_calls
from shared.state import namespace
from shared.state import pool as redis_pool
from shared.state.namespace import Namespace
from shared.tasks import cancelled
from tests.unit.world import PHONE, SESSION, World
from tests.waiting import until


@pytest.fixture
async def stacks(config_for, redis_server):
    """Makes our client and listener of a stack: `await stacks(namespace="x", database=0)`."""
    opened: list[Redis] = []

    def make(database=0, **settings):
        url = redis_server.removesuffix("/0") + f"/{database}"
        config = config_for(url).model_copy(update=settings)
        ours, theirs = client(redis_pool.pool(config)), redis_pool.subscriber(config)
        opened.extend((ours, theirs))
        return ours, theirs

    yield make
    for one in opened:
        await one.aclose(close_connection_pool=True)


async def names(redis_server, database=0):
    async with Redis.from_url(redis_server.removesuffix("/0") + f"/{database}") as plain:
        return {one.decode() for one in await plain.keys("*")}


@pytest.mark.parametrize(("database", "word", "begin"), [(0, "", ""), (0, "x", "x:"), (1, "", "db1:"), (1, "x", "x:")])
async def test_every_name_begins_with_the_word(stacks, redis_server, database, word, begin):
    redis, _ = stacks(database, namespace=word)
    await redis.flushdb()
    world = World(redis)
    lease = await world.serve(state=State.LINKED)
    await world.leases.beat(lease.worker, 1)
    await world.leases.keep_names(lease.worker, [lease])
    await world.ask(PHONE)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hset(keys.worker(lease.worker), mapping={"at": 1})
        pipe.pexpire(keys.worker(lease.worker), 1000)
        await pipe.execute()
    found = await names(redis_server, database)
    assert len(found) > 10
    assert all(name.startswith((f"{begin}wa:", f"{begin}arq:")) for name in found), found
    assert await world.state() is State.LINKED
    assert await redis.exists(keys.snapshot(SESSION), keys.lease(SESSION)) == 2
    assert [one async for one in redis.scan_iter(match="wa:snapshot:*")] == [
        f"{begin}{keys.snapshot(SESSION)}".encode()
    ]
    await redis.flushdb()


async def test_arqs_own_names_begin_with_it_too(stacks, redis_server):
    redis, calls = stacks(namespace="x")
    done = asyncio.Event()
    held: set[str] = set()

    async def job(_ctx: dict[str, Any]) -> None:
        held.update(await names(redis_server))
        done.set()

    worker = QueueWorker(keys.QUEUE_SESSIONS, [job], redis, worker=WorkerId("w"))
    tasks = [asyncio.create_task(worker.async_run()), asyncio.create_task(listen_for_calls(calls, [worker]))]
    try:
        await enqueue(redis, keys.QUEUE_SESSIONS, "job", job_id="one")
        async with asyncio.timeout(10):
            await done.wait()
        await until(lambda: worker.job_counter == 0)
    finally:
        await worker.drain(1)
        for task in tasks:
            await cancelled(task)
    found = held | await names(redis_server)
    assert {"x:arq:job:one", "x:arq:in-progress:one", "x:arq:retry:one", "x:arq:queue:sessions"} <= held
    assert all(name.startswith("x:") for name in found), found


async def test_nobody_hears_the_other(stacks):
    """Databases of one server share their channels, and two stacks in one database share everything."""
    (one, _), (two, ears_two), (three, ears_three) = stacks(), stacks(1), stacks(namespace="x")
    async with ears_two.pubsub() as second, ears_three.pubsub() as third:
        for ear in (second, third):
            await ear.subscribe(keys.events(SESSION))
            told = await ear.get_message(timeout=2)
            assert (told["type"], told["channel"]) == ("subscribe", keys.events(SESSION).encode())
        await World(one).ask()
        await two.publish(keys.events(SESSION), "of two")
        await three.publish(keys.events(SESSION), "of three")
        for ear, wanted in ((second, b"of two"), (third, b"of three")):
            told = await ear.get_message(timeout=2)
            assert (told["channel"], told["data"]) == (keys.events(SESSION).encode(), wanted)
            assert await ear.get_message(timeout=0.05) is None
        await second.unsubscribe(keys.events(SESSION))
        assert (await second.get_message(timeout=2))["type"] == "unsubscribe"
        assert not second.subscribed


async def test_our_tables_of_commands_are_redis_own(operator):
    """Redis tells of each command where its names are."""
    told = {name.upper(): row for name, row in (await operator.command()).items()}
    for table, wanted in ((namespace._FIRST, (1, 1)), (namespace._ALL, (1, -1)), (namespace._NONE, (0, 0))):
        for word in table & told.keys():
            if "SUBSCRIBE" in word or word == "PUBLISH":
                continue  # channels are no names to Redis
            row = told[word]
            assert (row["first_key_pos"], row["last_key_pos"]) == wanted, word


def test_a_command_that_is_in_no_table_is_refused():
    with pytest.raises(ValueError, match="SUNIONSTORE"):
        Namespace("x").within(["SUNIONSTORE", "a", "b"])
    assert Namespace("x").within(["EVALSHA", "sha", 2, "a", b"b", "c"]) == ["EVALSHA", "sha", 2, b"x:a", b"x:b", "c"]
    assert Namespace("x").within(["XREAD", "COUNT", 1, "STREAMS", "a", "b", "0", "0"])[4:] == [b"x:a", b"x:b", "0", "0"]
    assert Namespace("x").heard([b"message", b"x:a", b"x:data"]) == [b"message", b"a", b"x:data"]
    assert Namespace("x").heard([b"values", b"x:a"]) == [b"values", b"x:a"]
