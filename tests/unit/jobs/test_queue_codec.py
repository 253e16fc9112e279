"""Jobs are JSON in Redis: readable with redis-cli, and nothing in them can execute."""

import pickle

import orjson
import pytest
from arq.connections import ArqRedis
from arq.constants import job_key_prefix

from shared.core import keys
from shared.core.clock import now_ms
from shared.jobs import queue
from shared.wa import wa
from tests.unit.world import ONE, SESSION


async def test_a_job_can_be_read_by_a_person(redis):
    await queue.enqueue(
        redis, keys.QUEUE_LINKING, "link", SESSION, 28343214, job_id=queue.link_job_id(SESSION, 28343214)
    )
    job = orjson.loads(await redis.get(f"{job_key_prefix}link:{SESSION}:28343214"))
    assert job.pop("et") > 0
    assert job == {"t": None, "f": "link", "a": [SESSION, 28343214], "k": {}}
    assert await redis.zrange(keys.QUEUE_LINKING, 0, -1) == [f"link:{SESSION}:28343214".encode()]


async def test_the_same_job_twice_is_one_job_and_both_call_the_workers(redis):
    calls = redis.pubsub(ignore_subscribe_messages=True)
    await calls.subscribe(keys.wake(keys.QUEUE_SESSIONS))
    for _ in range(2):
        await queue.enqueue(redis, keys.QUEUE_SESSIONS, "sweep", job_id="sweep")
    assert await redis.zcard(keys.QUEUE_SESSIONS) == 1
    heard = [await calls.get_message(timeout=0) for _ in range(4)]
    assert len([one for one in heard if one]) == 2
    await calls.aclose()


async def test_a_job_that_was_withdrawn_is_gone_and_its_id_is_free_again(redis):
    for _ in range(2):
        await queue.enqueue(redis, keys.QUEUE_LINKING, "link", SESSION, 1, job_id="link:1")
        assert await redis.zcard(keys.QUEUE_LINKING) == 1
        await queue.withdraw(redis, keys.QUEUE_LINKING, "link:1")
        assert await redis.keys("arq:*") == []
    await queue.withdraw(redis, keys.QUEUE_LINKING, "link:1")


async def test_a_job_for_later_is_not_due_yet(redis, moment):
    await queue.enqueue(redis, keys.QUEUE_SESSIONS, "resume", SESSION, job_id="a")
    await queue.enqueue(redis, keys.QUEUE_SESSIONS, "resume", SESSION, job_id="b", after=60)
    due = dict(await redis.zrange(keys.QUEUE_SESSIONS, 0, -1, withscores=True))
    assert due == {b"a": moment, b"b": moment + 60_000}
    assert await redis.pttl(f"{job_key_prefix}b") > 24 * 3600 * 1000, "it outlives its wait"


async def test_a_job_is_due_by_redis_clock_and_by_no_workers(redis, monkeypatch):
    monkeypatch.setattr(queue, "now_ms", lambda: now_ms() + 600_000)  # of who enqueues
    await queue.enqueue(redis, keys.QUEUE_SESSIONS, "resume", SESSION, job_id="a")
    said = await wa(redis, "due_queues", names={"one": keys.QUEUE_SESSIONS}, queues=["one"])
    assert said == [True]


async def test_those_who_wait_are_served_in_the_order_in_which_they_came(redis):
    for number in range(9):
        await queue.enqueue(redis, keys.QUEUE_LINKING, "link", SESSION, number, job_id=f"job{number}")
    assert [await redis.zrank(keys.QUEUE_LINKING, f"job{number}") for number in range(9)] == list(range(9))


def test_a_failure_is_kept_by_its_type_only_because_its_text_may_hold_secrets():
    assert orjson.loads(queue._dumps({"r": ValueError("+79001234567")})) == {"r": {"error": "ValueError"}}


def test_a_pickle_is_not_read_as_a_job():
    with pytest.raises(ValueError):
        orjson.loads(pickle.dumps({"f": "link"}))


async def test_an_enqueuer_and_a_worker_speak_the_same_language(redis):
    assert isinstance(redis, ArqRedis)
    assert (redis.job_serializer, redis.job_deserializer) == (queue._dumps, orjson.loads)
    worker = queue.QueueWorker(
        keys.QUEUE_SESSIONS, [test_an_enqueuer_and_a_worker_speak_the_same_language], redis, worker=ONE
    )
    assert (worker.job_serializer, worker.job_deserializer) == (queue._dumps, orjson.loads)
