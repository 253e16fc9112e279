"""How a job is taken: in one step that can be said twice, so that no fault costs a place or half a minute."""

import asyncio

import pytest
from arq.worker import Worker
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.core import keys
from shared.core.ids import WorkerId
from shared.state.lease import LEASE_MS
from tests.integration.queues import QUEUE, Shop, is_empty
from tests.waiting import until


async def test_a_fault_while_a_job_is_taken_costs_no_place(redis, monkeypatch):
    shop = Shop(redis)
    await shop.put("quick", "job")

    async def broken(*_args):
        raise RedisConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(redis, "evalsha", broken)
        for _ in range(3):
            with pytest.raises(RedisConnectionError):
                await shop.worker.start_due()
    assert shop.worker.job_counter == 0
    assert shop.worker.sem._value == shop.worker.max_jobs + 1


async def test_a_job_whose_taking_was_not_answered_is_taken_by_the_second_try(shop, redis, monkeypatch):
    """As when the connection breaks after Redis has done it: the pool says it again."""
    said = redis.evalsha

    async def twice(*args):
        await said(*args)
        return await said(*args)

    monkeypatch.setattr(redis, "evalsha", twice)
    await shop.put("quick", "job")
    assert await shop.next_begun() == "job"
    await until(lambda: is_empty(redis))
    assert shop.done == ["job"]


async def test_a_job_that_a_fault_interrupted_is_run_again_at_once(shop, redis, monkeypatch):
    run, faults = shop.worker.run_job, [RedisConnectionError("gone"), ConnectionResetError()]

    async def interrupted(*args):
        if faults:
            raise faults.pop()
        await run(*args)

    monkeypatch.setattr(shop.worker, "run_job", interrupted)
    await shop.put("quick", "job")
    assert await shop.next_begun() == "job"
    await until(lambda: is_empty(redis))
    await until(lambda: shop.worker.job_counter == 0)


async def test_jobs_are_taken_in_the_order_in_which_they_are_due_and_no_more_than_there_is_room_for(redis):
    shop = Shop(redis, free=lambda: 3)
    for number in range(6):
        await shop.put("slow", f"job{number}")
    await shop.worker.start_due()
    assert list(shop.worker.tasks) == ["job0", "job1", "job2"]
    await shop.worker.start_due()
    assert len(shop.worker.tasks) == 3
    shop.go_on.set()
    await asyncio.gather(*shop.worker.tasks.values())


async def test_a_job_of_a_dead_worker_is_taken_as_soon_as_its_heartbeat_has_lapsed(redis, operator):
    await Shop(redis).put("quick", "job")
    await operator.set("arq:in-progress:job", "dead-worker:00ff", px=30_000)
    shop = Shop(redis)
    await operator.set(keys.alive(WorkerId("dead-worker")), 1, px=LEASE_MS)
    await shop.worker.start_due()
    assert not shop.worker.tasks
    await operator.delete(keys.alive(WorkerId("dead-worker")))
    await shop.worker.start_due()
    assert list(shop.worker.tasks) == ["job"]
    await asyncio.gather(*shop.worker.tasks.values())


async def test_a_job_id_that_is_no_text_is_thrown_away_and_stops_nobody(redis, operator):
    shop = Shop(redis)
    await operator.zadd(QUEUE, {b"\xff\xfe": 1})
    await shop.put("quick", "job")
    await shop.worker.start_due()
    assert list(shop.worker.tasks) == ["job"]
    await asyncio.gather(*shop.worker.tasks.values())
    assert await is_empty(redis)


async def test_two_workers_never_run_a_job_at_the_same_time(redis):
    one, two = Shop(redis), Shop(redis)
    for number in range(50):
        await one.put("slow", f"job{number}")
    await asyncio.gather(one.worker.start_due(), two.worker.start_due())
    assert not one.worker.tasks.keys() & two.worker.tasks.keys()
    assert len(one.worker.tasks) + len(two.worker.tasks) == 50
    for shop in (one, two):
        shop.go_on.set()
        await asyncio.gather(*shop.worker.tasks.values())
    assert await redis.keys("arq:*") == []


async def test_arqs_own_method_would_lose_the_place(redis, monkeypatch):
    shop = Shop(redis)
    monkeypatch.setattr(redis, "pipeline", lambda **_options: (_ for _ in ()).throw(RedisConnectionError("gone")))
    with pytest.raises(RedisConnectionError):
        await Worker.start_jobs(shop.worker, [b"job"])
    assert shop.worker.job_counter == 1, "arq has mended it: our override may go"


async def test_what_goes_on_beside_a_job_begins_before_it_is_read_and_ends_after_it(shop, redis, monkeypatch):
    run, seen = shop.worker.run_job, []

    async def watched(*args):
        seen.append(list(shop.beside))
        await run(*args)

    monkeypatch.setattr(shop.worker, "run_job", watched)
    for job in ("quick", "failing"):
        shop.beside.clear()
        await shop.put(job, "job")
        await until(lambda: shop.beside == ["job is taken", "job is over"])
        assert seen.pop() == ["job is taken"]
        await until(lambda: is_empty(redis))
