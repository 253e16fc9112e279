"""The snapshot in Redis: saved and announced in one step by the session's owner, read by anybody.

Its version is `(attempt, seq)`: the attempt is the owner's fencing token, seq counts within it. Both are kept beside
the body, so that a script can raise them without parsing it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.datum import Datum, replace
from shared.core.events import EventType
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType, Snapshot
from shared.jobs.queue import link_job_id
from shared.log import log
from shared.state.events import News, Telling
from shared.state.lease import Lease, Leases
from shared.state.pool import answer
from shared.wa import batches, wa


class Forgotten(RedisError):
    """Redis was emptied and knows nothing of the session; its owner takes the lease again at the next heartbeat. Nothing
    was written. As with a Redis that is away, the caller must save again."""


@dataclass(frozen=True)
class Change:
    """A new body, its type on the wire, and its trace: a timeline event and the counters that it moves.

    `ending` frees the claim, so that the next request starts a new attempt. `mark` is this change's own: saved twice,
    it is done once. `restated`: Redis has lost its memory, so the lifecycle's table is not asked. `again`: the integrator
    knows it already.
    """

    body: Body
    type: MessageType
    event: str
    detail: str = ""
    counters: tuple[str, ...] = ()
    ending: bool = False
    restated: bool = False
    again: bool = False
    mark: str = field(default_factory=lambda: secrets.token_hex(4), compare=False)

    @property
    def told(self) -> EventType | None:
        """The event of the change for the integrator; None if it concerns the page and the operators alone.

        A session that is told as `session.dropped` does not come back by itself, and nobody of us has asked for that.
        """
        if self.again:
            return None
        match self.body.state:
            case State.QUEUED if self.event == "attempt.requested":
                return EventType.ONBOARDING_STARTED
            case State.LINKED if self.ending:  # the end of an attempt
                return EventType.SESSION_LINKED
            case State.LINKED if self.event == "session.verified":
                return EventType.SESSION_VERIFIED
            case State.FAILED:
                of_session = self.type is MessageType.STATUS  # of an attempt it is `error`
                return EventType.SESSION_DROPPED if of_session else EventType.ONBOARDING_FAILED
            case State.EXPIRED:
                return EventType.ONBOARDING_EXPIRED
            case State.CANCELLED:
                return EventType.ONBOARDING_CANCELLED
            case State.UNLINKED:
                return EventType.SESSION_UNLINKED
            case _:
                return None

    def dump(self) -> dict[str, Any]:
        """The change as the scripts take it. `left`: ms until the deadline, since Redis' clock may differ from ours."""
        deadline = self.body.deadline
        return {
            "type": self.type.value,
            "state": self.body.state.value,
            "body": dump_body(self.body).decode(),
            "event": self.event,
            "detail": self.detail,
            "counters": list(self.counters),
            **({"left": deadline - now_ms()} if deadline is not None else {}),
        }


class Stored(Datum):
    """A snapshot as Redis keeps it, or as it is told: `unheld` if it says `linked`, and no living worker has the session."""

    session: SessionId
    attempt: int
    seq: int
    body: Body
    unheld: bool = False

    @property
    def version(self) -> tuple[int, int]:
        """Newer is greater."""
        return (self.attempt, self.seq)

    def snapshot(self, *, queue_position: int | None = None) -> Snapshot:
        """The snapshot for the wire, stamped with the present moment."""
        fields = dict(self.body)
        if queue_position is not None:
            fields["queue"] = {"position": queue_position}
        return Snapshot(session_id=self.session, attempt=self.attempt, seq=self.seq, server_now=now_ms(), **fields)

    def text(self, kind: MessageType, body: bytes, queue_position: int | None = None) -> str:
        """A `ServerMessage` with this snapshot, as browsers get it. `body` is the snapshot's JSON, passed on as it is."""
        queue = "" if queue_position is None else f'"queue":{{"position":{queue_position}}},'
        return (
            f'{{"type":"{kind.value}","snapshot":{{"sessionId":"{self.session}","attempt":{self.attempt},"seq":{self.seq},'
            f'"serverNow":{now_ms()},{queue}{body[1:].decode()}}}'
        )


