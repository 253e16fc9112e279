"""Events go over real HTTP to a receiver that fails, hangs, redirects, or that may not be reached at all.

One receiver and one worker serve all tests: one file.
"""

import asyncio
import contextlib
import socket
import time

import httpx
import pytest

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.events import EventType
from shared.core.ids import CompanyId
from shared.core.signing import new_secret, signed_headers
from shared.jobs.wake import listen_for_calls
from shared.settings import Settings
from shared.state import pool as redis_pool
from shared.state.events import Due, EventShelf, News
from shared.state.receivers import Receiver as Target
from shared.state.receivers import Receivers
from shared.tasks import cancelled
from tests.clients.receivers import LANGUAGES, documented
from tests.receiver import HANG, Receiver
from tests.serving import serving
from tests.unit.world import SESSION
from tests.waiting import until
from workers import delivery, sender
from workers.delivery import Webhooks
from workers.sender import Sender

SECRET = new_secret()
NEWS = News(tuple(EventType))


@pytest.fixture
async def calls(config):
    ours = redis_pool.subscriber(config)
    yield ours
    await ours.aclose(close_connection_pool=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Pauses of milliseconds."""
    monkeypatch.setattr(delivery, "FIRST_PAUSE_SECONDS", 0.02)


def settings_for(url="http://127.0.0.1:9/", **more):
    given = {"secret_key": "s" * 32, "api_keys": "k" * 16, "webhook_url": url, "webhook_secret": SECRET}
    return Settings.model_validate(given | more)


@contextlib.asynccontextmanager
async def worker(redis, calls, url, **more):
    """A worker that does nothing but deliver."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work, _name):
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    config, shelf = settings_for(url, **more), EventShelf(redis, NEWS)
    hooks = Webhooks(config, shelf, Receivers(config, redis), spawn)
    listening = listen_for_calls(calls, [], {keys.WEBHOOKS: hooks.call})
    running = [asyncio.create_task(work) for work in (hooks.run(), listening)]
    try:
        yield shelf
    finally:
        for task in (*running, *tasks):
            await cancelled(task)
        await hooks.close()


async def put(shelf, name="e1", kind=EventType.SESSION_LINKED):
    await shelf.put(SESSION, NEWS.event(SESSION, kind, {}, event_id=name))


async def counted(redis, result, kind="session.linked"):
    return int(await redis.hget(keys.STATS, f'webhooks{{result="{result}",type="{kind}"}}') or 0)


async def is_settled(redis):
    return not await redis.exists(keys.WEBHOOKS)


async def test_a_receiver_that_fails_twice_gets_the_same_event_a_third_time_each_time_freshly_signed(redis, calls):
    async with Receiver.running(500, 503) as receiver, worker(redis, calls, receiver.url) as shelf:
        await put(shelf)
        tries = await receiver.requests(3)
        await until(lambda: is_settled(redis))
        assert len({one.body for one in tries}) == 1
        assert {(one.method, one.path, one.headers["webhook-id"]) for one in tries} == {("POST", "/hooks", "e1")}
        stamps = [int(one.headers["x-webhook-timestamp"]) for one in tries]
        assert stamps == sorted(stamps)
        assert abs(stamps[2] - now_ms()) < 5000
        for one, stamp in zip(tries, stamps, strict=True):
            signed = signed_headers(SECRET, "e1", stamp, one.body)
            assert {name: one.headers[name] for name in signed} == signed
            assert one.headers["content-type"] == "application/json"
        assert await counted(redis, "retried") == 2
        assert await counted(redis, "delivered") == 1
    assert len(receiver.received) == 3


async def test_a_receiver_that_hangs_is_left_after_the_timeout_and_tried_again(redis, calls, monkeypatch):
    monkeypatch.setattr(sender, "TIMEOUT_SECONDS", 0.5)
    async with Receiver.running(HANG) as receiver, worker(redis, calls, receiver.url) as shelf:
        await put(shelf)
        first, second = await receiver.requests(2)
        assert first.body == second.body
        waited = int(second.headers["x-webhook-timestamp"]) - int(first.headers["x-webhook-timestamp"])
        assert 500 <= waited < 5000
        await until(lambda: is_settled(redis))


async def test_a_redirect_is_not_followed_and_counts_as_a_refusal(redis, calls):
    async with Receiver.running(302, 307) as receiver, worker(redis, calls, receiver.url) as shelf:
        await put(shelf)
        await receiver.requests(3)
        await until(lambda: is_settled(redis))
        assert {(one.method, one.path) for one in receiver.received} == {("POST", "/hooks")}


async def test_what_a_dead_worker_had_taken_is_delivered_by_another(redis, calls):
    shelf = EventShelf(redis, NEWS)
    await put(shelf)
    assert (await shelf.step(1)).due  # and then it was killed
    await redis.zadd(keys.WEBHOOKS, {"e1": now_ms() - 1})  # as if its time had passed
    async with Receiver.running() as receiver, worker(redis, calls, receiver.url):
        (one,) = await receiver.requests(1)
        assert one.event["id"] == "e1"
        await until(lambda: is_settled(redis))


async def test_two_workers_deliver_each_of_many_events_once(redis, calls, config):
    more = redis_pool.subscriber(config)
    async with Receiver.running() as receiver:
        async with worker(redis, calls, receiver.url) as shelf, worker(redis, more, receiver.url):
            for number in range(60):
                await put(shelf, f"e{number}")
            await receiver.requests(60)
            await until(lambda: is_settled(redis))
        assert sorted(one.event["id"] for one in receiver.received) == sorted(f"e{number}" for number in range(60))
    await more.aclose(close_connection_pool=True)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_the_documents_receivers_verify_all_that_a_worker_delivers(redis, calls, tmp_path, language):
    """By the specification's own libraries, as PyPI and npm have them."""
    with documented(language, tmp_path, SECRET) as (url, said):
        async with worker(redis, calls, url, webhook_events=" ".join(EventType)) as shelf:
            for kind in EventType:
                await put(shelf, kind.value.replace(".", "-"), kind)
            await until(lambda: is_settled(redis))
            assert await counted(redis, "delivered", "message.received") == 1
        await until(lambda: len(verified_in(said)) >= len(EventType))
    assert sorted(verified_in(said)) == sorted(f"{kind.value} salon-1" for kind in EventType)


def verified_in(said):
    return [line for line in said.read_text().splitlines() if line.endswith("salon-1")]


DUE = Due("e1", "session.linked", CompanyId("salon-1"), b"{}", 0, 1)


async def tried(url, *, own=False, **more):
    one = Sender(settings_for(**more))
    try:
        return await one.send(Target(url, SECRET, frozenset(), own=own), DUE)
    finally:
        one.close()


async def test_nobody_listens_or_speaks_no_http():
    async def rubbish(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\xff rubbish\r\n\r\n")

    async with serving(rubbish) as port:
        assert await tried(f"http://127.0.0.1:{port}/") == "RemoteProtocolError"
    assert await tried(f"http://127.0.0.1:{port}/") == "ConnectError"


async def test_an_event_whose_id_somebody_has_written_into_redis_makes_no_header():
    async with Receiver.running() as receiver:
        one = Sender(settings_for())
        target = Target(receiver.url, SECRET, frozenset(), own=False)
        assert await one.send(target, replace(DUE, id="e1\r\nx-evil: 1")) == "LocalProtocolError"
        one.close()
        assert receiver.received == []


HOSTILE = {
    "a head that takes long to read": b"HTTP/1.1 100 " * 20_000 + b"\rX\r\n\r\n",
    "endless heads before the head": b"HTTP/1.1 100 a\r\nb: c\r\n\r\n" * 20_000 + b"x" * 20_000,
    "an answer in small pieces": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 40_000,
    "lines without an end": b"HTTP/1.1 200 OK\r\n" + b"connection: " * 40_000,
    "a length that is none": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n" + b"a: b\r\n" * 4_000,
}


async def test_a_hostile_receiver_neither_holds_up_the_worker_nor_fills_its_memory():
    """Whoever has a company's receiver chooses every byte of its answer."""
    answers = {"an answer in small pieces": None}
    for how, answer in HOSTILE.items():

        async def hostile(reader, writer, answer=answer):
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(answer)
                await writer.drain()

        async with serving(hostile) as port:
            slowest, began = 0.0, time.process_time()
            trying = asyncio.create_task(tried(f"http://127.0.0.1:{port}/"))
            while not trying.done():
                before = time.thread_time()
                await asyncio.sleep(0.01)
                slowest = max(slowest, time.thread_time() - before)
            assert await trying == answers.get(how, "RemoteProtocolError"), how
            assert slowest < 1, how  # of this thread's own time, whatever else the machine does
            assert time.process_time() - began < 5, how


async def test_a_companys_receiver_is_not_reached_in_private_networks_unless_they_are_allowed():
    async with Receiver.running() as receiver:
        local = receiver.url.replace("127.0.0.1", "localhost")
        for url in (receiver.url, local, receiver.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")):
            assert await tried(url, own=True) == "NotAllowed", url
        assert receiver.received == []
        assert await tried(receiver.url, own=True, webhook_networks="127.0.0.0/8") is None
        assert await tried(local, own=True, webhook_networks="127.0.0.0/8 ::1/128") is None
        assert [one.headers["host"] for one in receiver.received] == [
            url.split("/")[2] for url in (receiver.url, local)
        ]


async def test_a_name_that_leads_to_both_is_reached_at_the_public_address_alone(monkeypatch):
    async with Receiver.running() as receiver:
        port = int(receiver.url.split(":")[2].split("/")[0])
        asked = []

        def answers(host, at, **_options):
            asked.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, at)) for one in ("169.254.169.254", "127.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", answers)
        # 127/8 plays the public address.
        fault = await tried(f"http://hooks.example:{port}/x", own=True, webhook_networks="127.0.0.0/8")
        assert fault is None
        assert asked == ["hooks.example"], "asked once: what is connected to is what was checked"
        assert receiver.received[0].headers["host"] == f"hooks.example:{port}"


async def test_proxies_of_the_environment_are_not_asked(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with Receiver.running() as receiver:
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient() as believing:
                await believing.get(receiver.url)
        assert await tried(receiver.url) is None
