"""Requests of an owner: start or join an attempt, have a code, take it back. One place decides which are allowed.

Each use case is idempotent: two tabs or a replay have the effect of one request. Each returns True if it leads to a
new announcement; if not, the caller must tell the asker the present state.
"""

from arq.connections import ArqRedis

from app.access import Link, LinkBook
from shared.core import keys, phone
from shared.core.clock import now_ms
from shared.core.failures import FailureCode, Refused
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType, Method
from shared.jobs.queue import enqueue, link_job_id, withdraw
from shared.state.claims import REVOKED, Cancelled, Claims, Outcome, Requested, Subject, queued
from shared.state.cooldowns import Asker, Cooldowns
from shared.state.pool import answer
from shared.state.snapshots import Change
from shared.state.switches import PAUSE, QR_ONLY
from shared.telemetry.metrics import UNKNOWN_REGION, Counter, Stage, ended, field, funnel

_REFUSALS = {
    Outcome.LIMITED: FailureCode.COOL_DOWN,
    Outcome.CROWDED: FailureCode.NO_ROOM,
    Outcome.DIFFERS: FailureCode.IN_PROGRESS,
}


class Endings:
    """Ends attempts for owners, integrators and operators."""

    def __init__(self, redis: ArqRedis, claims: Claims) -> None:
        self._redis = redis
        self._claims = claims
        self._book = LinkBook(redis)

    async def cancel(self, session: SessionId) -> bool:
        """End the attempt, unless the phone has agreed. True if there was one to end."""
        body, counters = Body(state=State.CANCELLED), (ended(State.CANCELLED),)
        change = Change(body, MessageType.STATUS, "attempt.cancelled", "in the queue", counters)
        cancelled = await self._claims.cancel(session, change)
        if cancelled.done:
            await withdraw(self._redis, keys.QUEUE_LINKING, link_job_id(session, cancelled.attempt))
        await _tell_owner(self._redis, "cancel", session, cancelled)
        return cancelled.done or cancelled.owner is not None

    async def revoke_link(self, link_id: str) -> None:
        """Make a link useless at once, have its sockets closed, and end the attempt that it began. Idempotent; unknown
        ids are revoked as well, which harms nobody."""
        await self._claims.revoke(link_id)
        made = await self._book.read(link_id)
        if made is not None and await self._claims.begun_by(made.session) == link_id:
            await self.cancel(made.session)


class Onboarding:
    def __init__(self, redis: ArqRedis, claims: Claims, cooldowns: Cooldowns, *, region: str) -> None:
        self._redis = redis
        self._claims = claims
        self._cooldowns = cooldowns
        self._region = region
        self._endings = Endings(redis, claims)

    async def request_qr(self, link: Link) -> bool:
        """Start an attempt, or join what runs. Raises `Refused`."""
        _in_time(link)
        requested = await self._request(link, Method.QR, Subject(link.id, link.expires_at, expected=link.phone))
        return requested.outcome is Outcome.STARTED

    async def request_code(self, link: Link, typed: str, host: str, region: str | None = None) -> bool:
        """A code for the phone as typed, on the attempt that runs or on a new one; `host` is the browser's address,
        `region` the country that its owner saw beside the number.

        Raises `Refused`.
        """
        _in_time(link)
        home = phone.region_of(link.phone or "")
        number = phone.parse(typed, region or (link.region or self._region if home == UNKNOWN_REGION else home))
        if link.phone and not phone.same_account(link.phone, number):
            raise Refused(FailureCode.WRONG_NUMBER, field=phone.FIELD)
        address = self._cooldowns.address(host)
        if wait := await self._cooldowns.wait(Asker(number, link.session, address)):  # before WhatsApp would refuse
            raise Refused(FailureCode.IN_PROGRESS if wait.taken else FailureCode.COOL_DOWN, retry_at=wait.until)
        subject = Subject(link.id, link.expires_at, phone=number, expected=link.phone, address=address)
        requested = await self._request(link, Method.CODE, subject)
        if requested.outcome is Outcome.JOINED:
            await _tell_owner(self._redis, "code", link.session, requested)
        return requested.outcome is Outcome.STARTED

    async def refused(self, code: FailureCode) -> None:
        """Count a command that was refused."""
        await answer(self._redis.hincrby(keys.STATS, field(Counter.REFUSED, code=code.value)))

    async def standing(self, link: Link) -> str:
        """`SPENT`, `REVOKED`, or empty for a link that may be used until its end."""
        (standing,) = await self._claims.standings(link.id)
        return standing

    async def cancel(self, link: Link) -> bool:
        """End the attempt, unless the phone has agreed. Raises `Refused` for a revoked link. A spent link may
        cancel: the click can cross with the attempt's end.
        """
        if await self.standing(link) == REVOKED:
            raise Refused(FailureCode.LINK_SPENT)
        return await self._endings.cancel(link.session)

    async def _request(self, link: Link, method: Method, subject: Subject) -> Requested:
        started = funnel(Stage.STARTED, method, subject.region)
        change = queued(method, "attempt.requested", field(Counter.ATTEMPTS, method=method.value), started)
        switches = {PAUSE: FailureCode.PAUSED}
        if method is Method.CODE:
            switches |= dict.fromkeys((QR_ONLY, f"region:{subject.region}"), FailureCode.CODE_NOT_AVAILABLE)
        requested = await self._claims.request(link.session, subject, change, switches)
        if code := requested.code or _REFUSALS.get(requested.outcome):
            at_fault = phone.FIELD if subject.phone and requested.outcome is Outcome.DIFFERS else None
            raise Refused(code, retry_at=requested.retry_at, field=at_fault)
        if requested.tightened:
            await _tell_owner(self._redis, "code", link.session, requested)
        if requested.outcome is Outcome.JOINED and requested.owner is None:
            # The attempt came with its job. If the job was lost, a click restores it: the same id is the same job.
            job_id = link_job_id(link.session, requested.attempt)
            await enqueue(self._redis, keys.QUEUE_LINKING, "link", link.session, requested.attempt, job_id=job_id)
        return requested


async def _tell_owner(redis: ArqRedis, job: str, session: SessionId, told: Requested | Cancelled) -> None:
    """Have the attempt's worker end it (`cancel`), or look at its subject again (`code`): a code is wanted, or another phone is
    expected."""
    if told.owner is not None:
        job_id = f"{job}:{session}:{told.attempt}"
        await enqueue(redis, keys.queue_worker(told.owner), job, session, told.attempt, job_id=job_id)


def _in_time(link: Link) -> None:
    """Raise `Refused` if the link has expired: a socket may outlive it."""
    if link.expires_at <= now_ms():
        raise Refused(FailureCode.LINK_SPENT)
