"""Whatever phone, server and processes do, in whatever order: an attempt ends by its deadline and leaves nothing.

Thousands of random courses, most of them nonsense, run through the real attempt on a real Redis with a linker that
plays a script. A course is named by its seed: `course(seed)` plays the same again.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import RUNNING, State
from shared.core.protocol import Method
from shared.jobs.queue import client
from shared.state.claims import Claims, Subject, queued
from shared.state.cooldowns import Asker, Cooldowns
from shared.state.lease import Lease, Leases
from shared.state.snapshots import Snapshots
from shared.state.switches import Board
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed, Exited, PipeClosed, WrongMessage
from workers.linking.attempt import Attempt, Order, Parts
from workers.linking.limits import AttemptLimits
from workers.ownership import Ownership
from workers.store.device import Fence, StoreAway, StoredDevice

COURSES = 2000
AT_ONCE = 25
BATCHES = 4
LIMITS = AttemptLimits(qr=80, attempt=120, code=80, code_least=20, used_up_early=10, finish=60)
LATE_MS = 5_000
"""How late an ending may be on a loaded machine; without an ending it would be never."""

STATUSES = [None, 400, 403, 418, 429, 452, 500]
WORDS = ["success", "timeout", "error", "err-client-outdated", "err-unexpected-state", "passkey-request", "a new word"]
REASONS = ["timeout", "failed to dial", "no login within 30 s", "something that nobody knows", ""]
PHONES = ["+79001234567", "+79007654321", None]

Event = Any


@dataclass
class Script:
    """One random course: what each linker says, and what others ask meanwhile. Delays in ms."""

    seed: int
    linkers: list[list[tuple[int, Event]]] = field(default_factory=list)
    orders: list[tuple[int, Order | None]] = field(default_factory=list)
    phone: str | None = None
    expected: str | None = None
    pool_fails: bool = False
    adopt_fails: bool = False


def _event(chance: random.Random, number: int) -> Event:
    match chance.choice("QQQCRWWPPKKEXGF"):
        case "Q":
            return pipe.Qr(text=f"https://x#{chance.randrange(3)},k", number=number, born=now_ms())
        case "C":
            return pipe.Code(text="ABCD-EFGH")
        case "R":
            return pipe.CodeRefused(status=chance.choice(STATUSES), reason="said no")
        case "W":
            return pipe.Word(word=chance.choice(WORDS))
        case "P":
            return pipe.Paired(jid="79001234567:1@s.whatsapp.net", lid="", platform="android", business_name="")
        case "K":
            return pipe.Connected()
        case "E":
            refusal = chance.choice([None, *pipe.LostReason])
            until = now_ms() + 1000 if refusal is pipe.LostReason.BANNED else None
            return pipe.Ended(reason=chance.choice(REASONS), refusal=refusal, until=until)
        case "X":
            return Exited(None, 6, "panic: somewhere")
        case "G":
            return WrongMessage("gibberish")
        case _:
            return EngineFailed("the device file cannot be closed")


def course(seed: int) -> Script:
    """The course of a seed. Half of them begin as good ones do, so that the later steps are reached as well."""
    chance = random.Random(seed)
    script = Script(seed, phone=chance.choice(PHONES), expected=chance.choice([None, None, *PHONES]))
    for _ in range(4):
        events = [(chance.randrange(12), _event(chance, n + 1)) for n in range(chance.randrange(7))]
        if chance.random() < 0.5:
            good: list[Event] = [
                pipe.Qr(text="https://x#a,k", number=1, born=now_ms()),
                pipe.Paired(jid="79001234567:1@s.whatsapp.net", lid="", platform="", business_name=""),
                pipe.Connected(),
            ]
            events = [(chance.randrange(8), one) for one in good[: chance.randrange(1, 4)]] + events
        script.linkers.append(events)
    kinds: list[Order | None] = [Order.CODE, Order.CODE, Order.CANCEL, Order.HAND_OVER, None]
    script.orders = [(chance.randrange(60), chance.choice(kinds)) for _ in range(chance.randrange(3))]
    script.pool_fails = chance.random() < 0.05
    script.adopt_fails = chance.random() < 0.1
    return script


class ScriptedLinker:
    """Says what its script says, in its time, and is then silent until it is killed."""

    def __init__(self, script: list[tuple[int, Event]], alive: set["ScriptedLinker"]) -> None:
        self.pid = 1
        self.library = None
        self._script = list(script)
        self._alive = alive
        self._dead = asyncio.Event()
        self.asked = asyncio.Event()
        alive.add(self)

    async def send(self, message: pipe.Start | pipe.RequestCode) -> None:
        if self._dead.is_set():
            raise PipeClosed("it is gone")
        if isinstance(message, pipe.RequestCode):
            self.asked.set()

    async def kill(self) -> Exited:
        self._dead.set()
        self._alive.discard(self)
        return Exited(None, 9)

    async def __aiter__(self) -> AsyncIterator[Event]:
        for delay, event in self._script:
            await asyncio.sleep(delay / 1000)
            if self._dead.is_set():
                break
            if isinstance(event, WrongMessage | EngineFailed):
                raise event
            if isinstance(event, Exited):
                self._dead.set()
                self._alive.discard(self)
            yield event
        await self._dead.wait()
        yield Exited(None, 9)


class HalfNewer:
    """The web version: a newer one is there for half of the courses."""

    in_use, next_try = 1, 0

    def __init__(self, seed: int) -> None:
        self._newer = seed % 2 == 0

    async def refused(self, _library: str | None) -> bool:
        return self._newer

    def accepted(self, _library: str | None) -> None:
        pass


class Stage:
    """What an attempt works with, for one course."""

    def __init__(self, redis: Redis, script: Script, *, limits: AttemptLimits = LIMITS, secret: str = "") -> None:
        self.script = script
        self.limits = limits
        self.alive: set[ScriptedLinker] = set()
        self.board = Board({})
        self.away = False
        self.adopted = self.handed_over = self.refused = self.unlinked = False
        self.parked = ""
        self.old: StoredDevice | None = None  # of before, and parked
        self.taken = asyncio.Event()
        self._waiting = iter(script.linkers)
        self.session = SessionId(f"company_c{script.seed}")
        self.link = f"link-{script.seed}"
        self.claims, self.snapshots, self.leases = Claims(redis), Snapshots(redis), Leases(redis)
        self.cooldowns = Cooldowns(redis, SecretStr(secret or f"a secret of course {script.seed}"))
        self.ownership = Ownership(
            self.leases, WorkerId(f"w{script.seed}"), on_lapsed=self._nothing, on_beat=lambda _: None
        )

    async def _nothing(self) -> None:
        pass

    # The pool of linkers.
    @property
    def is_warm(self) -> bool:
        return self.script.seed % 2 == 0

    async def take(self) -> ScriptedLinker:
        if self.script.pool_fails:
            raise EngineFailed("no linker could be had")
        linker = ScriptedLinker(next(self._waiting, []), self.alive)
        self.taken.set()
        return linker

    # The device store.
    def scratch(self, session: SessionId, attempt: int) -> str:
        return f"/nowhere/{session}/{attempt}"

    def discard(self, _scratch: str) -> None:
        pass

    async def held_as(self, phones: Iterable[str]) -> list[StoredDevice]:
        if self.script.seed % 10 == 7:
            raise StoreAway("away")
        return [StoredDevice(SessionId("company_other"), "79990000000:1@s.whatsapp.net", 1, "")] * (
            self.script.seed % 10 == 3
        )

    async def adopt(
        self, session: SessionId, scratch: str, jid: str, linked_at: int, _fence: Fence, *, parked: str = ""
    ) -> StoredDevice:
        if self.script.adopt_fails:
            raise OSError("the disk is full")
        self.parked = parked
        return StoredDevice(session, jid, linked_at, scratch, parked)

    async def device(self, _session: SessionId) -> StoredDevice | None:
        return self.old

    async def holds(self, _device: StoredDevice) -> bool:
        return True

    # What follows an attempt.
    async def hold(self, *_: object) -> None:
        self.adopted = True

    async def refuse(self, _lease: Lease, device: StoredDevice, _seconds: float) -> None:
        if device is self.old:
            assert not self.adopted, "its keys are still there"
            self.old = None
            return
        self.refused = True

    async def restart(self, *_: object) -> None:
        self.handed_over = True

    async def unlink(self, *_: object) -> None:
        self.unlinked = True

    async def begin(self) -> tuple[Attempt, "asyncio.Task[None]"]:
        """Ask for an attempt, and have it run."""
        parts: Any = Parts(
            self.claims,
            self.cooldowns,
            self.snapshots,
            self.ownership,
            self,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
            self.hold,
            self.refuse,
            self.restart,
            self.unlink,
            "Salon",
            self,  # type: ignore[arg-type]
            HalfNewer(self.script.seed),  # type: ignore[arg-type]
            self.limits,
        )
        subject = Subject(self.link, now_ms() + 60_000, phone=self.script.phone, expected=self.script.expected)
        method = Method.CODE if self.script.phone else Method.QR
        asked = await self.claims.request(self.session, subject, queued(method, "attempt.requested"))
        attempt = Attempt(parts, self.session, first=asked.attempt)
        lease = await self.ownership.acquire(self.session, attempt, attempt=asked.attempt)
        assert lease is not None
        return attempt, asyncio.create_task(attempt.run(lease))

    async def play(self) -> None:
        """Run the course, and look at what it left."""
        attempt, running = await self.begin()
        asking = asyncio.create_task(self._ask(attempt))
        deadline = now_ms() + (LIMITS.restarts + 3) * LIMITS.attempt + LIMITS.finish + LATE_MS
        await asyncio.wait({running}, timeout=(deadline - now_ms()) / 1000)
        assert running.done(), "it never ended"
        asking.cancel()
        running.result()

    async def _ask(self, attempt: Attempt) -> None:
        for delay, order in self.script.orders:
            await asyncio.sleep(delay / 1000)
            if order is None:
                self.away = True
                attempt.lost()
            else:
                attempt.order(order)

    async def left(self, redis: Redis) -> str | None:
        """What is wrong in the end, if anything."""
        if self.alive:
            return f"{len(self.alive)} linkers are left"
        stored = await self.snapshots.read(self.session)
        if self.away or self.handed_over:
            return None  # another worker owes the ending
        if stored.body.state in RUNNING:
            return f"no ending: {stored.body.state.value}"
        if (stored.body.state is State.LINKED) != self.adopted:
            return f"{stored.body.state.value}, and held: {self.adopted}"
        if await redis.exists(keys.claim(self.session)):
            return "its claim is left"
        if stored.body.state is not State.LINKED and await self.leases.owner(self.session) is not None:
            return "its lease is left"
        for number in filter(None, PHONES):
            if await self.cooldowns.take_code(Asker(number, SessionId("company_other")), 1000) is not None:
                return "a phone's code is still taken"
        return None


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
        (0, pipe.Paired(jid="79001234567:1@s.whatsapp.net", lid="", platform="", business_name="")),
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


@pytest.mark.parametrize("number", [1, 2], ids=["the same device", "another device"])
async def test_a_parked_device_of_before_is_logged_out_before_its_keys_are_replaced(
    redis_server: str, number: int
) -> None:
    redis = client(Redis.from_url(redis_server).connection_pool)
    jid = "79001234567:1@s.whatsapp.net"
    paired: list[tuple[int, Event]] = [
        (0, pipe.Qr(text="https://x#a,k", number=1, born=now_ms())),
        (0, pipe.Paired(jid=jid, lid="", platform="", business_name="")),
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
        assert 0 < refused.failure.retry_at - now_ms() <= limits.qr
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
