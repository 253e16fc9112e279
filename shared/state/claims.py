"""Acts of web on an onboarding, each one script: of many clicks one becomes an attempt.

Web owns nothing, and writes by these scripts alone. The claim (SET NX) decides which request starts an attempt.
"""

from collections.abc import Mapping
from enum import StrEnum

from redis.asyncio import Redis

from shared.core import keys, odd, phone
from shared.core.clock import now_ms
from shared.core.datum import Datum
from shared.core.failures import FailureCode
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType, Method
from shared.jobs.queue import link_job
from shared.state.events import News, Telling
from shared.state.lease import Lease
from shared.state.pool import answer
from shared.state.snapshots import Change
from shared.wa import batches, wa

QUEUE_WAIT_MS = 5 * keys.MINUTE
"""Longest wait of an onboarding for a free place; then it expires."""
MOST_STARTS = 10
"""Attempts that one session may ask for within `keys.STARTS_TTL`: each costs a process and a connection to WhatsApp.
Attempts that begin anew by themselves do not count."""
WAITING_EACH, LEAST_WAITING = 30, 100
"""Onboardings that may wait for each place of the living workers, and in any case. From the click to the login nobody takes
less than ten seconds, so whoever came after these would wait in vain."""
SPENT, REVOKED = "spent", "revoked"
"""Standings of a link: values of `wa:link:<id>`."""


class Outcome(StrEnum):
    """The result of a request."""

    STARTED = "started"  # a new attempt, and its job
    JOINED = "joined"  # one runs already
    DIFFERS = "differs"  # one runs already, for another phone
    LINKED = "linked"  # there is nothing to do
    LIMITED = "limited"  # too many were started lately
    CROWDED = "crowded"  # too many wait for a place
    REFUSED = "refused"  # by the link's standing, or a switch


class Subject(Datum):
    """The people behind an attempt: the phone to make a code for, the phone that the link expects (both E.164), the
    link that asked, and the digest of the address that it asked from. Redis keeps it for ten minutes at most."""

    link: str
    link_expires_at: int
    phone: str | None = None
    expected: str | None = None
    address: str = ""

    @property
    def region(self) -> str:
        """Region of the phone that was typed, or else is expected; `ZZ` if there is none."""
        return phone.region_of(self.phone or self.expected or "")

    def dump(self) -> dict[str, str]:
        """The subject as the scripts take it, and as Redis keeps it."""
        return {
            "phone": self.phone or "",
            "expected": self.expected or "",
            "link": f"{self.link}:{self.link_expires_at}",
            "address": self.address,
        }


class Requested(Datum):
    """The outcome, the attempt that runs now (0: none), and its owner when there is one; of `limited` and `crowded`,
    the moment from which an attempt may start (ms since the epoch). `tightened`: the attempt expects the link's phone from now on."""

    outcome: Outcome
    attempt: int
    owner: WorkerId | None
    retry_at: int | None = None
    tightened: bool = False
    code: FailureCode | None = None


class Cancelled(Datum):
    """The result of a cancelling. `done`: the script did it. Else the `owner` must; without one there is nothing to cancel."""

    done: bool
    attempt: int
    owner: WorkerId | None


def _owner(value: str | None) -> WorkerId | None:
    return WorkerId(value.rpartition(":")[0]) if value else None


def queued(method: Method, event: str, *counters: str) -> Change:
    """The first snapshot of an attempt."""
    body = Body(state=State.QUEUED, method=method, deadline=now_ms() + QUEUE_WAIT_MS)
    return Change(body, MessageType.STATUS, event, method.value, counters)


