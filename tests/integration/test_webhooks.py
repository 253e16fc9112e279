"""Events go over real HTTP to a receiver that fails, hangs, redirects: by the jobs of a real queue."""

import asyncio
import contextlib

import httpx
import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import WorkerId
from shared.jobs import queue
from shared.jobs.queue import QueueWorker
from shared.jobs.wake import listen_for_calls
from shared.state import events as webhooks
from shared.state import pool as redis_pool
from shared.state.events import Event, EventShelf, EventType, signature
from shared.tasks import cancelled
from tests.receiver import HANG, Receiver
from tests.unit.world import SESSION
from tests.waiting import until
from workers import delivery
from workers.delivery import Webhooks
from workers.jobs import Jobs

SECRET = "the integrator's own secret"


@pytest.fixture
async def calls(config):
    ours = redis_pool.subscriber(config)
    yield ours
    await ours.aclose(close_connection_pool=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses of milliseconds, and a queue that is looked at as often."""
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(queue, "IDLE_SECONDS", 0.05)


@contextlib.asynccontextmanager
async def worker(redis, calls, url):
    """A worker that does nothing but deliver."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work, _name):
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    hooks = Webhooks(url, SECRET, redis, spawn)
    jobs = Jobs(redis, None, None, None, None, None, None, spawn, hooks)
    working = QueueWorker(keys.QUEUE_SESSIONS, jobs.anywhere, redis, worker=WorkerId("w"))
    running = [asyncio.create_task(work) for work in (working.async_run(), listen_for_calls(calls, [working]))]
    try:
        yield hooks
    finally:
        await working.drain(0)
        for task in (*running, *tasks):
            await cancelled(task)
        await hooks.close()


async def kept(redis, name="e1"):
    """An event that lies there with no job for it, as after a worker's death."""
    event = Event(id=name, type=EventType.SESSION_LINKED, company_id="salon", session_id="company_salon", at=now_ms())
    await EventShelf(redis).put(event)
    return event


async def counted(redis, result, kind="session.linked"):
    return int(await redis.hget(keys.STATS, f'webhooks{{result="{result}",type="{kind}"}}') or 0)


async def test_a_receiver_that_fails_twice_gets_the_same_event_a_third_time_each_time_freshly_signed(redis, calls):
    async with Receiver.running(500, 503) as receiver, worker(redis, calls, receiver.url) as hooks:
        hooks.message(SESSION, "00ff00ff00ff00ff", None)
        tries = await receiver.requests(3)
        await until(lambda: is_settled(redis))
        assert len({one.body for one in tries}) == 1
        assert {(one.method, one.path, one.headers["x-webhook-id"]) for one in tries} == {
            ("POST", "/hooks", "message-00ff00ff00ff00ff")
        }
        stamps = [int(one.headers["x-webhook-timestamp"]) for one in tries]
        assert stamps == sorted(stamps)
        assert abs(stamps[2] - now_ms()) < 5000
        for one, stamp in zip(tries, stamps, strict=True):
            assert one.headers["x-webhook-signature"] == signature(SECRET, stamp, one.body)
            assert one.headers["content-type"] == "application/json"
        assert await counted(redis, "retried", "message.sent") == 2
        assert await counted(redis, "delivered", "message.sent") == 1
    assert len(receiver.received) == 3
    assert await redis.keys("arq:*webhook*") == []


async def is_settled(redis):
    return not await redis.exists(keys.WEBHOOKS)


async def test_a_receiver_that_hangs_is_left_after_the_timeout_and_tried_again(redis, calls):
    async with Receiver.running(HANG) as receiver, worker(redis, calls, receiver.url) as hooks:
        hooks.message(SESSION, "00ff00ff00ff00ff", None)
        first, second = await receiver.requests(2)
        assert first.body == second.body
        waited = int(second.headers["x-webhook-timestamp"]) - int(first.headers["x-webhook-timestamp"])
        assert 500 <= waited < 5000
        await until(lambda: is_settled(redis))


async def test_many_events_for_a_receiver_that_hangs_hold_up_no_other_job(redis, calls, monkeypatch):
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 20)
    async with Receiver.running(then=HANG) as receiver, worker(redis, calls, receiver.url) as hooks:
        for number in range(120):  # more than a queue's worker takes at once
            hooks.message(SESSION, f"{number:016x}", None)
        await receiver.requests(delivery.AT_ONCE)
        async with asyncio.timeout(10):  # far less than the timeouts of all of them
            await until(lambda: is_empty(redis))
        assert len(receiver.received) == delivery.AT_ONCE
        assert await redis.zcard(keys.WEBHOOKS) == 120


async def is_empty(redis):
    return await redis.zcard(keys.QUEUE_SESSIONS) == 0


async def test_a_redirect_is_not_followed_and_counts_as_a_refusal(redis, calls):
    async with Receiver.running(302, 307) as receiver, worker(redis, calls, receiver.url) as hooks:
        hooks.message(SESSION, "00ff00ff00ff00ff", None)
        await receiver.requests(3)
        await until(lambda: is_settled(redis))
        assert {(one.method, one.path) for one in receiver.received} == {("POST", "/hooks")}


async def test_what_a_dead_worker_had_taken_is_delivered_by_another(redis, calls, monkeypatch):
    monkeypatch.setattr(webhooks, "HELD_MS", 1)
    monkeypatch.setattr(webhooks, "LATE_MS", 0)
    await kept(redis)
    assert await EventShelf(redis).take("e1")  # and then it was killed
    async with Receiver.running() as receiver, worker(redis, calls, receiver.url) as hooks:
        await until(lambda: EventShelf(redis).forgotten(1))
        await hooks.remind()
        (one,) = await receiver.requests(1)
        assert one.event["id"] == "e1"
        await until(lambda: is_settled(redis))


async def test_two_jobs_for_one_event_are_one_delivery(redis, calls):
    await kept(redis)
    async with Receiver.running() as receiver, worker(redis, calls, receiver.url):
        for number in range(5):
            await queue.enqueue(redis, keys.QUEUE_SESSIONS, "webhook", "e1", job_id=f"again{number}")
        await receiver.requests(1)
        await until(lambda: is_empty(redis))
        await until(lambda: is_settled(redis))
    assert len(receiver.received) == 1


async def test_nobody_listens_or_speaks_no_http(redis, calls, monkeypatch):
    async def rubbish(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\xff rubbish\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(rubbish, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await kept(redis)
    async with worker(redis, calls, f"http://127.0.0.1:{port}/") as hooks:
        due = await EventShelf(redis).take("e1")
        assert await hooks._post(due) == "RemoteProtocolError"
        server.close()
        await server.wait_closed()
        assert await hooks._post(due) == "ConnectError"


async def test_proxies_of_the_environment_are_not_asked(redis, calls, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with Receiver.running() as receiver, worker(redis, calls, receiver.url) as hooks:
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient() as believing:
                await believing.get(receiver.url)
        hooks.message(SESSION, "00ff00ff00ff00ff", None)
        await receiver.requests(1)
