"""Puts right what the dead have left: lapsed leases, devices that nobody holds, queues that nobody reads, onboardings
that nobody has ended.

Runs as a job (deduped by its id for seconds): when a worker starts, when a heartbeat sees a lapsed lease, and every minute.
Every step is idempotent; two sweeps at once do what one does.
"""

import asyncio

import structlog
from arq.connections import ArqRedis
from redis.typing import EncodableT, FieldT

from shared.core import keys
from shared.core.failures import FailureCode
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import DEVICE, State
from shared.core.protocol import Body, MessageType, Method
from shared.jobs.queue import enqueue, soon_again
from shared.state.claims import queued
from shared.state.lease import Lease, Leases
from shared.state.outbox import WAIT_MS, Outbox
from shared.state.rescue import Rescue
from shared.state.snapshots import Change, Snapshots
from shared.telemetry import sentry
from shared.telemetry.metrics import UNKNOWN_REGION, Counter, Swept, field
from workers import reasons, tallies
from workers.store.device import DeviceStore

log = structlog.get_logger()

DEAD_MS = 8_000
"""A worker whose heartbeat is older than this is dead; its leases have lapsed by then."""
REDIS_YOUNG_SECONDS = 4
"""A Redis that has just started may have forgotten leases whose owners live; they speak up within this long."""


class Sweeper:
    """One per worker, over one Redis and the device store."""

    def __init__(
        self,
        redis: ArqRedis,
        leases: Leases,
        rescue: Rescue,
        snapshots: Snapshots,
        store: DeviceStore,
        me: WorkerId,
        outbox: Outbox | None = None,
    ) -> None:
        self._redis = redis
        self._leases = leases
        self._rescue = rescue
        self._snapshots = snapshots
        self._store = store
        self._me = me
        self._outbox = outbox or Outbox(redis)

    async def sweep(self) -> None:
        """Once over everything."""
        await self._close_overdue()  # first: what nobody waits for any more is not begun anew
        for session in await self._leases.lapsed():
            await self._lapsed(session)
        server = await self._redis.info("server")
        # By its clock, which the heartbeats are by as well; ours may be off.
        await self._empty_queues_of_the_dead(server["server_time_usec"] // 1000)
        await asyncio.sleep(max(0, REDIS_YOUNG_SECONDS - server["uptime_in_seconds"]))
        await self._take_up_the_unheld()
        await self._end_texts()

    async def restart(self, session: SessionId, method: Method, *counters: str) -> bool:
        """Begin an ownerless onboarding anew, for the same page; whether there was one."""
        return await self._rescue.restart(session, queued(method, "attempt.restarted", *counters)) is not None

    async def _end_texts(self) -> None:
        """Texts of sessions that nobody holds, or whose job was lost: too old ones are told, the others looked at again."""
        for session in await self._outbox.overdue():
            owner = await self._leases.owner(session)
            if owner is None:
                state = (await self._snapshots.read(session)).body.state
                await self._outbox.give_up(session, older_ms=WAIT_MS if state in DEVICE else 0)
            else:
                job_id = soon_again(f"send:{session}")
                await enqueue(self._redis, keys.queue_worker(owner), "send", session, "", job_id=job_id)

    async def _close_overdue(self) -> None:
        """Onboardings that nobody has ended: all workers were away, or their own is stuck."""
        swept = field(Counter.SWEPT, kind=Swept.OVERDUE.value)
        for session in await self._rescue.running():
            if await self._rescue.close_overdue(session, swept):
                log.warning("attempt.overdue", session=session)

    async def _lapsed(self, session: SessionId) -> None:
        stored = await self._snapshots.read(session)
        swept = field(Counter.SWEPT, kind=Swept.ATTEMPT.value)
        if await self.restart(session, stored.body.method or Method.QR, swept):
            log.warning("attempt.restarted", session=session)
            return
        lease = await self._leases.acquire(session, self._me)
        if lease is None:
            return
        try:
            await self._settle(lease, stored.body)
        finally:
            await self._leases.release(lease)

    async def _settle(self, lease: Lease, body: Body) -> None:
        """What no worker says any more. A device that is safe is taken up, like every registered one."""
        if body.state is not State.LINKING and body.state not in DEVICE:
            return
        device = await self._store.device(lease.session)
        if body.state is State.LINKING and (device is None or device.parked):
            # The worker died before the device was safe, and a phone cannot be asked twice.
            await self._end(lease, body, State.FAILED, FailureCode.WORKER_LOST, Swept.LINKING)
        elif body.state in DEVICE and device is None:
            # It was forgotten, and the worker died before it could say so: nobody could ever link again.
            await self._end(lease, body, State.UNLINKED, FailureCode.INTERNAL, Swept.DEVICE)

    async def _end(self, lease: Lease, body: Body, state: State, code: FailureCode, what: Swept) -> None:
        ended = Body(state=state, method=body.method, failure=reasons.view(code))
        counters = (
            field(Counter.SWEPT, kind=what.value),
            tallies.failed(code, UNKNOWN_REGION),
            *((tallies.ended(state),) if state is State.FAILED else ()),
        )
        kind, event = (
            (MessageType.ERROR, "attempt.failed") if state is State.FAILED else (MessageType.STATUS, "device.missing")
        )
        if await self._snapshots.save(lease, Change(ended, kind, event, code.value, counters, ending=True)) is not None:
            sentry.ending("sweep", code, session=lease.session, method=body.method)

    async def _empty_queues_of_the_dead(self, now: int) -> None:
        dead = await self._redis.zrangebyscore(keys.WORKERS, "-inf", now - DEAD_MS)
        for worker in (WorkerId(one.decode()) for one in dead):
            if worker != self._me:
                await self.bury(worker)

    async def bury(self, worker: WorkerId) -> None:
        """Nobody reads this worker's queue any more: any other may do what is in there."""
        queue = keys.queue_worker(worker)
        jobs = await self._redis.zrange(queue, 0, -1, withscores=True)
        for job, score in jobs:
            await self._redis.zadd(keys.QUEUE_SESSIONS, {job: score})
            await self._redis.zrem(queue, job)
        await self._redis.delete(keys.worker(worker))
        if await self._redis.zrem(keys.WORKERS, worker):
            await self._record(worker)
        log.info("worker.buried", worker=worker, jobs=len(jobs))
        if jobs:
            await self._redis.publish(keys.wake(keys.QUEUE_SESSIONS), "1")

    async def _record(self, worker: WorkerId) -> None:
        """Tell the operators, who would otherwise only see one worker less."""
        event = "worker.stopped" if worker == self._me else "worker.buried"
        fields: dict[FieldT, EncodableT] = {"event": event, "what": worker, "detail": "", "by": self._me, "why": ""}
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xadd(keys.OPERATORS, fields, maxlen=keys.TIMELINE_LENGTH)
            pipe.pexpire(keys.OPERATORS, keys.TIMELINE_TTL)
            if worker != self._me:
                pipe.hincrby(keys.STATS, field(Counter.SWEPT, kind=Swept.WORKER.value))
            await pipe.execute()

    async def _take_up_the_unheld(self) -> None:
        owned = set(await self._leases.alive())
        unheld = await self._store.held_by_nobody(lambda session: session in owned)
        for device in unheld:
            await enqueue(
                self._redis,
                keys.QUEUE_SESSIONS,
                "resume",
                device.session,
                job_id=soon_again(f"resume:{device.session}"),
            )
        if unheld:
            log.info("sessions.unheld", count=len(unheld))
