"""What the design believes of arq and redis-py. When one of these fails after an upgrade, something of ours rests on it."""

import asyncio
import importlib.metadata

import pytest
from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, WatchError

from shared.state import connections
from shared.state import pool as redis_pool
from shared.state.refusals import RedisRefuses
from shared.tasks import cancelled
from tests.integration.queues import QUEUE
from tests.waiting import played_time, until


def test_arq_is_the_version_whose_insides_we_know():
    assert importlib.metadata.version("arq") == "0.28.0"
    assert importlib.metadata.version("redis").startswith("5.")


def test_a_command_is_packed_in_c_as_redis_py_packs_it_itself():
    ours = connections.Plain()
    for command in (
        ("EVALSHA", "digest", 1, "name", b"\x00\xff" * 5000, "Ж"),
        ("SCRIPT LOAD", "return 1"),
        ("SET", "x", 1.5),
    ):
        assert b"".join(ours.pack_command(*command)) == b"".join(Connection.pack_command(ours, *command))
    for odd in (True, None, ["x"]):
        with pytest.raises(DataError):
            ours.pack_command("SET", "x", odd)


async def test_an_id_is_one_job_however_often_it_is_enqueued_at_once(redis):
    jobs = await asyncio.gather(
        *(redis.enqueue_job("job", _job_id="same", _queue_name=QUEUE) for _ in range(50)), return_exceptions=True
    )
    assert len([one for one in jobs if one is not None and not isinstance(one, BaseException)]) == 1
    assert await redis.zcard(QUEUE) == 1


async def test_an_id_is_known_over_all_queues(redis):
    assert await redis.enqueue_job("job", _job_id="same", _queue_name="arq:queue:a")
    assert await redis.enqueue_job("job", _job_id="same", _queue_name="arq:queue:b") is None


async def test_a_pool_waits_for_a_connection_where_another_would_fail(config, redis_server):
    ours = redis_pool.pool(config)
    assert isinstance(ours, BlockingConnectionPool)
    redis = Redis(connection_pool=ours)
    await asyncio.gather(*(redis.ping() for _ in range(100)))
    assert len(ours._available_connections) + len(ours._in_use_connections) <= redis_pool.POOL_SIZE
    await redis.aclose(close_connection_pool=True)

    other = ConnectionPool.from_url(redis_server, max_connections=1)
    await other.get_connection()
    with pytest.raises(RedisConnectionError):
        await other.get_connection()
    await other.disconnect()


async def test_a_pool_outlasts_a_cut_of_all_its_connections(redis, operator):
    for _ in range(5):
        await redis.ping()
        await operator.client_kill_filter(_type="normal", skipme=True)
        assert await redis.ping()


async def test_a_connection_that_has_ended_or_holds_an_answer_of_nobody_is_made_anew(config, operator):
    ours = redis_pool.pool(config)
    redis = Redis(connection_pool=ours)
    await redis.ping()
    (connection,) = ours._available_connections
    assert not await connection.can_read_destructive()
    await connection.send_command("PING")
    await until(connection.can_read_destructive)
    assert await redis.echo("ours") == b"ours"
    assert not await connection.can_read_destructive()
    await operator.client_kill_filter(_type="normal", skipme=True)
    await until(connection.can_read_destructive)
    assert await redis.echo("ours") == b"ours"
    await redis.aclose(close_connection_pool=True)


async def everything_in(pubsub):
    async with asyncio.timeout(5):
        while True:
            await pubsub.get_message(timeout=1)


async def test_the_subscriber_says_that_it_was_cut_instead_of_hiding_it(config, operator):
    subscriber = redis_pool.subscriber(config)
    async with subscriber.pubsub() as pubsub:
        await pubsub.subscribe("x")
        await pubsub.get_message(timeout=1)
        await operator.client_kill_filter(_type="pubsub")
        with pytest.raises(RedisConnectionError):
            await everything_in(pubsub)
    await subscriber.aclose(close_connection_pool=True)


async def test_what_was_announced_together_is_at_hand_in_its_order(subscriber, operator):
    async with subscriber.pubsub() as pubsub:
        await pubsub.subscribe("x")
        await pubsub.get_message(timeout=5)
        await operator.eval("for number = 1, 9 do redis.call('PUBLISH', 'x', number) end", 0)
        first = await pubsub.get_message(timeout=5)
        assert [one["data"] for one in (first, *await connections.at_hand(pubsub))] == [
            b"%d" % number for number in range(1, 10)
        ]
        assert await connections.at_hand(pubsub) == []


async def test_an_error_at_hand_is_raised(subscriber):
    async with subscriber.pubsub() as pubsub:
        await pubsub.subscribe("x")
        pubsub.connection._parser._reader.feed(b"-READONLY a replica\r\n")
        with pytest.raises(RedisRefuses):
            await connections.at_hand(pubsub)


async def test_a_task_that_loses_its_cancel_is_cancelled_again():
    """As on Python 3.11, where asyncio.wait_for inside redis-py can swallow it."""
    lost: list[int] = []

    async def forgetful():
        while len(lost) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost.append(1)
        await asyncio.Event().wait()

    task = asyncio.create_task(forgetful())
    await asyncio.sleep(0)
    with played_time():
        async with asyncio.timeout(3):
            await cancelled(task)
    assert task.cancelled()
    assert len(lost) == 3


async def test_tasks_in_a_tight_loop_over_redis_end_when_they_are_cancelled(redis):
    async def busy():
        while True:
            await redis.get("x")

    tasks = [asyncio.create_task(busy()) for _ in range(30)]
    for _ in range(20):
        await redis.ping()
    async with asyncio.timeout(10):
        for task in tasks:
            await cancelled(task)


async def test_waiting_for_a_cancelled_task_does_not_swallow_ones_own_cancel():
    async def stubborn():
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if loop.time() > began + 1:
                    raise

    loop = asyncio.get_running_loop()
    began = loop.time()
    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    waiting = asyncio.create_task(cancelled(task))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await cancelled(task)


async def test_a_task_that_failed_before_it_was_cancelled_is_not_raised_again():
    async def failing():
        raise RuntimeError("broken")

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await cancelled(task)
    assert isinstance(task.exception(), RuntimeError)


@pytest.mark.parametrize("command", ["get", "hgetall"])
async def test_bytes_come_back_not_text(redis, command):
    assert await getattr(redis, command)("nothing") in (None, {})
    await redis.set("x", "ü")
    assert await redis.get("x") == "ü".encode()


async def test_arqs_own_enqueue_takes_a_broken_connection_for_a_job_that_is_there(redis, monkeypatch):
    """Why ours is one script."""
    pipeline = redis.pipeline

    def breaking(**options):
        pipe = pipeline(**options)

        async def execute(**_options):
            raise WatchError("A ConnectionError occurred on while watching one or more keys")

        pipe.execute = execute
        return pipe

    monkeypatch.setattr(redis, "pipeline", breaking)
    assert await ArqRedis.enqueue_job(redis, "job", _job_id="lost", _queue_name=QUEUE) is None
    assert await redis.zcard(QUEUE) == 0, "arq has mended it: our own enqueue may go"
