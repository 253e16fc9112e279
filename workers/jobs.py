"""The jobs: short commands that hand over to what runs in this process, and return.

Arguments are ids only. Every job may run twice, late, or on another worker than the one it was meant for. One file, as it
is one list: all jobs that there are.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any

from arq import Retry
from arq.connections import ArqRedis

from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId, company_of
from shared.jobs.queue import Job, enqueue, read_link_job_id
from shared.log import log
from shared.state.forgetting import Forgetting
from shared.state.lease import Lease, Leases
from shared.state.phones import Phones
from shared.state.pool import PASSING, answer
from shared.tasks import Spawn, outlived
from shared.telemetry import sentry
from shared.telemetry.metrics import Counter, field
from shared.wa import wa
from workers.holding.session import HeldSession
from workers.holding.sessions import Sessions
from workers.linking.attempt import Attempt, Order, Parts
from workers.ownership import Ownership
from workers.places import Places
from workers.store.device import StoreAway, StoreFenced
from workers.sweeper import Sweeper

RESUMES_AT_ONCE = 4
RESUME_JITTER_SECONDS = 0.1
ELSEWHERE_SECONDS = 0.5
"""The pause until an onboarding that met a worker without room is offered again: another worker has room."""
FULL_SECONDS = 2.0
"""The pause until a session that could not be taken up or logged out yet is offered again."""


@dataclass(eq=False)
class Jobs:
    """The jobs of one worker, by the queue that they are read from."""

    redis: ArqRedis
    leases: Leases
    ownership: Ownership
    parts: Parts
    sessions: Sessions
    sweeper: Sweeper
    places: Places
    forgetting: Forgetting
    spawn: Spawn

    def __post_init__(self) -> None:
        self._ahead: dict[tuple[SessionId, int], Attempt] = {}
        self._resuming = asyncio.Semaphore(RESUMES_AT_ONCE)
        self.linking: list[Job] = [_reported(self.link)]
        here = (self.code, self.cancel, self.unlink, self.send, self.look, self.phone, self.sweep)
        self.here = [_reported(one) for one in here]
        self.anywhere = [*self.here, *(_reported(one) for one in (self.resume, self.unpark, self.forget))]
        self.resuming = [_reported(self.resume)]

    @asynccontextmanager
    async def dialling(self, job_id: str) -> AsyncIterator[None]:
        """Have a warm linker connect for the attempt of a job that was just taken, while the job is read and its lease is
        had. What has become no attempt is gone with the block."""
        named = read_link_job_id(job_id)
        # Never beside an attempt of the same number, which may be here if its job is run again: they would share a file.
        if named is None or named in self._ahead or self.ownership.owner(named[0]) or self.sessions.free <= 0:
            yield
            return
        run = self._ahead[named] = Attempt(self.parts, named[0], first=named[1])
        try:
            await run.dial_ahead()
            yield
        finally:
            if self._ahead.pop(named, None):
                await run.hang_up()

    async def link(self, session: SessionId, attempt: int) -> None:
        """Serve an attempt, if it is still the claimed one and nobody else serves it."""
        with ExitStack() as undo:
            self.places.take()  # and with it a place to hold what is linked
            undo.callback(self.places.give_back)
            if self.ownership.unsure and await self._is_linked(session):
                log.warning("attempt.linked-already", session=session, attempt=attempt)
                await enqueue(self.redis, keys.QUEUE_RESUME, "resume", session, after=FULL_SECONDS)
                return
            room = self.sessions.free >= 0
            if not room and await room_elsewhere(self.redis, self.ownership.worker):
                # Not `soon_again`: this job may have that very id, and one that enqueues itself under its own is lost.
                ids, again = (session, attempt), f"link:{session}:{attempt}:elsewhere:{now_ms()}"
                await enqueue(self.redis, keys.QUEUE_LINKING, "link", *ids, job_id=again, after=ELSEWHERE_SECONDS)
                return
            ahead = self._ahead.get((session, attempt)) if room else None
            run = ahead or Attempt(self.parts, session, first=attempt, room=room)
            lease = await self.ownership.acquire(session, run, attempt=attempt)
            if lease is None:
                log.info("attempt.stale", session=session, attempt=attempt)
                return
            if ahead:
                del self._ahead[session, attempt]
            undo.pop_all()
            self.spawn(self._serve(run, lease), "attempt")

    async def _is_linked(self, session: SessionId) -> bool:
        """True if the store has a device of the session that is to be held, of which Redis knows nothing."""
        with suppress(OSError):  # the store is away: nobody can tell
            device = await self.parts.store.device(session)
            return device is not None and not device.parked
        return False

    async def _serve(self, run: Attempt, lease: Lease) -> None:
        try:
            await run.run(lease)
        finally:
            self.places.give_back()
            # An attempt that could not write its ending would else be renewed for ever, and retaken after the sweep.
            self.ownership.forget(lease.session, run)

    async def code(self, session: SessionId, attempt: int) -> None:
        """Order a pairing code from the running attempt."""
        await self._order(session, attempt, Order.CODE)

    async def cancel(self, session: SessionId, attempt: int) -> None:
        """Cancel the running attempt, as its owner wishes."""
        await self._order(session, attempt, Order.CANCEL)

    async def _order(self, session: SessionId, attempt: int, order: Order) -> None:
        owner = self.ownership.owner(session)
        if isinstance(owner, Attempt):
            owner.order(order, attempt)
        elif owner is None:
            await self._elsewhere(session, order.value, attempt)

    async def unlink(self, session: SessionId) -> None:
        """Log a company's device out and forget it."""
        owner = self.ownership.owner(session)
        if isinstance(owner, Attempt):
            owner.order(Order.UNLINK)
        elif not await self._elsewhere(session, "unlink"):
            self.spawn(self._unlink(session), "unlink")  # the store may take longer to answer than a job

    async def _unlink(self, session: SessionId) -> None:
        try:
            done = await self.sessions.unlink(session)
        except (StoreAway, StoreFenced):
            done = False
        if not done:
            await enqueue(self.redis, keys.QUEUE_SESSIONS, "unlink", session, after=FULL_SECONDS)

    async def unpark(self, session: SessionId) -> None:
        """Have a parked device held again, as an operator wishes."""
        if not await self.sessions.unpark(session):
            await enqueue(self.redis, keys.QUEUE_SESSIONS, "unpark", session, after=FULL_SECONDS)

    async def forget(self, session: SessionId) -> None:
        """Forget a company; if it has a device, have that logged out first."""
        self.spawn(self._forget(session), "forget")

    async def _forget(self, session: SessionId) -> None:
        if not await self.forgetting.is_wished(session):
            return
        runs = await self.redis.exists(keys.claim(session)) or await self.leases.owner(session) is not None
        if not runs and await self.parts.store.device(session) is None:
            await self.parts.store.forget_strangers()
            await self.forgetting.erase(session)
            log.info("company.forgotten", session=session)
            return
        await enqueue(self.redis, keys.QUEUE_SESSIONS, "unlink", session, job_id=f"unlink:{session}")
        await enqueue(self.redis, keys.QUEUE_SESSIONS, "forget", session, after=FULL_SECONDS)

    async def send(self, session: SessionId, text: str) -> None:
        """Look at the texts of the session's outbox. A worker that takes the session up looks there as well."""
        if not await self._elsewhere(session, "send", text):
            await self.sessions.send(session)

    async def phone(self, session: SessionId) -> None:
        """Tell web the whole number of a linked device, for a caller that may know it."""
        if await self._elsewhere(session, "phone"):
            return
        device = await self.parts.store.device(session)
        if device is not None and not device.parked:
            await Phones(self.redis).write(session, device.linked_at, device.phone)

    async def look(self, session: SessionId, ticket: str) -> None:
        """Leave at the ticket, where somebody waits for it, what WhatsApp says of a number."""
        if not await self._elsewhere(session, "look", ticket) and self._holds(session):
            self.spawn(self.sessions.answer(session, ticket), "look")

    async def resume(self, session: SessionId) -> None:
        """Hold a registered device that nobody holds. The queue is looked at only while there is room for another."""
        if self.sessions.free <= 0:  # the last place was taken since
            await enqueue(self.redis, keys.QUEUE_RESUME, "resume", session, after=FULL_SECONDS)
            return
        # A few at a time and never in step with other workers, so that nobody stampedes WhatsApp or the store.
        async with self._resuming:
            await asyncio.sleep(random.uniform(0, RESUME_JITTER_SECONDS))  # noqa: S311 - spreading, not secrecy
            await self.sessions.resume(session)

    async def sweep(self) -> None:
        await self.sweeper.sweep()

    def _holds(self, session: SessionId) -> bool:
        return isinstance(self.ownership.owner(session), HeldSession)

    async def _elsewhere(self, session: SessionId, job: str, *ids: str | int) -> bool:
        """Send a command after a session that is not held here, to the worker that owns it now. True if there is another."""
        if self._holds(session):
            return False
        owner = await self.leases.owner(session)
        if owner is None or owner == self.ownership.worker:
            log.info("job.pointless", job=job, session=session)
            return False
        name = ":".join(str(one) for one in (job, session, *ids))
        await enqueue(self.redis, keys.queue_worker(owner), job, session, *ids, job_id=f"{name}:{owner}")
        return True


