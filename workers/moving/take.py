"""Takes devices over: their keys into the store, under a lease of the session, then a worker holds them and we watch."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from arq.connections import ArqRedis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import CompanyId, SessionId, WorkerId, company_of, session_of
from shared.core.lifecycle import State
from shared.jobs.queue import enqueue, soon_again
from shared.state.lease import HEARTBEAT_MS, Lease, Leases
from shared.state.snapshots import Snapshots
from shared.tasks import cancelled
from shared.wa import Wa
from workers.moving.baileys import NotImportable
from workers.moving.files import write_device
from workers.moving.sources import Candidate
from workers.moving.verdicts import JudgedDevice, MoveVerdict
from workers.store.device import DeviceStore, DeviceTaken, Fence, StoreFenced, Told

WATCH_SECONDS = 60.0
LOOK_SECONDS = 0.25
MOST_BAD = 3
"""A batch stops after so many devices in a row that did not stay: the old service is probably back."""


class MoveOutcome(StrEnum):
    """The result for a device that was taken over."""

    HELD = "held"
    REPLACED = "replaced"
    LOGGED_OUT = "logged-out"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Taken:
    """One device's outcome; `why` is a sentence for the operator."""

    judged: JudgedDevice
    outcome: MoveOutcome
    why: str


_WHY = {
    MoveOutcome.HELD: "held, as the same device",
    MoveOutcome.REPLACED: "the old service is back: stop it, then import with --again",
    MoveOutcome.LOGGED_OUT: "removed on the phone: send the owner a link",
    MoveOutcome.WAITING: "in the store; no worker has logged it in yet",
}


_BAD = frozenset({MoveOutcome.REPLACED, MoveOutcome.LOGGED_OUT})


class TakeOver:
    """Takes devices over one by one. Lives like a worker while it runs: its leases need its heartbeat."""

    def __init__(self, redis: ArqRedis, store: DeviceStore, me: WorkerId, template: Path, by: str) -> None:
        self._redis = redis
        self._store = store
        self._leases = Leases(redis)
        self._snapshots = Snapshots(redis)
        self._me = me
        self._template = template
        self._by = by

    async def run(self, judged: list[JudgedDevice], per_minute: float, tell: Callable[[Taken], None]) -> list[Taken]:
        """Take over what can be, at most `per_minute`. Stops early if several in a row did not stay."""
        beating = asyncio.create_task(self._beat())
        taken: list[Taken] = []
        try:
            for one in judged:
                if sum(told.outcome in _BAD for told in taken[-MOST_BAD:]) == MOST_BAD:
                    break
                began = time.monotonic()
                told = await self._take(one)
                taken.append(told)
                tell(told)
                if one is not judged[-1]:
                    await asyncio.sleep(max(0.0, 60 / per_minute - (time.monotonic() - began)))
        finally:
            await cancelled(beating)
        return taken

    async def _beat(self) -> None:
        number = 1
        while True:
            await self._leases.beat(self._me, number)
            number += 1
            await asyncio.sleep(HEARTBEAT_MS / 1000)

    async def _take(self, one: JudgedDevice) -> Taken:
        session = session_of(CompanyId(one.company))
        lease = await self._leases.acquire(session, self._me)
        if lease is None:
            return Taken(
                one, MoveOutcome.FAILED, "a worker acts for this company just now: unlink it first, or try later"
            )
        try:
            await self._put(lease, one)
        except DeviceTaken as error:
            return Taken(one, MoveOutcome.FAILED, f"{company_of(error.session)} has this device already")
        except (NotImportable, StoreFenced, OSError) as error:
            return Taken(one, MoveOutcome.FAILED, str(error))
        finally:
            await self._leases.release(lease)
        await self._record(session, one)
        await enqueue(self._redis, keys.QUEUE_SESSIONS, "resume", session, job_id=soon_again(f"resume:{session}"))
        outcome = await self._watch(session, one.found.jid)
        return Taken(one, outcome, _WHY[outcome])

    async def _put(self, lease: Lease, one: JudgedDevice) -> None:
        fence = Fence(lease.token)
        if one.verdict is MoveVerdict.AGAIN:
            device = await self._store.device(lease.session)
            if device is None:
                raise NotImportable("its device is gone from the store")
            await self._store.note(replace(device, parked="", again_at=0), fence)
            return
        candidate = one.found
        assert isinstance(candidate, Candidate)  # noqa: S101 - the judge was given candidates
        scratch = self._store.scratch(lease.session, lease.token)
        try:
            await asyncio.to_thread(write_device, self._template, candidate.rows(), Path(scratch))
            linked_at = candidate.linked_at or now_ms()
            device = await self._store.adopt(lease.session, scratch, candidate.jid, linked_at, fence, moved=True)
            # Linked long ago, elsewhere: nobody is told of that now.
            await self._store.note(replace(device, told=Told.VERIFIED), fence)
        finally:
            self._store.discard(scratch)

    async def _record(self, session: SessionId, one: JudgedDevice) -> None:
        """Write the act into the operators' timeline and into the session's."""
        await Wa(self._redis)(
            "record",
            session,
            names={"stream": keys.OPERATORS},
            fields=[
                ["event", "device.imported"],
                ["what", session],
                ["detail", one.found.name],
                ["by", self._by],
                ["why", ""],
            ],
            counters=[],
            event="device.imported",
            detail=one.found.name,
        )

    async def _watch(self, session: SessionId, jid: str) -> MoveOutcome:
        """WhatsApp's answer to the device, within `WATCH_SECONDS`."""
        until = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < until:
            device = await self._store.device(session)
            if device is None or device.jid != jid:
                return MoveOutcome.LOGGED_OUT
            if device.parked:
                return MoveOutcome.REPLACED
            if (await self._snapshots.read(session)).body.state is State.LINKED and await self._leases.owner(session):
                return MoveOutcome.HELD
            await asyncio.sleep(LOOK_SECONDS)
        return MoveOutcome.WAITING
