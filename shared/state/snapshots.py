"""The snapshot in Redis: saved and announced in one step by whoever owns the session, read by anybody.

Its version is `(attempt, seq)`: the attempt is the owner's fencing token, seq counts within it. Both are kept beside
the body, so that a script can raise them without parsing it.
"""

import secrets
from dataclasses import dataclass, field
from typing import Protocol

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body, MessageType, Snapshot
from shared.state.events import LUA_KEEP, Event
from shared.state.lease import LUA_OWNER, Lease
from shared.state.pool import answer
from shared.telemetry.metrics import LUA_TALLY

#: Saving is one act: the hash, the announcement, the timeline and the counters change together or not at all.
#: `names`: snapshot, timeline, stats, channel, subject. `change`: type, body, event, detail, counter, counter ...
#: To be put behind LUA_OWNER.
LUA_ANNOUNCE = f"""{LUA_TALLY}
local function announce(names, attempt, seq, change)
  local snapshot, timeline, stats, channel, subject = unpack(names)
  local kind, body, event, detail = unpack(change)
  redis.call('HSET', snapshot, 'attempt', attempt, 'seq', seq, 'body', body)
  redis.call('PUBLISH', channel,
    '{{"type":"' .. kind .. '","attempt":' .. attempt .. ',"seq":' .. seq .. ',"body":' .. body .. '}}')
  redis.call('XADD', timeline, 'MAXLEN', '~', {keys.TIMELINE_LENGTH}, '*',
    'attempt', attempt, 'event', event, 'detail', detail)
  if tonumber(seq) == 1 then
    redis.call('PEXPIRE', snapshot, {keys.SNAPSHOT_TTL})
    redis.call('PEXPIRE', timeline, {keys.TIMELINE_TTL})
  end
  tally(stats, subject, change)
end
"""

# KEYS snapshot, timeline, stats, lease, leases, claim, subject, and when the integrator is told: webhook, webhooks
# ARGV session, owner, attempt, channel, ending ('1' frees the claim), webhook's id ('' for none), its type, its body,
#      the change's mark, type, body, event, detail, counters...
# A change that was saved and whose answer was lost is said again: by its mark it is known, and is done and counted once.
# Returns the new seq; 0 when the writer is no longer the owner, or something newer is there; -1 when Redis knows nothing
# at all of the session. (A lease that was swept or given back leaves its snapshot.)
_SAVE = (
    LUA_OWNER
    + LUA_ANNOUNCE
    + LUA_KEEP
    + """
if redis.call('EXISTS', KEYS[1], KEYS[4]) == 0 then return -1 end
if not owned(KEYS[4], KEYS[5], ARGV[1], ARGV[2]) then return 0 end
local have = redis.call('HMGET', KEYS[1], 'attempt', 'seq', 'mark')
local attempt, have_attempt = tonumber(ARGV[3]), tonumber(have[1] or 0)
if have_attempt > attempt then return 0 end
if have_attempt == attempt and have[3] == ARGV[9] then return tonumber(have[2]) end
local seq = 1
if have_attempt == attempt then seq = tonumber(have[2]) + 1 end
announce({KEYS[1], KEYS[2], KEYS[3], ARGV[4], KEYS[7]}, ARGV[3], seq, {unpack(ARGV, 10)})
redis.call('HSET', KEYS[1], 'mark', ARGV[9])
if ARGV[5] == '1' then redis.call('DEL', KEYS[6], KEYS[7]) end
if ARGV[6] ~= '' then keep({KEYS[8], KEYS[9]}, ARGV[6], ARGV[7], ARGV[8], 0) end
return seq
"""
)


class Forgotten(RedisError):
    """Redis knows nothing of the session: it was emptied, and the owner takes the lease again at his next heartbeat.
    Nothing was written. Like a Redis that is away: what was to be said is to be said again."""


