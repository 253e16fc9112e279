"""A queue's worker and Redis' faults: whatever breaks, it takes jobs again, and no place is lost."""

import asyncio

import pytest
from arq.worker import Worker
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.local import redis as local_redis
from shared.core import keys
from shared.jobs import queue
from shared.jobs.queue import client
from shared.state import pool as redis_pool
from tests.integration.queues import QUEUE, Shop, is_idle
from tests.recovery import at_most
from tests.waiting import beside, until

PASSWORD = "a-password-of-this-test"


async def all_done(shop, count):
    await until(lambda: len(set(shop.done)) == count, 30)
    await until(lambda: shop.worker.job_counter == 0)
    assert not any(task.done() for task in shop.tasks)


async def test_a_storm_of_cut_connections_loses_no_job_and_no_place(redis, subscriber, operator):
    async with Shop(redis).open(subscriber) as shop:
        async with beside(cut_again_and_again(operator)):
            for number in range(100):
                await until(lambda name=f"job{number}": is_put(shop, name))
        shop.worker.wake()  # a call may have fallen into the storm; in life the idle time makes it good
        await all_done(shop, 100)
        assert shop.worker.sem._value == shop.worker.max_jobs + 1


async def is_put(shop, name):
    """A request whose every try was cut is sent again, as web's callers do."""
    try:
        await shop.put("quick", name)
    except RedisError:
        return False
    return True


async def cut_again_and_again(operator):
    while True:
        await operator.client_kill_filter(_type="normal", skipme=True)
        await operator.client_kill_filter(_type="pubsub")
        await asyncio.sleep(0.05)  # a connection gets some breath, as its retries need


async def test_a_call_is_heard_again_after_the_listeners_connection_was_cut(redis, subscriber, operator):
    async with Shop(redis).open(subscriber) as shop:
        for round_ in range(3):
            await until(lambda: operator.pubsub_channels(keys.wake(QUEUE)))
            await operator.client_kill_filter(_type="pubsub")
            await until(lambda: operator.pubsub_channels(keys.wake(QUEUE)))
            await shop.put("quick", f"job{round_}")
            assert await shop.next_begun() == f"job{round_}"


async def test_a_call_that_came_while_nobody_listened_is_made_good_by_the_new_subscription(
    redis, subscriber, operator, monkeypatch
):
    monkeypatch.setattr(queue, "IDLE_SECONDS", 60.0)
    async with Shop(redis).open(subscriber) as shop:
        await is_idle(shop)
        await redis.enqueue_job("quick", "job", _job_id="job", _queue_name=QUEUE)  # nobody is called at all
        await operator.client_kill_filter(_type="pubsub")
        assert await shop.next_begun(20) == "job"


@pytest.fixture
def redis_at(folder):
    """Starts "the same" Redis again and again."""
    port = local_redis.free_port()
    return lambda: local_redis.running(folder, port=port, password=PASSWORD)


@pytest.fixture
async def mortal(config_for):
    """Clients of a Redis that will die."""
    opened: list[Redis] = []

    def connect(url):
        config = config_for(url)
        ours, theirs = client(redis_pool.pool(config)), redis_pool.subscriber(config)
        opened.extend((ours, theirs))
        return ours, theirs

    yield connect
    for one in opened:
        await one.aclose(close_connection_pool=True)


async def test_a_killed_and_restarted_redis_is_served_again_at_once(redis_at, mortal):
    with redis_at() as server:
        redis, calls = mortal(server.url)
        shop = Shop(redis)
        opened = shop.open(calls)
        await opened.__aenter__()
        await shop.put("quick", "before")
        assert await shop.next_begun() == "before"
        server.process.kill()
        server.process.wait()
    with redis_at():
        try:
            await until(lambda: says_pong(redis))
            with at_most(5):
                await shop.put("quick", "after")
                assert await shop.begun.get() == "after"
            await until(lambda: is_listening(redis))
            await shop.put("quick", "much later")
            assert await shop.next_begun() == "much later"
            await all_done(shop, 3)
        finally:
            await opened.__aexit__(None, None, None)


async def says_pong(redis):
    try:
        return await redis.ping()
    except RedisError:
        return False


async def is_listening(redis):
    return await says_pong(redis) and await redis.pubsub_channels(keys.wake(QUEUE))


async def test_a_worker_that_starts_while_redis_is_away_serves_as_soon_as_it_is_back(redis_at, mortal):
    with redis_at() as server:
        redis, calls = mortal(server.url)
    shop = Shop(redis)
    opened = shop.open(calls)
    await opened.__aenter__()
    await until(lambda: shop.worker._faults)
    with redis_at():
        try:
            await until(lambda: is_listening(redis))
            await shop.put("quick", "job")
            assert await shop.next_begun() == "job"
            await all_done(shop, 1)
        finally:
            await opened.__aexit__(None, None, None)


async def test_arqs_own_poll_would_end_with_the_first_fault(redis, subscriber, monkeypatch):
    monkeypatch.setattr(queue.QueueWorker, "_poll_iteration", Worker._poll_iteration)
    shop = Shop(redis)

    async def broken(*_args, **_options):
        raise ConnectionResetError

    async with shop.open(subscriber):
        await until(lambda: shop.worker.main_task)
        monkeypatch.setattr(redis, "zrangebyscore", broken)
        await until(shop.tasks[1].done)
        assert isinstance(shop.tasks[1].exception(), ConnectionResetError), "arq has mended it: our override may go"


async def test_enqueueing_outlasts_cut_connections_and_stays_one_job(redis, operator):
    async with beside(cut_again_and_again(operator)):
        for number in range(300):
            await queue.enqueue(redis, QUEUE, "quick", "x", job_id=f"job{number}")
    assert await redis.zcard(QUEUE) == 300
