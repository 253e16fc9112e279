"""A random walk through all kinds of misfortune, one after the other, under texts and onboardings: after each what the API says
is what WhatsApp sees; in the end every accepted text has one end, and every linked device was told once.

`make test` walks for half a minute by one seed, `make chaos` for 20 minutes by a new one. A failure says which walk it was:
`WALK_MINUTES=20 WALK_SEED=7` plays the same misfortunes again, in their order. What a Redis that lost its memory may lose
(docs/recovery.md) is not asked for, but nothing may be told twice.

A walk is one state that each misfortune changes, hence one file.
"""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets import ConnectionClosed

from emulator.client import Emulator
from shared.core import keys
from shared.core.ids import SessionId
from shared.jobs.queue import client, enqueue
from tests.chaos.invariants import all_quiet
from tests.chaos.servers import Name, Server, server
from tests.chaos.test_clocks import FAKETIME, shifted
from tests.e2e.processes import Service, signal_all
from tests.e2e.stack import Stack, new_number
from tests.receiver import Receiver
from tests.waiting import until

SHORT_MINUTES = 0.4
MINUTES = float(os.environ.get("WALK_MINUTES", SHORT_MINUTES))
SEED = int(os.environ.get("WALK_SEED") or (1 if MINUTES == SHORT_MINUTES else random.randrange(10_000)))
AGREED_SECONDS = 15.0
"""Until the API says what WhatsApp sees, once the misfortune is over."""
ENDED_SECONDS = 180.0
"""Until every text has its end: it waits for 120 s at most, and a sweep looks a little later."""
FORGOTTEN_SECONDS = 20.0
"""What was accepted or told so long before Redis lost its memory may be lost with it."""
NEIGHBOURS = "neighbours"

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(600 + 90 * MINUTES),
]

Misfortune = Callable[[], Awaitable[None]]


