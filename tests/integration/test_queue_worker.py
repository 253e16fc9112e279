"""What our worker of a queue does beyond arq's: each of these fails with arq's own methods."""

import asyncio
import pickle
from pathlib import Path

import pytest
from arq.constants import in_progress_key_prefix, job_key_prefix, result_key_prefix, retry_key_prefix
from redis.asyncio import Redis

from shared.jobs import queue
from shared.jobs.queue import client
from shared.state import pool as redis_pool
from shared.tasks import cancelled
from tests.integration.queues import QUEUE, Shop, is_empty, is_idle
from tests.waiting import until


async def test_a_job_begins_at_once_and_not_when_the_queue_is_next_looked_at(shop):
    loop = asyncio.get_running_loop()
    times = []
    for number in range(20):
        began = loop.time()
        await shop.put("quick", f"job{number}")
        await shop.next_begun()
        times.append(loop.time() - began)
    assert sorted(times)[10] < 0.25, times


async def test_a_lost_call_costs_no_more_than_the_idle_time(redis, subscriber, monkeypatch):
    monkeypatch.setattr(queue, "IDLE_SECONDS", 0.3)
    async with Shop(redis).open(subscriber) as shop:
        await is_idle(shop)
        await redis.enqueue_job("quick", "job", _job_id="job", _queue_name=QUEUE)  # nobody is called
        async with asyncio.timeout(2):
            assert await shop.begun.get() == "job"


@pytest.fixture
async def alone(own_redis, config_for):
    """A process' clients of a Redis that nobody else uses, and an operator's."""
    config = config_for(own_redis.url)
    opened = client(redis_pool.pool(config)), redis_pool.subscriber(config), Redis.from_url(own_redis.url)
    yield opened
    for one in opened:
        await one.aclose(close_connection_pool=True)


async def test_an_idle_worker_leaves_redis_in_peace(alone):
    redis, subscriber, operator = alone
    async with Shop(redis).open(subscriber) as shop:
        await is_idle(shop)
        before = (await operator.info("stats"))["total_commands_processed"]
        for _ in range(10):
            await operator.ping()
            await asyncio.sleep(0.1)
        spent = (await operator.info("stats"))["total_commands_processed"] - before - 11
        assert spent <= 6


async def test_a_place_that_becomes_free_is_used_at_once(redis, subscriber, operator):
    shop = Shop(redis)
    shop.worker.max_jobs = 1
    shop.worker.sem = asyncio.BoundedSemaphore(2)
    async with shop.open(subscriber):
        await shop.put("slow", "first")
        assert await shop.next_begun() == "first"
        await shop.put("quick", "second")
        await until(lambda: is_waiting(shop))
        shop.go_on.set()
        assert await shop.next_begun() == "second"


async def is_waiting(shop):
    return not shop.worker._wake.is_set() and await shop.redis.zcard(QUEUE) == 2


async def test_a_queue_is_not_touched_while_there_is_no_room_so_its_size_is_the_number_of_those_who_wait(
    redis, subscriber
):
    room = 2
    shop = Shop(redis, free=lambda: room)
    async with shop.open(subscriber):
        for number in range(6):
            await shop.put("slow", f"job{number}")
        assert {await shop.next_begun(), await shop.next_begun()} == {"job0", "job1"}
        room = 0  # the two have handed over what they hold; nobody has given a place back
        shop.go_on.set()
        await until(lambda: len(shop.done) == 2)
        await until(lambda: shop.worker.job_counter == 0)
        for _ in range(5):
            shop.worker.wake()
            await until(lambda: not shop.worker._wake.is_set())
        assert shop.begun.empty()
        assert await redis.zcard(QUEUE) == 4
        room = 10
        shop.worker.wake()
        assert sorted([await shop.next_begun() for _ in range(4)]) == ["job2", "job3", "job4", "job5"]
        await until(lambda: is_empty(redis))


async def test_an_id_can_be_used_again_as_soon_as_its_job_has_run(shop, redis):
    for number in range(30):
        await shop.put("quick", f"round{number}", job_id="same")
        assert await shop.next_begun() == f"round{number}"
        await until(lambda: is_empty(redis))
    assert await redis.keys("arq:*same*") == []


