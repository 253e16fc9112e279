"""Everything twice: each job, each message of the pipes and each request of the API with its key is done once, whether it
comes once or twice. (Each script: tests/unit/state/test_scripts.py.)"""

import asyncio
import importlib
import sys
import typing
from types import ModuleType, SimpleNamespace
from typing import Any

import orjson
import pytest
from fakeredis import FakeAsyncRedis, FakeServer

import workers.jobs as jobs_module
from app import openapi
from app.http.operations import IDEMPOTENCY_KEY
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.protocol import Method
from shared.jobs.queue import client
from shared.state.claims import Claims, Subject, queued
from shared.state.forgetting import Forgetting
from shared.state.outbox import Message
from shared.state.pool import answer
from tests.played import CODE, CONNECTED, START, Player, ended, paired, qr, word
from tests.unit.api.config import CONFIG
from tests.unit.api.service import BODIES, COMPANY, Service, receiver_of
from tests.unit.holding.house import HOUR_AGO, SESSION
from tests.unit.holding.line import Line
from workers.engine import protocol as pipe
from workers.jobs import Jobs, Places

TEXT = Message("+79007654321", "hello")
NEW = SessionId("company_new")


async def left_by(redis: Any) -> dict[str, Any]:
    """What is told and counted, and which texts stand how."""
    fed = [entry[b"type"] for _, entry in await redis.xrange(keys.FEED)]
    counted = {name: n for name, n in (await answer(redis.hgetall(keys.STATS))).items() if b"api_writes" not in name}
    texts = [await answer(redis.hget(one, "state")) for one in sorted(await redis.keys("wa:message:*"))]
    held = sorted(await redis.keys("wa:lease:*"))
    bodies = [await answer(redis.hget(one, "body")) for one in sorted(await redis.keys("wa:snapshot:*"))]
    states = [orjson.loads(body)["state"] for body in bodies]
    return {"fed": fed, "counted": counted, "texts": texts, "held": held, "states": states}


class Shift(Line):
    """A worker's sessions and its jobs. What serves an attempt only says so."""

    def __init__(self, redis: Any) -> None:
        super().__init__(redis, now_ms() - HOUR_AGO)
        self.served: list[str] = []
        self.swept = 0
        self.over = asyncio.Event()
        self.busy: set[Any] = set()
        self.waiting: set[Any] = set()
        parts: Any = SimpleNamespace(store=self.store)
        sweeper: Any = SimpleNamespace(sweep=self._sweep)
        forgetting = Forgetting(redis, CONFIG.secret_key)
        about = (redis, self.leases, self.ownership, parts, self.sessions, sweeper, Places(5), forgetting)
        self.jobs = Jobs(*about, self.spawn)

    async def _sweep(self) -> None:
        self.swept += 1

    def spawn(self, work: Any, name: str) -> None:
        super().spawn(work, name)
        if name not in {"send", "attempt"}:  # these wait for more
            self.busy |= self.tasks - self.waiting
        self.waiting |= self.tasks

    async def did(self) -> dict[str, Any]:
        async with asyncio.timeout(5):
            while self.busy:
                ended, self.busy = await asyncio.wait(self.busy)
                for task in ended:
                    task.result()
        orders = [type(one).__name__ for one in self.holders.sent]
        done = {"held": self.holders.held, "orders": orders, "served": self.served, "ended": len(self.ended)}
        done |= await left_by(self.redis)
        self.over.set()
        return done


class Served:
    """In the place of an attempt."""

    shift: Shift
    outlasts_redis = False

    def __init__(self, *_: object, **__: object) -> None: ...

    async def run(self, _lease: object) -> None:
        self.shift.served.append("run")
        await self.shift.over.wait()

    def lost(self) -> None: ...

    def order(self, order: object, attempt: int | None = None) -> None: ...


async def held(shift: Shift) -> tuple[Any, ...]:
    await shift.up()
    return (SESSION,)


async def held_with_a_text(shift: Shift) -> tuple[Any, ...]:
    await shift.up()
    return SESSION, await shift.outbox.accept(SESSION, TEXT)


async def held_and_asked(shift: Shift) -> tuple[Any, ...]:
    await shift.up()
    return SESSION, await shift.contacts.ask(SESSION, TEXT.to)


async def asked(shift: Shift) -> tuple[Any, ...]:
    requested = await Claims(shift.redis).request(NEW, Subject("L", 0), queued(Method.QR, "attempt.requested"))
    return NEW, requested.attempt


async def nothing(_shift: Shift) -> tuple[Any, ...]:
    return ()


async def unheld(_shift: Shift) -> tuple[Any, ...]:
    return (SESSION,)


async def not_wanted(shift: Shift) -> tuple[Any, ...]:
    await Forgetting(shift.redis, CONFIG.secret_key).wish(SESSION, "anna")
    return (SESSION,)


