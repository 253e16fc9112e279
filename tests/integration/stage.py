"""The stage on which the real attempt plays a course, over a real Redis: scripted linkers, and a store that only remembers."""

import asyncio
from collections.abc import AsyncIterator, Iterable

from pydantic import SecretStr
from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import RUNNING, State
from shared.core.protocol import Method
from shared.jobs.queue import link_job_id
from shared.state.claims import Claims, Subject, queued
from shared.state.cooldowns import Asker, Cooldowns
from shared.state.lease import Lease, Leases
from shared.state.snapshots import Snapshots
from shared.state.switches import Board
from tests.integration.courses import LIMITS, PHONES, Event, Script
from tests.waiting import beside
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed, Exited, PipeClosed, WrongMessage
from workers.linking.attempt import Attempt, Parts
from workers.linking.limits import AttemptLimits
from workers.ownership import Ownership
from workers.store.device import Fence, StoreAway, StoredDevice, StoreFenced

LATE_MS = 5_000
"""How late an ending may be on a loaded machine; without an ending it would be never."""


class ScriptedLinker:
    """Says what its script says, in its time, and is then silent until it is killed."""

    def __init__(self, script: list[tuple[int, Event]], alive: set["ScriptedLinker"], logged_out: list[str]) -> None:
        self.pid = 1
        self._logged_out = logged_out
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
        elif message.log_out:
            self._logged_out.append(message.jid)
            self._script = [(0, pipe.Ended(reason="logged out")), (0, Exited(0, None))]

    async def gone(self, _limit: float) -> Exited:
        return Exited(0, None)

    async def kill(self) -> Exited:
        self._dead.set()
        self._alive.discard(self)
        return Exited(None, 9)

    async def __aiter__(self) -> AsyncIterator[Event]:
        for delay, event in self._script:
            await asyncio.sleep(delay / 1000)
            if self._dead.is_set():
                break
            if isinstance(event, WrongMessage):
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
        self.redis = redis
        self.script = script
        self.limits = limits
        self.alive: set[ScriptedLinker] = set()
        self.logged_out: list[str] = []  # devices, by linkers
        self.board = Board({})
        self.scratch = self
        self.away = self.fenced = False
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
        linker = ScriptedLinker(next(self._waiting, []), self.alive, self.logged_out)
        self.taken.set()
        return linker

    # The device store.
    def path(self, session: SessionId, attempt: int) -> str:
        return f"/nowhere/{session}/{attempt}"

    async def held_as(self, phones: Iterable[str]) -> list[StoredDevice]:
        if self.script.seed % 10 == 7:
            raise StoreAway("away")
        return [StoredDevice(SessionId("company_other"), "79990000000:1@s.whatsapp.net", 1, "")] * (
            self.script.seed % 10 == 3
        )

    async def adopt(
        self, session: SessionId, scratch: str, jid: str, linked_at: int, _fence: Fence, *, parked: str = ""
    ) -> StoredDevice:
        if self.fenced:
            raise StoreFenced
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

    @property
    def parts(self) -> Parts:
        """The tools of an attempt: this stage, where it is no other's."""
        return Parts(
            self.claims,
            self.cooldowns,
            self.snapshots,
            self.ownership,
            self,  # type: ignore[arg-type]
            "Salon",
            self,  # type: ignore[arg-type]
            self.hold,
            self.refuse,
            self.restart,
            self.unlink,
            self,  # type: ignore[arg-type]
            HalfNewer(self.script.seed),  # type: ignore[arg-type]
            self.limits,
        )

    async def ask(self) -> int:
        """Ask for an attempt; its number."""
        subject = Subject(self.link, now_ms() + 60_000, phone=self.script.phone, expected=self.script.expected)
        method = Method.CODE if self.script.phone else Method.QR
        attempt = (await self.claims.request(self.session, subject, queued(method, "attempt.requested"))).attempt
        await self.redis.zrem(keys.QUEUE_LINKING, link_job_id(self.session, attempt))  # as who takes its job
        return attempt

    async def begin(self) -> tuple[Attempt, "asyncio.Task[None]"]:
        """Ask for an attempt, and have it run."""
        number = await self.ask()
        attempt = Attempt(self.parts, self.session, first=number)
        await attempt.dial_ahead()
        lease = await self.ownership.acquire(self.session, attempt, attempt=number)
        assert lease is not None
        return attempt, asyncio.create_task(attempt.run(lease))

    async def play(self) -> None:
        """Run the course, and look at what it left."""
        attempt, running = await self.begin()
        async with beside(self._ask(attempt)):
            latest = (LIMITS.restarts + 3) * LIMITS.attempt + LIMITS.finish + LATE_MS
            await asyncio.wait({running}, timeout=latest / 1000)
        assert running.done(), "it never ended"
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