def dump_body(body: Body) -> bytes:
    """The body as JSON, without what is absent."""
    return orjson.dumps(body.model_dump(mode="json", by_alias=True, exclude_none=True))


def nothing(session: SessionId) -> Stored:
    """The state of a session of which Redis knows nothing."""
    return Stored(session, 0, 0, Body(state=State.UNLINKED))


def _stored(session: SessionId, attempt: object, seq: object, body: bytes | None) -> Stored:
    if attempt is None or seq is None or body is None:
        return nothing(session)
    version = odd.number(attempt, -1), odd.number(seq, -1)
    if min(version) < 0:
        raise ValueError("no version")
    return Stored(session, *version, Body.model_validate_json(body, extra="ignore"))


def _readable(session: SessionId, attempt: bytes | None, seq: bytes | None, body: bytes | None) -> Stored:
    """As in the scripts, only the version counts of a snapshot that cannot be read."""
    try:
        return _stored(session, attempt, seq, body)
    except (ValueError, TypeError) as error:
        log.warning("snapshot.unreadable", session=session, error=type(error).__name__)
        return replace(nothing(session), attempt=odd.number(attempt), seq=odd.number(seq))


def announced(session: SessionId, payload: bytes) -> tuple[MessageType, Stored, bytes]:
    """An announcement from the session's channel, and its body as JSON. Fields of a newer version of us are passed over."""
    value = orjson.loads(payload)
    body = orjson.dumps(value["body"])
    return MessageType(value["type"]), _stored(session, value["attempt"], value["seq"], body), body


class Snapshots(Telling):
    def __init__(self, redis: Redis, news: News | None = None) -> None:
        super().__init__(redis, news)
        self._leases = Leases(redis)

    async def read(self, session: SessionId) -> Stored:
        """The present snapshot; `unlinked` with version (0, 0) when there is none. One that cannot be read, as of a newer
        version of us, is `unlinked`, too."""
        return _readable(session, *await self._fields(session))

    async def read_strictly(self, session: SessionId) -> Stored:
        """The present snapshot for the page, which must show no wrong state. Raises ValueError and TypeError."""
        return _stored(session, *await self._fields(session))

    async def _fields(self, session: SessionId) -> list[bytes | None]:
        found = self._redis.hmget(keys.snapshot(session), ["attempt", "seq", "body"])
        return cast("list[bytes | None]", await answer(found))

    async def read_all(self, sessions: Sequence[SessionId]) -> list[Stored]:
        """The present snapshots of these sessions."""
        found: list[Stored] = []
        for some in batches(sessions):
            async with self._redis.pipeline(transaction=False) as pipe:
                for session in some:
                    pipe.hmget(keys.snapshot(session), ["attempt", "seq", "body"])
                rows = zip(some, await pipe.execute(), strict=True)
                found += [_readable(session, *fields) for session, fields in rows]
        return found

    async def told(self, read: Sequence[Stored]) -> list[Stored]:
        """The snapshots as page and API tell them. If the worker that wrote `linked` is dead, nobody holds the session: it is
        reconnecting until another worker takes it up."""
        unheld = await self._leases.unowned([one.session for one in read if one.body.state is State.LINKED])
        change = {"state": State.RECONNECTING}
        return [
            replace(one, body=one.body.model_copy(update=change), unheld=True) if one.session in unheld else one
            for one in read
        ]

    async def place(self, stored: Stored) -> int | None:
        """The number of onboardings that are served before this one; None if it does not wait for a place."""
        if stored.body.state is not State.QUEUED:
            return None
        place: int | None = await self._redis.zrank(keys.QUEUE_LINKING, link_job_id(stored.session, stored.attempt))
        return place

    async def save(self, lease: Lease, change: Change) -> int | None:
        """Save and announce under the lease; the new seq, or None when the lease is lost (then stop).

        Raises `Forgotten` and `IllegalStep`; then nothing was changed."""
        session = lease.session
        seq = await wa(
            self._redis,
            "save",
            session,
            owner=lease.owner,
            attempt=lease.token,
            change=change.dump(),
            mark=change.mark,
            ending=change.ending or None,
            event=self._news.of(session, change.told, change.body),
            restated=change.restated or None,
        )
        if seq < 0:
            raise Forgotten
        return int(seq) or None