async def parked(shift: Shift) -> tuple[Any, ...]:
    await shift.up()
    await shift.lose(pipe.LostReason.REPLACED)
    return (SESSION,)


JOBS = {
    "link": asked,
    "code": asked,
    "cancel": asked,
    "unlink": held,
    "send": held_with_a_text,
    "look": held_and_asked,
    "phone": held,
    "sweep": nothing,
    "resume": unheld,
    "unpark": parked,
    "forget": not_wanted,
}


@pytest.fixture
async def shift(monkeypatch):
    """A worker over a Redis of its own, as many as are wanted."""
    made = []

    async def one():
        redis = client(FakeAsyncRedis(server=FakeServer(), version=(7,)).connection_pool)
        made.append(redis)
        Served.shift = Shift(redis)
        return Served.shift

    monkeypatch.setattr(jobs_module, "Attempt", Served)
    monkeypatch.setattr(jobs_module, "RESUME_JITTER_SECONDS", 0)
    yield one
    for redis in made:
        await redis.aclose(close_connection_pool=True)


async def test_every_job_is_in_the_table(shift):
    jobs = (await shift()).jobs
    assert {one.__name__ for one in (*jobs.linking, *jobs.anywhere, *jobs.resuming)} == set(JOBS)


@pytest.mark.parametrize("at_once", [False, True], ids=["one after the other", "at once"])
@pytest.mark.parametrize("name", JOBS)
async def test_a_job_that_runs_twice_is_done_once(shift, name, at_once):
    did = []
    for times in (1, 2):
        house = await shift()
        arguments = await JOBS[name](house)
        job = getattr(house.jobs, name)
        if at_once:
            await asyncio.gather(*(job({"redis": house.redis}, *arguments) for _ in range(times)))
        else:
            for _ in range(times):
                await job({"redis": house.redis}, *arguments)
        did.append(await house.did())
    if name != "sweep":  # each of its steps is idempotent (tests/integration/test_sweeper.py)
        assert did[0] == did[1]


def of(union: Any) -> set[type]:
    """The messages of a pipe."""
    return set(typing.get_args(typing.get_args(union)[0]))


LOST = {reason.value: pipe.Lost(session=SESSION, reason=reason, detail="said") for reason in pipe.LostReason}
HEARD: dict[str, pipe.Line] = {
    "ready": pipe.Ready(),
    "starting": pipe.Starting(session=SESSION),
    "held": pipe.Held(session=SESSION),
    "dropped": pipe.Dropped(session=SESSION),
    "restored": pipe.Restored(session=SESSION),
    "released": pipe.Released(session=SESSION),
    "sent": pipe.Sent(session=SESSION, message="", whatsapp_id="3EB0", at=5),
    "send-failed": pipe.SendFailed(session=SESSION, message="", reason="refused"),
    "looked": pipe.Looked(session=SESSION, question="q", people=[]),
    "confirmed": pipe.Confirmed(session=SESSION, receipt=pipe.Receipt.DELIVERED, whatsapp_ids=["3EB0"], at=5),
    "received": pipe.Received(session=SESSION, whatsapp_id="A", at=5, chat="+79", sender="+79", came=pipe.Came.TEXT),
    "probed": pipe.Probed(sessions=1, starts=1),
    "remarked": pipe.Remarked(session=SESSION, remark=next(iter(pipe.Remark))),
    **{f"lost {name}": lost for name, lost in LOST.items()},
}


def test_every_message_of_a_holder_is_in_the_table():
    assert {type(one) for one in HEARD.values()} == of(pipe.FromHolder)


@pytest.mark.parametrize("name", HEARD)
async def test_what_a_holder_says_twice_is_heard_once(shift, name):
    did = []
    for times in (1, 2):
        house = await shift()
        await house.up()
        text = await house.outbox.accept(SESSION, TEXT)
        await house.sessions.send(SESSION)
        await house.handing(1)
        if name == "confirmed":
            await house.holders.hear(HEARD["sent"].model_copy(update={"message": text}))
            await house.told(1)
        line = HEARD[name]
        line = line.model_copy(update={"message": text}) if hasattr(line, "message") else line
        for _ in range(times):
            await house.holders.hear(line)
        if name in {"sent", "send-failed"}:
            await house.told(1)
        if name == "confirmed":
            await house.until(lambda house=house: len(house.events) == 2)
        did.append(await house.did())
    if name == "remarked":  # each is an error of its own, and counted as such
        counted = [one.pop("counted") for one in did]
        assert [sum(map(int, one.values())) for one in counted] == [1, 2]
    assert did[0] == did[1]


