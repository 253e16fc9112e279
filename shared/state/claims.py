"""From many clicks to one attempt: what web may do to an onboarding, each as one script.

Web owns nothing; these scripts are its only writes. Who starts an attempt raises the fence, and the claim (SET NX)
decides who that is.
"""

from dataclasses import dataclass
from enum import StrEnum

from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, WorkerId
from shared.core.lifecycle import CANCELLABLE, DEVICE, RUNNING, State
from shared.core.protocol import Body, MessageType, Method
from shared.jobs.queue import LUA_ENQUEUE, link_job
from shared.state.lease import LUA_OWNER, Lease
from shared.state.pool import answer
from shared.state.snapshots import LUA_ANNOUNCE, Change

QUEUE_WAIT_MS = 5 * keys.MINUTE
"""How long an onboarding may wait for a free place before it expires."""
MOST_STARTS = 10
"""So many attempts may be asked for by one session within `keys.STARTS_TTL`: each costs a process and a connection to
WhatsApp. Those that begin anew by themselves do not count."""
SPENT, REVOKED = "spent", "revoked"
"""What `wa:link:<id>` says of a link."""


def _lua_set(states: frozenset[State]) -> str:
    return "{" + ", ".join(f"['{state.value}']=true" for state in sorted(states)) + "}"


#: What a session's snapshot says of it, and how an ownership is ended by somebody else. To be put behind LUA_OWNER.
LUA_STATE = f"""
local RUNNING, DEVICE, CANCELLABLE = {_lua_set(RUNNING)}, {_lua_set(DEVICE)}, {_lua_set(CANCELLABLE)}
local function present(snapshot_key)
  local have = redis.call('HMGET', snapshot_key, 'attempt', 'seq', 'body')
  if not have[3] then return 0, 0, {{state = 'unlinked'}} end
  return tonumber(have[1]), tonumber(have[2]), cjson.decode(have[3])
end
-- The fence moves with it: an owner that wakes up late and finds no lease must not take Redis for a forgetful one.
local function end_ownership(lease_key, leases_key, fence_key, session)
  redis.call('DEL', lease_key)
  redis.call('ZREM', leases_key, session)
  return next_token(fence_key)
end
"""

# KEYS claim, subject, snapshot, fence, lease, timeline, stats, leases, starts, queue
# ARGV session, channel, claim ms, subject ms, phone or '', expected phone or '', link, address, most starts, starts ms,
# the link job (seven), type, body, event, detail, counters...
# Returns {outcome, attempt, owner}; of `limited`, instead of the attempt, the moment from which it may start.
_REQUEST = (
    LUA_OWNER
    + LUA_ANNOUNCE
    + LUA_STATE
    + LUA_ENQUEUE
    + """
local phone = ARGV[5]
local _, _, body = present(KEYS[3])
if DEVICE[body.state] then return {'linked', 0, ''} end
if redis.call('EXISTS', KEYS[1]) == 0 and tonumber(redis.call('GET', KEYS[9]) or 0) >= tonumber(ARGV[9]) then
  return {'limited', now_ms() + redis.call('PTTL', KEYS[9]), ''}
end
if redis.call('SET', KEYS[1], 0, 'NX', 'PX', ARGV[3]) then
  if redis.call('INCR', KEYS[9]) == 1 then redis.call('PEXPIRE', KEYS[9], ARGV[10]) end
  local attempt = next_token(KEYS[4])
  redis.call('SET', KEYS[1], attempt, 'PX', ARGV[3])
  redis.call('DEL', KEYS[2])
  local now = now_ms()
  redis.call('HSET', KEYS[2], 'phone', phone, 'expected', ARGV[6], 'link', ARGV[7], 'clicked', now, 'asked', now,
    'address', ARGV[8])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
  announce({KEYS[3], KEYS[6], KEYS[7], ARGV[2], KEYS[2]}, attempt, 1, {unpack(ARGV, 18)})
  enqueue_link(KEYS[10], attempt, {unpack(ARGV, 11, 17)})
  return {'started', attempt, ''}
end
local attempt = tonumber(redis.call('GET', KEYS[1]))
local owner = owner_of(KEYS[5], KEYS[8], ARGV[1]) or ''
if phone == '' then return {'joined', attempt, owner} end
local known = redis.call('HGET', KEYS[2], 'phone')
if known and known ~= '' and known ~= phone then return {'differs', attempt, owner} end
if known ~= phone then redis.call('HSET', KEYS[2], 'phone', phone, 'asked', now_ms(), 'address', ARGV[8]) end
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {'joined', attempt, owner}
"""
)

# KEYS claim, subject, snapshot, lease, leases, timeline, stats, fence
# ARGV session, channel, type, body, event, detail, counters...
# Ends an attempt that nobody owns (any more). Returns {outcome, attempt, owner}: done | ask (the owner must do it) | no.
_CANCEL = (
    LUA_OWNER
    + LUA_ANNOUNCE
    + LUA_STATE
    + """
local attempt, seq, body = present(KEYS[3])
if not CANCELLABLE[body.state] then return {'no', attempt, ''} end
local owner = owner_of(KEYS[4], KEYS[5], ARGV[1])
if owner then return {'ask', attempt, owner} end
announce({KEYS[3], KEYS[6], KEYS[7], ARGV[2], KEYS[2]}, attempt, seq + 1, {unpack(ARGV, 3)})
end_ownership(KEYS[4], KEYS[5], KEYS[8], ARGV[1])
redis.call('DEL', KEYS[1], KEYS[2])
return {'done', attempt, ''}
"""
)