class Walk:
    """Two stacks on one Redis, one of which is struck; its companies, and what was accepted for them."""

    def __init__(self, stack: Stack, redis: Server, receiver: Receiver, rng: random.Random) -> None:
        """`rng`: of the misfortunes. What happens meanwhile has its own, as it takes its turns as they come."""
        self._stack, self._redis, self._receiver, self._rng = stack, redis, receiver, rng
        self._life = random.Random(SEED)
        self._ways: dict[Service, Name] = {}
        self.linked: dict[str, tuple[dict[str, Any], str]] = {}
        self.left: dict[str, tuple[dict[str, Any], str]] = {}
        self.accepted: dict[str, float] = {}
        self.asked: dict[str, int] = {}
        self.agreed_at: dict[str, float] = {}
        self.losses: list[float] = []
        self.done: Counter[str] = Counter()
        self._texts = 0

    @property
    def misfortunes(self) -> dict[str, Misfortune]:
        """By what happens."""
        found: dict[str, Misfortune] = {
            "Redis is away": self._redis_away,
            "Redis goes back": self._redis_back,
            "Redis is emptied": self._redis_emptied,
            "Redis takes no writes": self._redis_readonly,
            "a worker is cut off from Redis": self._cut_off,
            "a worker dies": self._kill_worker,
            "a worker stops": self._stop_worker,
            "a worker sleeps": self._freeze_worker,
            "an engine process dies": self._kill_engine,
            "WhatsApp hangs up": self._cut_whatsapp,
            "web restarts": self._restart_web,
            "jobs come twice": self._double,
            "a company leaves": self._leave,
            "an account is restricted for a time": self._restrict,
        }
        return found

    async def start_worker(self, **environment: str) -> None:
        """One more, that reaches Redis by a way of its own."""
        way = await Name(self._redis).__aenter__()
        self._ways[await self._stack.start_worker(REDIS_URL=way.url, **environment)] = way

    async def close(self) -> None:
        for way in self._ways.values():
            await way.__aexit__()

    # --- what happens -------------------------------------------------------------------------------------------------

    async def _redis_away(self) -> None:
        self._redis.kill()
        await asyncio.sleep(self._rng.uniform(1, 12))  # the outage itself
        self._redis.start()

    async def _redis_back(self) -> None:
        file = next(self._redis.folder.glob("appendonlydir/*.incr.aof"))
        size = file.stat().st_size
        await asyncio.sleep(self._rng.uniform(0.5, 3))  # what is lost
        self._redis.kill()
        self.losses.append(time.monotonic())
        with file.open("r+b") as cut:
            cut.truncate(size)
        self._redis.start()

    async def _redis_emptied(self) -> None:
        async with self._redis.asked() as redis:
            await redis.flushall()
        self.losses.append(time.monotonic())

    async def _redis_readonly(self) -> None:
        async with self._redis.asked() as redis:
            await redis.config_set("min-replicas-to-write", "3")
            await asyncio.sleep(self._rng.uniform(1, 8))  # the fault itself
            await redis.config_set("min-replicas-to-write", "0")

    async def _cut_off(self) -> None:
        way = self._ways[self._rng.choice(self._stack.workers)]
        way.cut = True
        way.drop()
        await asyncio.sleep(self._rng.uniform(1, 14))  # the fault itself
        way.cut = False

    async def _replace(self, victim: Service) -> None:
        self._stack.workers.remove(victim)
        await self._ways.pop(victim).__aexit__()
        by = self._rng.choice(["+0s", "-240s", "+240s"]) if FAKETIME is not None else "+0s"
        await self.start_worker(**(shifted(by) if by != "+0s" else {}))

    async def _kill_worker(self) -> None:
        victim = self._rng.choice(self._stack.workers)
        await victim.kill()
        await self._replace(victim)

    async def _stop_worker(self) -> None:
        victim = self._rng.choice(self._stack.workers)
        await victim.stop()
        await self._replace(victim)

    async def _freeze_worker(self) -> None:
        victim = self._rng.choice(self._stack.workers)
        victim.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(1, 12))  # the fault itself
        victim.process.send_signal(signal.SIGCONT)

    async def _kill_engine(self) -> None:
        if below := self._rng.choice(self._stack.workers).engines():
            signal_all([self._rng.choice(below)], signal.SIGKILL)

    async def _cut_whatsapp(self) -> None:
        await self._stack.emulator.cut(tag=self._stack.tag)

    async def _restart_web(self) -> None:
        await self._stack.web.stop()
        await self._stack.start_web()

    async def _double(self) -> None:
        async with self._redis.asked() as redis:
            ours = client(redis.connection_pool)
            for company in list(self.linked):
                session = SessionId(f"company_{company}")
                for number, job in enumerate(("resume", "send", "resume", "send")):
                    ids = (session, "") if job == "send" else (session,)
                    await enqueue(ours, keys.QUEUE_SESSIONS, job, *ids, job_id=f"{job}:{session}:again:{number}")
            await enqueue(ours, keys.QUEUE_SESSIONS, "sweep", job_id="sweep:again")

    async def _leave(self) -> None:
        """The platform wants its device gone; the company comes no more."""
        await self.onboard()  # there is always one that stays
        company = self._rng.choice(sorted(self.linked))
        self.left[company] = self.linked.pop(company)
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    answer = await self._stack.http.delete(f"/api/v1/companies/{company}/session")
                    if answer.status_code == 202:
                        return
                    assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.5)  # an integrator comes back no sooner

    async def _restrict(self) -> None:
        """WhatsApp refuses an account, and releases it; an operator says so."""
        company = self._rng.choice(sorted(self.linked))
        link, number = self.linked[company]
        phone, status = number.lstrip("+"), self._rng.choice([402, 403, 406])
        await self._stack.emulator.arm("login-refused", phone=phone, status=status)
        await self._stack.emulator.cut(phone=phone)

        async def is_parked() -> bool:
            return (await self._stack.company(link))["state"] == "failed"

        await until(is_parked, 30)
        async with self._redis.asked() as redis:
            session = SessionId(f"company_{company}")
            await enqueue(client(redis.connection_pool), keys.QUEUE_SESSIONS, "unpark", session, job_id="unpark:walk")

    # --- meanwhile ----------------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def life(self) -> AsyncIterator[None]:
        """Texts are sent, each asked for twice under its key; now and then a company links."""
        over = asyncio.Event()

        async def go_on() -> None:
            while not over.is_set():
                await self._text()
                if self._life.random() < 0.1 and len(self.linked) < 12:
                    await self.onboard()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._life.uniform(0.2, 1.5)):
                        await over.wait()

        living = asyncio.create_task(go_on())
        try:
            yield
        finally:
            over.set()
            await living

    async def _text(self) -> None:
        company = self._life.choice(sorted(self.linked))
        self._texts += 1
        body = {"to": f"+7911000{self._texts % 5:04}", "text": str(self._texts)}
        made = {"the first", "the second"}  # until the answers say which text each has made, if any
        for asked in sorted(made):
            with contextlib.suppress(httpx.TransportError):
                answer = await self._stack.http.post(
                    f"/api/v1/companies/{company}/messages",
                    json=body,
                    headers={"idempotency-key": f"text-{self._texts}"},
                )
                assert answer.status_code in {202, 409, 429, 503}, answer.text
                if answer.status_code == 202:
                    self.accepted.setdefault(answer.json()["id"], time.monotonic())
                    made.add(answer.json()["id"])
                if answer.status_code != 503:
                    made.remove(asked)
        self.asked[body["text"]] = len(made)

    async def onboard(self) -> None:
        """One more company, which comes back for as long as it takes."""
        number, link = new_number(), None
        async with asyncio.timeout(300):
            while True:
                with contextlib.suppress(httpx.TransportError, OSError, ConnectionClosed, AssertionError):
                    link = link or await self._stack.link()
                    async with self._stack.socket(link) as socket:
                        state = socket.seen[-1]["snapshot"]["state"]
                        if state not in {"linked", "reconnecting"}:
                            await socket.send("request-qr")
                            shown = await socket.snapshot(lambda s: "qr" in s or s["state"] == "linked")
                            if "qr" in shown:
                                await self._stack.emulator.phone(number).scan(shown["qr"]["text"])
                                self.agreed_at[link["company"]] = time.monotonic()
                                await socket.state("linked")
                        self.linked[link["company"]] = (link, number)
                        return
                await asyncio.sleep(0.5)  # a browser comes back no sooner

    # --- what must hold -----------------------------------------------------------------------------------------------

    async def disagreement(self) -> list[Any]:
        """The companies of which the API does not say what WhatsApp sees, or of which that is not well."""
        found = []
        for link, number in [*self.linked.values(), *self.left.values()]:
            stays = link["company"] in self.linked
            devices = [(one["id"], one["online"]) for one in await self._stack.emulator.phone(number).devices()]
            said: Any = "web is away"
            with contextlib.suppress(httpx.TransportError):
                answer = await self._stack.http.get(f"/api/v1/companies/{link['company']}")
                said = answer.json().get("state", answer.status_code)
            online = [up for _, up in devices]
            if said != ("linked" if stays else "unlinked") or (online != [True] if stays else online):
                found.append((link["company"], said, devices))
        return found

    async def agrees(self) -> bool:
        """Whether the API says of each company what WhatsApp sees, and that is well."""
        return not await self.disagreement()

    def _may_be_lost(self, moment: float) -> bool:
        return any(loss - FORGOTTEN_SECONDS <= moment <= loss + 1 for loss in self.losses)

    def _told(self, *kinds: str, by: str) -> dict[str, set[str]]:
        """The events of some kinds, by what they are about; the same event may come again."""
        found: dict[str, set[str]] = {}
        for one in self._receiver.received:
            if one.event["type"] in kinds:
                found.setdefault(one.event[by], set()).add(one.event["type"] + one.event["id"])
        return found

    def unended(self) -> list[str]:
        """Accepted texts without an end."""
        told = self._told("message.sent", "message.failed", by="messageId")
        return [one for one, at in self.accepted.items() if one not in told and not self._may_be_lost(at)]

    async def check_arrived(self) -> None:
        """Each text is sent once at most; one that was asked for again after Redis had lost its key is another one."""
        sent: Counter[str] = Counter()
        for _, number in [*self.linked.values(), *self.left.values()]:
            sent.update(one["text"] for one in await self._stack.emulator.messages(number.lstrip("+")))
        assert {text: sent[text] for text, asked in self.asked.items() if sent[text] > asked} == {}, "sent once at most"

    def check_told(self) -> None:
        """One end for each text, one word for each device; of those that were agreed upon when nothing was lost."""
        ends = self._told("message.sent", "message.failed", by="messageId")
        assert {text: told for text, told in ends.items() if len(told) > 1} == {}, "an end is told once"
        linked = self._told("session.linked", by="companyId")
        assert {company: told for company, told in linked.items() if len(told) > 1} == {}, "a device is told once"
        agreed = [
            one for one, at in self.agreed_at.items() if one in {*self.linked, *self.left} and not self._may_be_lost(at)
        ]
        assert [one for one in agreed if one not in linked] == [], "and each is told"
        unlinked = self._told("session.unlinked", by="companyId")
        assert {company: len(told) for company, told in unlinked.items()} == dict.fromkeys(self.left, 1)


