"""Puts right what the dead have left: their sessions and jobs, devices that nobody holds, onboardings without an end.

A sweep is a job, one at a time for the whole fleet: when a worker starts, when a heartbeat sees a dead worker, and every
minute. Each step is idempotent, and a session is freed only when it has been seen to. The finders (`Leases.dead`,
`Leases.unowned`, `Rescue.overdue`, `Outbox.overdue`) only read: `onboarding doctor` looks by them as well. One file, as the
order of a sweep's steps is what keeps sessions safe.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from arq.connections import ArqRedis

from shared.core import keys, phone
from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.failures import FailureCode
from shared.core.ids import SessionId, WorkerId, sort_sessions
from shared.core.lifecycle import DEVICE, State
from shared.core.protocol import Body, FailureView, MessageType, Method
from shared.jobs.queue import enqueue, enqueue_all
from shared.log import log
from shared.scripts import SETTLING_MS
from shared.state.audit import record
from shared.state.claims import REVOKED, Claims, queued
from shared.state.lease import NOBODY, Lease, Leases
from shared.state.outbox import WAIT_MS, Outbox
from shared.state.pool import answer
from shared.state.rescue import MOST_FOUND, Rescue
from shared.state.snapshots import Change, Snapshots, Stored
from shared.telemetry import sentry
from shared.telemetry.metrics import UNKNOWN_REGION, Swept, ended, failed
from shared.wa import wa
from workers import tallies
from workers.store.device import DeviceStore, Fence, StoreAway, StoredDevice
from workers.tallies import swept

REST_MS = 50_000
"""After a sweep, none is due by time alone for so long."""
REDIS_YOUNG_SECONDS = 4
"""Redis may forget leases when it is restarted. Within this time their owners have taken them anew."""


@dataclass(eq=False)
class Sweeper:
    """One per worker, over one Redis and the device store."""

    redis: ArqRedis
    leases: Leases
    rescue: Rescue
    snapshots: Snapshots
    store: DeviceStore
    outbox: Outbox
    me: WorkerId
    device_name: str = ""

    def __post_init__(self) -> None:
        self._claims = Claims(self.redis)
        self._at_it = self._again = False

    async def sweep(self) -> None:
        """Sweep once. If a sweep is under way, here or in another worker, have that one begin again instead. If the device
        store is away, do what can be done without it, then raise `StoreAway`."""
        self._again = True
        while self._again and not self._at_it:
            self._again, self._at_it = False, True
            try:
                by = WorkerId(await wa(self.redis, "begin_sweep", worker=self.me))
                if by != self.me:  # it begins again when it is done; if it is, and Redis did not hear so, it begins now
                    await enqueue(self.redis, keys.queue_worker(by), "sweep", job_id=f"sweep:{by}:{now_ms()}")
                    continue
                try:
                    await self._once()
                finally:
                    await wa(self.redis, "end_sweep", worker=self.me, rest=REST_MS)
            finally:
                self._at_it = False

    async def _once(self) -> None:
        settles = await self.redis.pttl(keys.SETTLING)
        if 0 < settles <= SETTLING_MS:
            await asyncio.sleep(settles / 1000)
        wishes = await self._throw_out_strange()
        await self._close_overdue()  # before the rest: what nobody waits for any more is not begun anew
        dead = await self.leases.dead()  # before the registry, which has whatever they have linked then
        registry: dict[SessionId, StoredDevice] = {}
        away: StoreAway | None = None
        try:
            registry = {device.session: device for device in await self.store.to_hold()}
        except StoreAway as error:
            away = error
        for worker in dead:
            try:
                await self._take_over(worker, registry)
            except StoreAway as error:
                away = error
        server = await self.redis.info("server")
        await asyncio.sleep(max(0, REDIS_YOUNG_SECONDS - server["uptime_in_seconds"]))
        await self._take_up_the_unheld(registry)
        await self._end_texts()
        await self.outbox.end_unconfirmed()
        for session in wishes:  # its job may be lost
            await enqueue(self.redis, keys.QUEUE_SESSIONS, "forget", session)
        if away is not None:
            raise away

    async def _throw_out_strange(self) -> list[SessionId]:
        """Remove whatever names no session from what the finders read: another program has put it there. The sessions that
        are to be forgotten."""
        for name in (keys.CLAIMS, keys.OUTBOXES):
            if strange := sort_sessions(await self.redis.zrange(name, 0, MOST_FOUND - 1))[1]:
                await self.redis.zrem(name, *strange)
        wishes, strange = sort_sessions(await answer(self.redis.hkeys(keys.FORGETTING)))
        if strange:
            await answer(self.redis.hdel(keys.FORGETTING, *strange))  # type: ignore[arg-type]
        return wishes

    async def restart(self, session: SessionId, method: Method, *counters: str) -> bool:
        """Begin an ownerless onboarding anew, for the same page. True if there was one."""
        return await self.rescue.restart(session, queued(method, "attempt.restarted", *counters)) is not None

    async def _end_texts(self) -> None:
        """Tell of old texts of sessions that nobody holds. Have the workers of other sessions look at their texts."""
        for session in await self.outbox.overdue():
            await self.outbox.put_off(session)
            owner = await self.leases.owner(session)
            if owner is None:
                state = (await self.snapshots.read(session)).body.state
                await self.outbox.give_up(session, older_ms=WAIT_MS if state in DEVICE else 0)
            else:
                await enqueue(self.redis, keys.queue_worker(owner), "send", session, "")

    async def _close_overdue(self) -> None:
        """Onboardings that nobody has ended: all workers were away, or their own is stuck."""
        for session in await self.rescue.overdue():
            if await self.rescue.close_overdue(session, swept(Swept.OVERDUE)):
                log.warning("attempt.overdue", session=session)

    async def _take_over(self, worker: WorkerId, registry: Mapping[SessionId, StoredDevice]) -> None:
        """See to every session of a dead worker, and forget the worker when nothing is left. Raises `StoreAway`; what
        could not be seen to stays with the dead."""
        seen: set[SessionId] = set()
        away: StoreAway | None = None
        while sessions := [one for one in await self.leases.held_by(worker) if one not in seen]:
            seen.update(sessions)
            safe: list[SessionId] = []
            for stored in await self.snapshots.read_all(sessions):
                # A registered device needs no more than to be taken up, like every one that nobody holds.
                if stored.body.state in DEVICE and stored.session in registry:
                    safe.append(stored.session)
                    continue
                try:
                    await self._see_to(worker, stored)
                except StoreAway as error:
                    away = error
            await self._offer(await self.leases.free(worker, safe))
        if away is not None:
            raise away
        if worker != NOBODY:
            await self.bury(worker)

    async def _see_to(self, worker: WorkerId, stored: Stored) -> None:
        session = stored.session
        if await self.restart(session, stored.body.method or Method.QR, swept(Swept.ATTEMPT)):
            log.warning("attempt.restarted", session=session)
            return
        lease = await self.leases.acquire(session, self.me)
        if lease is None:
            await self.leases.free(worker, [session])
            return
        try:
            await self._settle(lease, stored.body)
        except BaseException:
            await self.leases.abandon(session, self.me)  # the next sweep finds it
            raise
        await self.leases.release(lease)

    async def _settle(self, lease: Lease, body: Body) -> None:
        """Write the end that the dead worker could not write. A registered device is taken up afterwards, like others."""
        if body.state is not State.LINKING and body.state not in DEVICE:
            return
        device = await self.store.device(lease.session)
        if body.state is State.LINKING and (device is None or device.parked):
            # The worker died before the device was safe, and a phone cannot be asked twice.
            await self._end(lease, body, State.FAILED, FailureCode.WORKER_LOST, Swept.LINKING)
        elif body.state is State.LINKING and device is not None:
            await self._say_linked(lease, body, device)
        elif device is None:
            # It was forgotten, and the worker died before it could say so: nobody could ever link again.
            await self._end(lease, body, State.UNLINKED, FailureCode.INTERNAL, Swept.DEVICE)

    async def _say_linked(self, lease: Lease, body: Body, device: StoredDevice) -> None:
        """The worker died between the durable device and the word of it: the owner and the integrator hear it now."""
        subject = await self._claims.subject(lease.session)
        if not await self._claims.spend(subject):
            # Its link was revoked meanwhile: what it led to must not be kept.
            await self.store.note(replace(device, parked=REVOKED, again_at=device.linked_at), Fence(lease.token))
            await self._end(lease, body, State.FAILED, FailureCode.WRONG_NUMBER, Swept.LINKING)
            return
        told = device.view(self.device_name), body.method or Method.QR, subject.region, phone.region_of(device.phone)
        if await self.snapshots.save(lease, tallies.linked_late(*told, swept(Swept.LINKED))) is not None:
            log.warning("attempt.linked-late", session=lease.session)

    async def _end(self, lease: Lease, body: Body, state: State, code: FailureCode, what: Swept) -> None:
        end = Body(state=state, method=body.method, failure=FailureView.of(code))
        counters = (
            swept(what),
            failed(code, UNKNOWN_REGION),
            *((ended(state),) if state is State.FAILED else ()),
        )
        kind, event = (
            (MessageType.ERROR, "attempt.failed") if state is State.FAILED else (MessageType.STATUS, "device.missing")
        )
        if await self.snapshots.save(lease, Change(end, kind, event, code.value, counters, ending=True)) is not None:
            sentry.ending("sweep", code, session=lease.session, method=body.method)

    async def bury(self, worker: WorkerId) -> None:
        """Hand the jobs in a gone worker's queue to all others, and forget the worker, unless sessions of it are left."""
        buried = await wa(self.redis, "bury", worker=worker, by=self.me)
        if buried["gone"]:
            mine = worker == self.me
            event, counters = ("worker.stopped", ()) if mine else ("worker.buried", (swept(Swept.WORKER),))
            await record(self.redis, event, worker, self.me, counters=counters)
            log.info("worker.buried", worker=worker, jobs=buried["jobs"])

    async def _take_up_the_unheld(self, registry: Mapping[SessionId, StoredDevice]) -> None:
        unowned = await self.leases.unowned(registry)
        unheld = [session for session, dead in unowned.items() if dead is None]
        await self._offer(unheld)
        if unheld:
            log.info("sessions.unheld", count=len(unheld))

    async def _offer(self, sessions: Iterable[SessionId]) -> None:
        jobs = {f"resume:{session}": [session] for session in sessions}
        await enqueue_all(self.redis, keys.QUEUE_RESUME, "resume", jobs)