SHOWN: tuple[Any, ...] = (qr(1),)
AGREED: tuple[Any, ...] = (qr(1), paired("79001234567"))
SAID: dict[str, tuple[tuple[Any, ...], Any]] = {
    "ready": ((), pipe.Ready()),
    "qr": ((), qr(1)),
    "code": (SHOWN, CODE),
    "code-refused": (SHOWN, pipe.CodeRefused(status=429, reason="rate-overlimit")),
    "word": (SHOWN, word("timeout")),
    "word that is an end": (SHOWN, word("err-client-outdated")),
    "paired": (SHOWN, paired("79001234567")),
    "connected": (AGREED, CONNECTED),
    "ended": (AGREED, ended("stream ended")),
}


def test_every_message_of_a_linker_is_in_the_table():
    assert {type(said) for _, said in SAID.values()} == of(pipe.FromLinker)


@pytest.mark.parametrize("name", SAID)
def test_what_a_linker_says_twice_is_counted_and_ended_once(name):
    before, said = SAID[name]
    players = []
    for times in (1, 2):
        player = Player(phone="+79001234567" if "code" in name else None, now=START).begin().happen(*before)
        players.append(player.happen(*[said] * times))
    once, twice = players
    assert (once.states, once.counted, once.alerts) == (twice.states, twice.counted, twice.alerts)
    assert once.ending == twice.ending


ORDERS: dict[str, pipe.Line] = {
    "hold": pipe.Hold(session=SESSION, database="/x", jid="7:1@s.whatsapp.net"),
    "release": pipe.Release(session=SESSION),
    "log-out": pipe.LogOut(session=SESSION),
    "send": pipe.Send(session=SESSION, message="m", to="+79007654321", text="hello"),
    "look": pipe.Look(session=SESSION, question="q", numbers=[]),
    "probe": pipe.Probe(),
}


def test_every_order_to_a_holder_is_in_the_table():
    assert {type(one) for one in ORDERS.values()} == of(pipe.ToHolder)


class FakeSession:
    """Of a library that does nothing; how often it was begun."""

    begun = 0
    stuck = leaving = False
    up, number = True, ""
    sent: typing.ClassVar[list[str]] = []

    def __init__(self, hold: pipe.Hold, _library: object, tell: Any) -> None:
        type(self).begun += 1
        self.name, self._tell = hold.session, tell
        self.gone, self._end = asyncio.Event(), asyncio.Event()
        self.client = self
        self.tell = tell
        self.texts = importlib.import_module("workers.engine.child.texts").TextTurns(self)

    async def live(self) -> pipe.Line:
        await self._tell(pipe.Held(session=self.name))
        await self._end.wait()
        return pipe.Released(session=self.name)

    async def report_up(self) -> None:
        await self._tell(pipe.Held(session=self.name))

    def release(self, *_: object) -> None:
        self._end.set()

    async def log_out(self) -> None:
        self._end.set()

    async def send_text(self, _to: str, text: str) -> tuple[str, int]:
        self.sent.append(text)
        return "3EB0", 5


@pytest.fixture
def load(monkeypatch):
    """Loads a child's module over a library that is not there: to load the real one is for processes of its own."""
    package = "workers.engine.child."
    known = {name: module for name, module in sys.modules.items() if name.startswith(package)}
    library = ModuleType(f"{package}client")
    library.__getattr__ = lambda name: type(name, (Exception,), {})  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, f"{package}client", library)

    def loaded(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, f"{package}{name}", raising=False)
        return importlib.import_module(f"{package}{name}")

    yield loaded
    for name in [one for one in sys.modules if one.startswith(package)]:
        del sys.modules[name]
    sys.modules.update(known)


@pytest.mark.parametrize("name", ORDERS)
async def test_what_a_holder_is_told_twice_is_done_once(monkeypatch, load, name):
    holder_module = load("holder")
    monkeypatch.setattr(FakeSession, "begun", 0)
    monkeypatch.setattr(FakeSession, "sent", [])
    monkeypatch.setattr(holder_module, "Session", FakeSession)
    monkeypatch.setattr(holder_module, "leave", lambda: None)

    async def nobody(*_: object) -> list[pipe.Person]:
        return []

    monkeypatch.setattr(holder_module, "look", nobody)
    told: list[pipe.Line] = []
    orders: asyncio.Queue[pipe.Line | None] = asyncio.Queue()
    said = asyncio.Event()

    async def tell(line: pipe.Line) -> None:
        told.append(line)
        said.set()

    holding = holder_module.Holding(SimpleNamespace(starts=1), SimpleNamespace(send=tell, receive=orders.get))
    serving = asyncio.create_task(holding.serve())
    orders.put_nowait(ORDERS["hold"])
    await said.wait()
    for _ in range(2):
        orders.put_nowait(ORDERS[name])
    orders.put_nowait(ORDERS["release"])
    orders.put_nowait(None)
    await serving
    assert (FakeSession.begun, len(FakeSession.sent)) == (1, name == "send")
    released = [one for one in told if isinstance(one, pipe.Released)]
    assert 1 <= len(released) <= 3, "who asks again is told again"
    assert not holding._sessions