async def test_whatever_happens_what_is_told_is_so(emulator: Emulator, folder: Path) -> None:
    rng = random.Random(SEED)
    with contextlib.ExitStack() as servers:
        redis = servers.enter_context(server("--appendonly", "yes"))
        async with Receiver.running() as receiver:
            hooks: dict[str, Any] = {
                "WEBHOOK_URL": receiver.url,
                "WEBHOOK_SECRET": "the integrator's own secret",
                "MAX_RATE": "0",
            }
            async with (
                Stack.running(emulator, redis.url, folder / "one", workers=0, **hooks) as stack,
                Stack.running(emulator, redis.url, folder / "two", workers=0, NAMESPACE=NEIGHBOURS) as neighbour,
            ):
                walk = Walk(stack, redis, receiver, rng)
                try:
                    await _walk(walk, stack, neighbour, rng)
                except BaseException as error:
                    error.add_note(f"WALK_SEED={SEED} WALK_MINUTES={MINUTES:g} pytest tests/chaos/test_walk.py")
                    raise
                finally:
                    await walk.close()


async def _walk(walk: Walk, stack: Stack, neighbour: Stack, rng: random.Random) -> None:
    for _ in range(2):
        await walk.start_worker()
    for _ in range(3):
        await walk.onboard()
    end = time.monotonic() + 60 * MINUTES
    bag: list[str] = []
    while time.monotonic() < end:
        bag = bag or rng.sample(sorted(walk.misfortunes), len(walk.misfortunes))
        name = bag.pop()
        async with walk.life():
            await walk.misfortunes[name]()
            began = time.monotonic()
            try:
                await until(walk.agrees, AGREED_SECONDS)
            except TimeoutError:
                raise AssertionError(f"after {[*walk.done, name]}: {await walk.disagreement()}") from None
        walk.done[name] += 1
        print(f"{name}: agreed after {time.monotonic() - began:.1f} s", flush=True)
        for company in list(walk.linked):
            theirs = await neighbour.http.get(f"/api/v1/companies/{company}")
            assert theirs.json()["state"] == "unlinked", "neighbours share nothing"
    await until(lambda: not walk.unended(), ENDED_SECONDS)
    walk.check_told()
    await walk.check_arrived()
    print(dict(walk.done), f"{len(walk.accepted)} texts, {len(walk.linked)} companies, {len(walk.losses)} losses")
    await all_quiet(stack)