class Outcome(StrEnum):
    """What a request led to."""

    STARTED = "started"  # a new attempt, and its job
    JOINED = "joined"  # one runs already
    DIFFERS = "differs"  # one runs already, with a code for another phone
    LINKED = "linked"  # there is nothing to do
    LIMITED = "limited"  # too many were started lately


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an attempt is about: the phone to make a code for, the phone that the link expects (both E.164), the link
    that asked, and the digest of the address that it asked from. Kept in Redis for ten minutes at most."""

    link: str
    link_expires_at: int
    phone: str | None = None
    expected: str | None = None
    address: str = ""


@dataclass(frozen=True, slots=True)
class Requested:
    """The outcome, the attempt that runs now (0: none), and its owner when there is one; of `limited`, the moment from
    which an attempt may start (ms since the epoch)."""

    outcome: Outcome
    attempt: int
    owner: WorkerId | None
    retry_at: int | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`done`: cancelled here. Otherwise, with an `owner`: that worker must do it. Neither: nothing to cancel."""

    done: bool
    attempt: int
    owner: WorkerId | None


def _owner(value: bytes) -> WorkerId | None:
    return WorkerId(value.decode().rsplit(":", 1)[0]) if value else None


def queued(method: Method, event: str, *counters: str) -> Change:
    """The first snapshot of an attempt."""
    body = Body(state=State.QUEUED, method=method, deadline=now_ms() + QUEUE_WAIT_MS)
    return Change(body, MessageType.STATUS, event, method.value, counters)


class Claims:
    """The scripts over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._request = redis.register_script(_REQUEST)
        self._cancel = redis.register_script(_CANCEL)

    async def request(self, session: SessionId, subject: Subject, change: Change) -> Requested:
        """Start an attempt for `subject` with `change` as its first snapshot and its job, or join the one that runs.

        Of N calls at once exactly one starts; a joining call may add a phone, if none is there yet.
        """
        outcome, number, owner = await self._request(
            keys=[
                keys.claim(session),
                keys.subject(session),
                keys.snapshot(session),
                keys.fence(session),
                keys.lease(session),
                keys.timeline(session),
                keys.STATS,
                keys.LEASES,
                keys.starts(session),
                keys.QUEUE_LINKING,
            ],
            args=[
                session,
                keys.events(session),
                keys.CLAIM_TTL,
                keys.SUBJECT_TTL,
                subject.phone or "",
                subject.expected or "",
                f"{subject.link}:{subject.link_expires_at}",
                subject.address,
                MOST_STARTS,
                keys.STARTS_TTL,
                *link_job(session),
                *change.args(),
            ],
        )
        if outcome.decode() == Outcome.LIMITED:
            return Requested(Outcome.LIMITED, 0, None, int(number))
        return Requested(Outcome(outcome.decode()), int(number), _owner(owner))

    async def cancel(self, session: SessionId, change: Change) -> Cancelled:
        """End an attempt that waits in the queue or whose worker is gone, or say who must end it."""
        outcome, attempt, owner = await self._cancel(
            keys=[
                keys.claim(session),
                keys.subject(session),
                keys.snapshot(session),
                keys.lease(session),
                keys.LEASES,
                keys.timeline(session),
                keys.STATS,
                keys.fence(session),
            ],
            args=[session, keys.events(session), *change.args()],
        )
        return Cancelled(outcome == b"done", int(attempt), _owner(owner))

    async def reclaim(self, lease: Lease, subject: Subject) -> None:
        """Put back what Redis forgot of a running attempt: its claim and its subject."""
        session, link = lease.session, f"{subject.link}:{subject.link_expires_at}"
        about = {
            "phone": subject.phone or "",
            "expected": subject.expected or "",
            "link": link,
            "address": subject.address,
        }
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(keys.claim(session), lease.token, px=keys.CLAIM_TTL)
            pipe.hset(keys.subject(session), mapping=about)
            pipe.pexpire(keys.subject(session), keys.SUBJECT_TTL)
            await pipe.execute()

    async def subject(self, session: SessionId) -> Subject:
        """Whom the running attempt is about; an empty one when it is forgotten.

        Asking keeps it for another ten minutes: with the subject an attempt would forget which phone its link expects.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hmget(keys.subject(session), ["phone", "expected", "link", "address"])
            pipe.pexpire(keys.subject(session), keys.SUBJECT_TTL)
            (phone, expected, link, address), _ = await pipe.execute()
        link_id, _, expires_at = link.decode().rpartition(":") if link else ("", "", "0")
        return Subject(
            phone=phone.decode() or None if phone else None,
            expected=expected.decode() or None if expected else None,
            link=link_id,
            link_expires_at=int(expires_at),
            address=address.decode() if address else "",
        )

    async def forget_phone(self, session: SessionId) -> None:
        """No code can be had for it: another number, or the same again, may be asked on the same attempt."""
        await answer(self._redis.hdel(keys.subject(session), "phone"))

    async def is_revoked(self, subject: Subject) -> bool:
        """Whether the link that asked is worth nothing any more."""
        said = await self._redis.get(keys.link(subject.link))
        return said is not None and said.decode() == REVOKED

    async def spend(self, subject: Subject) -> bool:
        """The link has done its work; it may still look, but not ask again. False when it was revoked meanwhile: it
        stays so, and what it led to must not be kept."""
        left, name = subject.link_expires_at - now_ms(), keys.link(subject.link)
        async with self._redis.pipeline(transaction=True) as pipe:
            if subject.link and left > 0:
                pipe.set(name, SPENT, px=left, nx=True)
            pipe.get(name)
            *_, said = await pipe.execute()
        return not said or said.decode() != REVOKED