@dataclass(frozen=True, slots=True)
class Change:
    """A new body, what it means on the wire, and its trace: a timeline event and the counters that it moves.

    `ending` frees the claim, so that the next request starts a new attempt. `mark` is this change's own: saved twice,
    it is done once.
    """

    body: Body
    type: MessageType
    event: str
    detail: str = ""
    counters: tuple[str, ...] = ()
    ending: bool = False
    mark: str = field(default_factory=lambda: secrets.token_hex(4), compare=False)

    def args(self) -> list[str | bytes]:
        """As the scripts take it: type, body, event, detail, counters."""
        return [self.type.value, dump_body(self.body), self.event, self.detail, *self.counters]


@dataclass(frozen=True, slots=True)
class Stored:
    """A snapshot as Redis keeps it. Compares by version."""

    session: SessionId
    attempt: int
    seq: int
    body: Body

    @property
    def version(self) -> tuple[int, int]:
        """Newer is greater."""
        return (self.attempt, self.seq)

    def snapshot(self, *, queue_position: int | None = None) -> Snapshot:
        """The same for the wire, stamped with the present moment."""
        fields = dict(self.body)
        if queue_position is not None:
            fields["queue"] = {"position": queue_position}
        return Snapshot(session_id=self.session, attempt=self.attempt, seq=self.seq, server_now=now_ms(), **fields)


def dump_body(body: Body) -> bytes:
    """The body as JSON, without what is absent."""
    return orjson.dumps(body.model_dump(mode="json", by_alias=True, exclude_none=True))


def nothing(session: SessionId) -> Stored:
    """What stands for a session of which Redis knows nothing."""
    return Stored(session, 0, 0, Body(state=State.UNLINKED))


def announced(session: SessionId, payload: bytes) -> tuple[MessageType, Stored]:
    """An announcement from the session's channel. A newer version of us may say more than this one knows."""
    value = orjson.loads(payload)
    body = Body.model_validate(value["body"], extra="ignore")
    return MessageType(value["type"]), Stored(session, value["attempt"], value["seq"], body)


class News(Protocol):
    """Tells the integrator of changes (workers/delivery.py)."""

    def of(self, session: SessionId, change: Change) -> Event | None:
        """The event to be kept with the change; None for a change that he is not told of."""
        ...

    def kept(self, event: Event) -> None:
        """It was saved together with its change: have it delivered. Waits for nothing."""
        ...


class Snapshots:
    """Reading and saving over one Redis. `news`: who is told of what was saved."""

    def __init__(self, redis: Redis, news: News | None = None) -> None:
        self._redis = redis
        self._news = news
        self._save = redis.register_script(_SAVE)

    async def read(self, session: SessionId) -> Stored:
        """The present snapshot; `unlinked` with version (0, 0) when there is none."""
        attempt, seq, body = await answer(self._redis.hmget(keys.snapshot(session), ["attempt", "seq", "body"]))
        if body is None:
            return nothing(session)
        return Stored(session, int(attempt), int(seq), Body.model_validate_json(body, extra="ignore"))

    async def save(self, lease: Lease, change: Change) -> int | None:
        """Save and announce under the lease; the new seq, or None when the lease is lost (then stop).

        Raises `Forgotten`."""
        session = lease.session
        event = self._news.of(session, change) if self._news else None
        seq = await self._save(
            keys=[
                keys.snapshot(session),
                keys.timeline(session),
                keys.STATS,
                keys.lease(session),
                keys.LEASES,
                keys.claim(session),
                keys.subject(session),
                *([keys.webhook(event.id), keys.WEBHOOKS] if event else []),
            ],
            args=[
                session,
                lease.owner,
                lease.token,
                keys.events(session),
                "1" if change.ending else "",
                *([event.id, event.type.value, event.dump()] if event else ["", "", ""]),
                change.mark,
                *change.args(),
            ],
        )
        if int(seq) < 0:
            raise Forgotten
        if seq and event and self._news:
            self._news.kept(event)
        return int(seq) or None