class Claims(Telling):
    def __init__(self, redis: Redis, news: News | None = None, *, most_waiting: int | None = None) -> None:
        """`most_waiting`: onboardings that may wait for a place; if None, as many as the workers can serve in time."""
        super().__init__(redis, news)
        self._crowd = {"wait": QUEUE_WAIT_MS, "each": WAITING_EACH, "least": LEAST_WAITING}
        if most_waiting is not None:
            self._crowd["most"] = most_waiting

    async def request(
        self, session: SessionId, subject: Subject, change: Change, switches: Mapping[str, FailureCode] = {}
    ) -> Requested:
        """Start an attempt for `subject` with `change` as its first snapshot and its job, or join the one that runs.

        Of N calls at once exactly one starts. A call that joins may add a phone, if there is none yet. `switches` that
        are on refuse it, with their codes.
        """
        said = await wa(
            self._redis,
            "request",
            session,
            names={"link": keys.link(subject.link)},
            subject=subject.dump(),
            spent=SPENT,
            lost=FailureCode.DROPPED_AFTER_LINKING,
            dead=FailureCode.LINK_SPENT,
            switches=list(switches.items()),
            change=change.dump(),
            event=self._news.of(session, change.told, change.body),
            job=link_job(session),
            most_starts=MOST_STARTS,
            crowd=self._crowd,
        )
        owner, code = _owner(said.pop("owner", None)), said.pop("code", None)
        outcome = Outcome(said.pop("outcome"))
        return Requested(outcome=outcome, owner=owner, code=code and FailureCode(code), **said)

    async def cancel(self, session: SessionId, change: Change) -> Cancelled:
        """End an attempt that waits in the queue or whose worker is gone, or say who must end it."""
        said = await wa(
            self._redis, "cancel", session, change=change.dump(), event=self._news.of(session, change.told, change.body)
        )
        return Cancelled(said["done"], int(said["attempt"]), _owner(said.get("owner")))

    async def reclaim(self, lease: Lease, subject: Subject) -> None:
        """Put back what Redis forgot of a running attempt: its claim and its subject."""
        await wa(self._redis, "reclaim", lease.session, token=lease.token, subject=subject.dump())

    async def subject(self, session: SessionId) -> Subject:
        """The subject of the running attempt; an empty one if Redis has forgotten it. Each reading keeps it for ten
        minutes more: an attempt without it would not know which phone its link expects."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.subject(session), ["phone", "expected", "link", "address"])
            pipe.pexpire(keys.subject(session), keys.SUBJECT_TTL)
            (typed, expected, link, address), _ = await pipe.execute()
        link_id, _, expires_at = odd.text(link).rpartition(":")
        return Subject(
            phone=odd.text(typed) or None,
            expected=odd.text(expected) or None,
            link=link_id,
            link_expires_at=odd.number(expires_at),
            address=odd.text(address),
        )

    async def begun_by(self, session: SessionId) -> str:
        """The id of the link that began the attempt which runs; empty for none."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.exists(keys.claim(session))
            pipe.hget(keys.subject(session), "link")
            runs, link = await pipe.execute()
        return odd.text(link).rpartition(":")[0] if runs else ""

    async def forget_phone(self, session: SessionId) -> None:
        """Forget the phone for which WhatsApp gave no code, so that the attempt may be given another."""
        await answer(self._redis.hdel(keys.subject(session), "phone"))

    async def standings(self, *links: str) -> list[str]:
        """The standing of each link, by its id: `SPENT`, `REVOKED`, or empty if it may be used until its end."""
        found = [one for some in batches(links) for one in await self._redis.mget(map(keys.link, some))]
        return list(map(odd.text, found))

    async def revoke(self, link: str) -> None:
        """Make a link useless at once, and have its sockets closed. Idempotent; it ends no attempt."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(keys.link(link), REVOKED, px=keys.LINK_RECORD_TTL)
            pipe.publish(keys.LINKS_CHANNEL, link)
            await pipe.execute()

    async def spend(self, subject: Subject) -> bool:
        """Mark the link as spent: its page may look, but not ask again. False if the link was revoked meanwhile. It
        stays revoked, and the device that it linked must not be kept."""
        if not subject.link:
            return True
        names = {"link": keys.link(subject.link)}
        said = await wa(self._redis, "spend_link", names=names, expires_at=subject.link_expires_at, spent=SPENT)
        return bool(said != REVOKED)