TOLD: dict[str, pipe.Line] = {
    "start": pipe.Start(database="/x"),
    "request-code": pipe.RequestCode(phone="+79001234567"),
}


def test_every_order_to_a_linker_is_in_the_table():
    assert {type(one) for one in TOLD.values()} == of(pipe.ToLinker)


class FakeLinkedClient:
    """Of a library that shows one QR, and gives codes when the test says so."""

    made: typing.ClassVar[list["FakeLinkedClient"]] = []
    said = ""

    def __init__(self, *_: object, **__: object) -> None:
        self.made.append(self)
        self.happenings: asyncio.Queue[Any] = asyncio.Queue()
        self.asked: list[str] = []
        self.answers = asyncio.Event()

    async def start(self) -> None: ...

    async def pair_phone(self, phone: str) -> str:
        self.asked.append(phone)
        await self.answers.wait()
        return "ABCDEFGH"


@pytest.mark.parametrize("name", TOLD)
async def test_what_a_linker_is_told_twice_makes_one_client_and_asks_for_one_code(monkeypatch, load, name):
    linker = load("linker")
    monkeypatch.setattr(linker, "Client", FakeLinkedClient)
    monkeypatch.setattr(FakeLinkedClient, "made", [])
    gone = asyncio.Event()

    monkeypatch.setattr(linker, "leave", gone.set)
    orders: asyncio.Queue[pipe.Line | None] = asyncio.Queue()
    told: asyncio.Queue[pipe.Line] = asyncio.Queue()
    run = linker.LinkerRun(None, SimpleNamespace(send=told.put, receive=orders.get), TOLD["start"])
    running = asyncio.create_task(run.run())
    (one,) = FakeLinkedClient.made
    one.happenings.put_nowait(linker.happen.QrShown("qr"))
    for order in (TOLD[name], TOLD[name], TOLD["request-code"]):
        orders.put_nowait(order)
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        while not orders.empty():
            await asyncio.sleep(0)
        one.answers.set()
        assert [type(await told.get()) for _ in range(2)] == [pipe.Qr, pipe.Code]
        assert one.asked == ["+79001234567"]
        orders.put_nowait(TOLD["request-code"])  # the code is over, and another is wanted
        assert isinstance(await told.get(), pipe.Code)
        orders.put_nowait(None)
        await gone.wait()
    running.cancel()
    assert len(FakeLinkedClient.made) == 1
    assert told.empty()


WITH_KEY = [one for one in openapi.ALL if IDEMPOTENCY_KEY in one.headers]
IDEMPOTENT = [one for one in openapi.ALL if one.method in {"PUT", "DELETE"} or one.name == "resend"]


def test_every_request_that_makes_something_takes_a_key_or_needs_none():
    writes = [one.name for one in openapi.ALL if one.method not in {"GET", "HEAD"}]
    assert sorted(writes) == sorted(one.name for one in (*WITH_KEY, *IDEMPOTENT))


@pytest.mark.parametrize("operation", [*WITH_KEY, *IDEMPOTENT], ids=lambda one: one.name)
async def test_a_request_that_comes_again_is_answered_alike_and_done_once(operation):
    left, answers = [], []
    for times in (1, 2):
        service = Service(FakeServer())
        if operation.name == "send":
            await service.link()
        await receiver_of(service, COMPANY)
        given = {"json": BODIES[operation.name]} if operation.body else {}
        headers = {"idempotency-key": "k"} if operation in WITH_KEY else {}
        said = [await service(operation, headers=headers, **given) for _ in range(times)]
        answers.append([one.status_code for one in said])
        left.append(await left_by(service.redis))
        if operation in WITH_KEY and operation.name != "start_attempt":
            assert said[0].json().get("id") == said[-1].json().get("id")
        await service.redis.aclose(close_connection_pool=True)
    assert len(set(answers[0] + answers[1])) == 1
    assert left[0] == left[1]


async def test_a_text_that_is_asked_for_twice_at_once_is_kept_once():
    service = Service(FakeServer())
    await service.link()
    send = next(one for one in WITH_KEY if one.name == "send")
    asked = [service(send, headers={"idempotency-key": "k"}, json=BODIES["send"]) for _ in range(5)]
    said = await asyncio.gather(*asked)
    assert len({one.json()["id"] for one in said}) == 1
    assert len(await service.redis.lrange(keys.outbox(SessionId(f"company_{COMPANY}")), 0, -1)) == 1
    await service.redis.aclose(close_connection_pool=True)