async def room_elsewhere(redis: ArqRedis, me: WorkerId) -> bool:
    """True if another living worker can hold one session more. Its leases and its last report say so."""
    for worker, held in (await Leases(redis).living()).items():
        (most,) = await answer(redis.hmget(keys.worker(worker), ["maxSessions"]))
        if worker != me and odd.number(most) > held:
            return True
    return False


def _reported(job: Job) -> Job:
    """A job as arq calls it, with its session's id checked. Its failure is reported to Sentry, to the stream of failed jobs,
    and to the counters.

    Sentry's own integration does not see an arq worker that is built directly.
    """

    @wraps(job)
    async def wrapped(ctx: dict[str, Any], *ids: str | int) -> None:
        session = str(ids[0]) if ids else ""
        try:
            if ids:
                company_of(SessionId(session))
            await job(*ids)
        except (*PASSING, StoreAway) as error:
            # Nobody's bug, and nothing is lost: arq runs it again, as often as `MAX_TRIES` says.
            log.warning("job.delayed", job=job.__name__, session=session, error=type(error).__name__)
            raise Retry(defer=2 ** (ctx.get("job_try", 1) - 1)) from error
        except Exception as error:
            about = SessionId(session) if session.startswith("company_") else None
            sentry.report(f"job.{job.__name__}", error, session=about)
            await _record(ctx, job.__name__, session, error)
            raise

    return wrapped


async def _record(ctx: dict[str, Any], job: str, session: str, error: Exception) -> None:
    what = {"job": job, "session": session, "try": str(ctx.get("job_try", 1)), "error": type(error).__name__}
    fields, counters = list(what.items()), [field(Counter.JOB_FAILURES, job=job)]
    with outlived("job.unrecorded", job=job):
        await wa(ctx["redis"], "record", names={"stream": keys.FAILED_JOBS}, fields=fields, counters=counters)
