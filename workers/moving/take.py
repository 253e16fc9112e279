"""Takes devices over: their keys into the store, under a lease of the session, then a worker holds them and we watch."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.datum import Datum, replace
from shared.core.ids import CompanyId, company_of, session_of
from shared.state.audit import record
from shared.state.lease import LEASE_MS, Lease, Leases
from shared.state.pool import answer
from shared.tasks import found
from workers.engine.protocol import LostReason
from workers.moving.baileys import NotImportable
from workers.moving.service import Service
from workers.moving.verdicts import JudgedDevice, MoveVerdict
from workers.moving.watch import BAD, MoveOutcome, until_known
from workers.store.device import DeviceTaken, Fence, StoredDevice, StoreFenced

LOGIN_SECONDS = 60.0
"""Longest wait for the login. A worker with room takes a device up within seconds."""
BACK_SECONDS = 10.0
"""A connection that is away at the last look may come back for so long."""
MOST_BAD = 3
"""A batch stops after so many devices in a row that did not stay: the old service is probably back."""
_LEASE_SECONDS = LEASE_MS // 1000 + 3
"""Longest wait for a lease: that of an import that was killed lapses in less."""
EXPORTED_EVENT = "device.exported"
_LOST = frozenset({EXPORTED_EVENT, f"session.{LostReason.REPLACED.value}"})
"""Events after which another client may act as the device."""


class Taken(Datum):
    """One device's outcome; `why` is a sentence for the operator, `token` the lease under which it was taken over."""

    judged: JudgedDevice
    outcome: MoveOutcome
    why: str
    token: int = 0


class TakeOver:
    def __init__(self, service: Service, by: str, judge: Callable[[JudgedDevice], Awaitable[JudgedDevice]]) -> None:
        """`judge` gives the verdict anew, by what is known now."""
        self._service = service
        self._by = by
        self._judge = judge

    async def run(
        self, judged: list[JudgedDevice], per_minute: float, stay: float, tell: Callable[[Taken], None]
    ) -> list[Taken]:
        """Take over what can be, at most `per_minute`; then look once more, `stay` seconds after the last login, whether all
        are held still. Stops early if several in a row did not stay."""
        taken: list[Taken] = []
        async with self._service.alive() as leases:
            for one in judged:
                await self._look_again(taken, len(taken) - MOST_BAD, 0, tell)
                if sum(told.outcome in BAD for told in taken[-MOST_BAD:]) == MOST_BAD:
                    break
                began = time.monotonic()
                taken.append(await self._take(leases, one))
                tell(taken[-1])
                if one is not judged[-1]:
                    await asyncio.sleep(max(0.0, 60 / per_minute - (time.monotonic() - began)))
            await asyncio.sleep(stay)
            await self._look_again(taken, 0, BACK_SECONDS, tell)
        return taken

    async def _look_again(self, taken: list[Taken], first: int, seconds: float, tell: Callable[[Taken], None]) -> None:
        """Tell of each held device from `first` on that is held no more."""
        for number in range(max(first, 0), len(taken)):
            told = taken[number]
            if told.outcome is not MoveOutcome.HELD:
                continue
            outcome = await until_known(self._service, told.judged, told.token, seconds)
            if outcome in BAD or (seconds and outcome is not MoveOutcome.HELD):
                taken[number] = replace(told, outcome=outcome, why=outcome.says)
                tell(taken[number])

    async def _take(self, leases: Leases, one: JudgedDevice) -> Taken:
        session = session_of(CompanyId(one.company))
        lease = await found(lambda: leases.acquire(session, self._service.me), _LEASE_SECONDS, 1.0)
        if lease is None:
            return _failed(one, "a worker acts for this company just now: unlink it first, or try later")
        try:
            # The operator may have thought about it for an hour, and the owner has linked something meanwhile.
            now = await self._judge(one)
            if now.verdict is not one.verdict:
                return _failed(one, now.why or "it is there already")
            await self._put(lease, one)
        except DeviceTaken as error:
            return _failed(one, f"{company_of(error.session)} has this device already")
        except (NotImportable, StoreFenced, OSError) as error:
            return _failed(one, str(error))
        finally:
            await leases.release(lease)
        await record(self._service.redis, "device.imported", session, self._by, session=session, detail=one.found.label)
        await self._service.offer(session)
        outcome = await until_known(self._service, one, lease.token, LOGIN_SECONDS)
        return Taken(one, outcome, outcome.says, lease.token)

    async def _put(self, lease: Lease, one: JudgedDevice) -> None:
        store, theirs = self._service.store, one.found
        there = await store.device(lease.session)
        if one.verdict is MoveVerdict.AGAIN and there is not None and not await self._ran_on(there, theirs.touched):
            await store.note(replace(there, parked="", again_at=0), Fence(lease.token))
        else:
            device = StoredDevice(lease.session, theirs.jid, theirs.linked_at or now_ms(), "")
            await self._service.put(lease, device, theirs.rows)

    async def _ran_on(self, device: StoredDevice, touched: float) -> bool:
        """True if the old client has acted as the parked device since we lost it: its keys are newer than ours."""
        lines = await answer(self._service.redis.lrange(keys.timeline(device.session), 0, -1))
        losses = (one for one in map(odd.fields, lines) if str(one.get("event")) in _LOST)
        lost = max((odd.number(one.get("at")) for one in losses), default=None)
        return lost is not None and touched * 1000 > lost


def _failed(one: JudgedDevice, why: str) -> Taken:
    return Taken(one, MoveOutcome.FAILED, why)
