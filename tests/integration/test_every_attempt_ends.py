"""Whatever phone, server and processes do, in whatever order: an attempt ends by its deadline and leaves nothing.

Thousands of random courses, most of them nonsense, run through the real attempt on a real Redis with a linker that
plays a script. A course is named by its seed: `course(seed)` plays the same again.
"""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.lifecycle import RUNNING, State
from shared.core.protocol import Method
from shared.jobs.queue import client
from shared.state.claims import Subject, queued
from tests.integration.courses import PHONES, Event, Script, course
from tests.integration.stage import ScriptedLinker, Stage
from workers.engine import protocol as pipe
from workers.linking.attempt import Attempt, Order
from workers.linking.limits import AttemptLimits
from workers.store.device import StoredDevice

COURSES = 2000
AT_ONCE = 25
BATCHES = 4


@pytest.mark.parametrize("batch", range(BATCHES))
async def test_every_course_ends_and_leaves_nothing(redis_server: str, batch: int) -> None:
    redis = client(Redis.from_url(redis_server, max_connections=AT_ONCE * 2).connection_pool)
    places = asyncio.Semaphore(AT_ONCE)
    wrong: dict[int, str] = {}
    endings: set[State] = set()

    async def play(seed: int) -> None:
        async with places:
            stage = Stage(redis, course(seed))
            try:
                await stage.play()
                found = await stage.left(redis)
            except AssertionError as error:
                found = str(error)
            if found is not None:
                wrong[seed] = found
            endings.add((await stage.snapshots.read(stage.session)).body.state)

    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(COURSES // BATCHES):
                tasks.create_task(play(batch * COURSES + number))
    finally:
        await redis.aclose(close_connection_pool=True)
    assert wrong == {}, f"course(seed) plays one again: {wrong}"
    assert endings >= {State.LINKED, State.FAILED, State.EXPIRED, State.CANCELLED}


@pytest.mark.parametrize(
    ("expected", "why", "code"), [("+79007654321", "wrong-number", "wrong-number"), (None, "revoked", "link-spent")]
)
async def test_a_phone_that_must_not_stay_is_parked_at_once_and_logged_out(
    redis_server: str, monkeypatch: pytest.MonkeyPatch, expected: str | None, why: str, code: str
) -> None:
    """Should its worker die now, nobody takes the device up and shows it as linked."""
    redis = client(Redis.from_url(redis_server).connection_pool)
    good: list[tuple[int, Event]] = [
        (0, pipe.Qr(text="https://x#a,k", number=1, born=now_ms())),
        (0, pipe.Paired(jid="79001234567:1@s.whatsapp.net", lid="")),
        (0, pipe.Connected()),
    ]
    stage = Stage(redis, Script(1, [good], expected=expected), limits=AttemptLimits())
    request = stage.claims.request

    async def request_with_a_link_that_is_revoked_then(*about: Any) -> Any:
        requested = await request(*about)
        await redis.set(keys.link(stage.link), "revoked")
        return requested

    if why == "revoked":
        monkeypatch.setattr(stage.claims, "request", request_with_a_link_that_is_revoked_then)
    try:
        await stage.play()
        body = (await stage.snapshots.read(stage.session)).body
        assert body.failure is not None
        assert (body.state, body.failure.code) == (State.FAILED, code)
        assert (stage.parked, stage.refused, stage.adopted) == (why, True, False)
        assert await stage.left(redis) is None
    finally:
        await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("learns", ["by the heartbeat", "by a write", "at the store"])
async def test_a_device_whose_attempt_lost_its_lease_is_logged_out(redis_server: str, learns: str) -> None:
    """Its phone has agreed, and nobody else has its keys: it would stay on the phone for ever."""
    redis = client(Redis.from_url(redis_server).connection_pool)
    jid = "79001234567:1@s.whatsapp.net"
    says: list[tuple[int, Event]] = [
        (0, pipe.Qr(text="https://x#a,k", number=1, born=now_ms())),
        (200, pipe.Paired(jid=jid, lid="")),
    ]
    if learns == "at the store":
        says.append((0, pipe.Connected()))
    stage = Stage(redis, Script(1, [says]), limits=AttemptLimits())
    stage.fenced = learns == "at the store"

    async def until_it_shows(state: State) -> None:
        async with asyncio.timeout(10):
            while (await stage.snapshots.read(stage.session)).body.state is not state:
                await asyncio.sleep(0.01)

    try:
        attempt, its_end = await stage.begin()
        if learns == "by a write":
            await until_it_shows(State.AWAITING_PHONE)
            await redis.set(keys.lease(stage.session), "another:1")
        elif learns == "by the heartbeat":
            await until_it_shows(State.LINKING)
            attempt.lost()
        async with asyncio.timeout(10):
            await its_end
        assert stage.logged_out == [jid]
        assert not stage.alive
        assert (await stage.snapshots.read(stage.session)).body.state in RUNNING, "its next owner tells the end"
    finally:
        await redis.aclose(close_connection_pool=True)


@pytest.mark.parametrize("number", [1, 2], ids=["the same device", "another device"])
async def test_a_parked_device_of_before_is_logged_out_before_its_keys_are_replaced(
    redis_server: str, number: int
) -> None:
    redis = client(Redis.from_url(redis_server).connection_pool)
    jid = "79001234567:1@s.whatsapp.net"
    paired: list[tuple[int, Event]] = [
        (0, pipe.Qr(text="https://x#a,k", number=1, born=now_ms())),
        (0, pipe.Paired(jid=jid, lid="")),
        (0, pipe.Connected()),
    ]
    stage = Stage(redis, Script(1, [paired]), limits=AttemptLimits())
    stage.old = StoredDevice(stage.session, jid.replace(":1@", f":{number}@"), 1, "/nowhere", "replaced")
    try:
        await stage.play()
        assert (await stage.snapshots.read(stage.session)).body.state is State.LINKED
        assert (stage.old is None) is (number == 2)
    finally:
        await redis.aclose(close_connection_pool=True)


async def test_of_two_companies_at_once_one_asks_for_the_phones_code_and_the_other_may_when_it_is_over(
    redis_server: str,
) -> None:
    """Both were let through by web, because neither had asked WhatsApp yet."""
    redis = client(Redis.from_url(redis_server).connection_pool)
    limits, phone = AttemptLimits(qr=20_000, attempt=30_000, code_least=1), PHONES[0]
    stages = []
    for seed in (1, 2):
        qr = pipe.Qr(text="https://x#a,k", number=1, born=now_ms())
        script = Script(seed, [[(0, qr)]], phone=phone)
        stages.append(Stage(redis, script, limits=limits, secret="the same for both"))

    async def until(stage: Stage, wanted: Any) -> Any:
        async with asyncio.timeout(10), redis.pubsub() as pubsub:
            await pubsub.subscribe(keys.events(stage.session))
            while not wanted(body := (await stage.snapshots.read(stage.session)).body):
                await pubsub.get_message(ignore_subscribe_messages=True, timeout=1)
            return body

    try:
        first, second = stages
        winner, its_end = await first.begin()
        async with asyncio.timeout(10):
            await (await _linker_of(first)).asked.wait()
        loser, other_end = await second.begin()
        refused = await until(second, lambda body: body.failure)
        assert refused.failure.code == "in-progress"
        assert 0 < refused.failure.retry_at - now_ms() <= limits.attempt
        assert not next(iter(second.alive)).asked.is_set()
        winner.order(Order.CANCEL)
        await its_end
        await second.claims.request(second.session, Subject(second.link, 0, phone=phone), queued(Method.CODE, "again"))
        loser.order(Order.CODE)
        async with asyncio.timeout(10):
            await next(iter(second.alive)).asked.wait()
        loser.order(Order.CANCEL)
        await other_end
    finally:
        await redis.aclose(close_connection_pool=True)


async def _linker_of(stage: Stage) -> ScriptedLinker:
    """The stage's linker, once it has one."""
    await stage.taken.wait()
    return next(iter(stage.alive))


async def test_an_order_to_an_earlier_attempt_comes_late_and_is_dropped(redis_server: str) -> None:
    redis = client(Redis.from_url(redis_server).connection_pool)
    stage = Stage(redis, Script(1, [[]]))
    try:
        attempt, its_end = await stage.begin()
        number = (await stage.snapshots.read(stage.session)).attempt
        attempt.order(Order.CANCEL, number - 1)
        assert attempt._inbox.empty()
        attempt.order(Order.CANCEL, number)
        async with asyncio.timeout(10):
            await its_end
    finally:
        await redis.aclose(close_connection_pool=True)


async def until_idle(attempt: Attempt) -> None:
    """Until the attempt has obeyed what was asked of it."""
    async with asyncio.timeout(10):
        while not attempt._inbox.empty():
            await asyncio.sleep(0.01)


async def test_an_emptied_redis_does_not_make_an_attempt_forget_which_phone_is_expected(redis_server: str) -> None:
    redis = client(Redis.from_url(redis_server).connection_pool)
    qr = pipe.Qr(text="https://x#a,k", number=1, born=now_ms())
    stage = Stage(redis, Script(1, [[(0, qr)]], expected=PHONES[0]), limits=AttemptLimits())
    try:
        attempt, its_end = await stage.begin()
        await stage.taken.wait()
        async with asyncio.timeout(10):
            while (await stage.snapshots.read(stage.session)).body.state is not State.AWAITING_PHONE:
                await asyncio.sleep(0.01)
        await redis.delete(keys.subject(stage.session))
        attempt.order(Order.CODE)  # looks at the subject again
        await until_idle(attempt)
        assert attempt._course.subject.expected == PHONES[0]
        attempt.order(Order.CANCEL)
        async with asyncio.timeout(10):
            await its_end
    finally:
        await redis.aclose(close_connection_pool=True)