async def test_a_failed_job_frees_its_id_and_leaves_no_result_and_no_secret(shop, redis):
    for _ in range(2):
        await shop.put("failing", "job")
        assert await shop.next_begun() == "job"
        await until(lambda: is_empty(redis))
    assert await redis.keys("arq:*job*") == []


class Hostile:
    """What an attacker with access to Redis would put there."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (Path.touch, (Path(self.trace),))


async def test_a_hostile_pickle_executes_nothing_and_the_queue_goes_on(shop, redis, folder):
    trace = folder / "executed"
    evil = pickle.dumps({"t": None, "f": "quick", "a": (Hostile(str(trace)),), "k": {}, "et": 0})
    await redis.set(f"{job_key_prefix}evil", evil)
    await redis.zadd(QUEUE, {"evil": 1})
    await shop.put("quick", "good")
    assert await shop.next_begun() == "good"
    await until(lambda: is_empty(redis))
    assert not trace.exists()
    pickle.loads(evil)
    assert trace.exists(), "it was hostile"


@pytest.mark.parametrize(
    "job",
    [
        b"{}",
        b"[]",
        b"null",
        b'{"f":"no-such-job","a":[],"k":{},"et":1,"t":null}',
        b'{"f":"quick","a":["x",1,2],"k":{},"et":1,"t":null}',
    ],
)
async def test_a_job_that_is_none_is_thrown_away_and_the_queue_goes_on(shop, redis, job):
    await redis.set(f"{job_key_prefix}odd", job)
    await redis.zadd(QUEUE, {"odd": 1})
    await shop.put("quick", "good")
    assert await shop.next_begun() == "good"
    await until(lambda: is_empty(redis))
    assert not shop.worker.main_task.done()


async def test_draining_gives_a_running_job_its_time_and_leaves_a_cancelled_one_in_the_queue(redis, subscriber):
    async with Shop(redis).open(subscriber) as shop:
        await shop.put("slow", "job")
        assert await shop.next_begun() == "job"
        began = asyncio.get_running_loop().time()
        await shop.worker.drain(0.3)
        assert 0.3 <= asyncio.get_running_loop().time() - began < 2
        assert shop.done == []
        assert await redis.exists(f"{in_progress_key_prefix}job") == 0
        assert await redis.zcard(QUEUE) == 1
        assert await redis.exists(shop.worker.health_check_key) == 0
        await shop.put("quick", "later")
    async with Shop(redis).open(subscriber) as another:
        another.go_on.set()
        assert {await another.next_begun(), await another.next_begun()} == {"job", "later"}


async def test_draining_in_the_middle_of_a_take_leaves_no_job_with_nobody(redis, monkeypatch):
    shop, said, taken = Shop(redis), redis.evalsha, asyncio.Event()

    async def late(*args):
        answer = await said(*args)
        taken.set()
        await asyncio.sleep(0.1)  # the answer is on its way
        return answer

    monkeypatch.setattr(redis, "evalsha", late)
    await shop.put("quick", "job")
    taken.clear()
    running = asyncio.create_task(shop.worker.async_run())
    await taken.wait()
    await shop.worker.drain(5)
    await cancelled(running)
    ran, waits = shop.done == ["job"], await redis.exists(f"{in_progress_key_prefix}job") == 0
    assert ran or waits, "by nobody, for half a minute"


async def test_draining_lets_a_job_finish_that_can(redis, subscriber):
    async with Shop(redis).open(subscriber) as shop:
        await shop.put("slow", "job")
        await shop.next_begun()
        asyncio.get_running_loop().call_later(0.1, shop.go_on.set)
        async with asyncio.timeout(2):
            await shop.worker.drain(5)
        assert shop.done == ["job"]
        assert await redis.keys("arq:*job*") == []


async def test_a_job_of_a_killed_worker_is_run_again_after_half_a_minute_at_most(shop, redis):
    await shop.put("slow", "job")
    await shop.next_begun()
    assert 0 < await redis.pttl(f"{in_progress_key_prefix}job") <= (queue.JOB_TIMEOUT_SECONDS + 10) * 1000
    shop.go_on.set()


def test_what_we_know_of_arqs_keys_is_still_so():
    assert (job_key_prefix, in_progress_key_prefix) == ("arq:job:", "arq:in-progress:")
    assert (result_key_prefix, retry_key_prefix) == ("arq:result:", "arq:retry:")
