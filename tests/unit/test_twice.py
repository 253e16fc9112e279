"""Everything twice: each job and each message of a holder is done once, whether it comes once or twice. (Scripts:
`state/test_scripts.py`; linkers: `linking/test_said_twice.py`; orders to a process: `engine/test_told_twice.py`; requests:
`api/test_asked_twice.py`.)"""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from msgspec import structs

import workers.jobs as jobs_module
from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.protocol import Method
from shared.jobs.queue import client
from shared.state.claims import Claims, Subject, queued
from shared.state.forgetting import Forgetting
from shared.state.outbox import Message
from tests.unit.api.config import CONFIG
from tests.unit.holding.house import HOUR_AGO, SESSION
from tests.unit.holding.line import Line
from tests.unit.twice import left_by, of
from workers.engine import protocol as pipe
from workers.jobs import Jobs
from workers.places import Places

TEXT = Message("+79007654321", "hello")
NEW = SessionId("company_new")


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
    assert "sweep" in {one.__name__ for one in jobs.here}, "a worker whose turn it is is called by name"


@pytest.mark.parametrize("at_once", [False, True], ids=["one after the other", "at once"])
@pytest.mark.parametrize("name", JOBS)
async def test_a_job_that_runs_twice_is_done_once(shift, name, at_once):
    did = []
    for times in (1, 2):
        house = await shift()
        arguments = await JOBS[name](house)
        job = getattr(house.jobs, name)
        if at_once:
            await asyncio.gather(*(job(*arguments) for _ in range(times)))
        else:
            for _ in range(times):
                await job(*arguments)
        did.append(await house.did())
    if name != "sweep":  # each of its steps is idempotent (tests/integration/test_sweeper.py)
        assert did[0] == did[1]


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
            await house.holders.hear(structs.replace(HEARD["sent"], message=text))
            await house.told(1)
        line = HEARD[name]
        line = structs.replace(line, message=text) if hasattr(line, "message") else line
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
