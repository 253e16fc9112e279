"""Ownership of a session: a lease with a fencing token, renewed for all sessions of a worker at once.

Whether a lease is alive is said by one number, its score (expiry, ms by Redis' clock) in `wa:leases`; the string
`wa:lease:<session>` says whose it is and under which token. So a worker renews any number of leases with one script of
five commands, and the sweeper finds the lapsed ones with one range (docs/adr/0005).

The token comes from `wa:fence:<session>`, which only grows. Every write about a session names its lease; a stale
writer changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from shared.core import keys
from shared.core.ids import SessionId, WorkerId

LEASE_MS = 7_000
HEARTBEAT_MS = 2_000
GIVE_UP_MS = 5_000
"""A worker that could not renew for this long stops its sessions: before the lease lapses, never after."""

#: Shared by every script that must know the owner. Redis' own clock, since hosts' clocks differ.
LUA_OWNER = """
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
-- Tokens only grow, also over a Redis that lost its memory: a new counter begins at the ms since 2026.
local function next_token(fence_key)
  local token = redis.call('INCR', fence_key)
  if token > 1 then return token end
  token = now_ms() - 1767225600000
  redis.call('SET', fence_key, token)
  return token
end
local function owner_of(lease_key, leases_key, session)
  local expiry = redis.call('ZSCORE', leases_key, session)
  return expiry and tonumber(expiry) > now_ms() and redis.call('GET', lease_key)
end
local function owned(lease_key, leases_key, session, owner)
  return owner_of(lease_key, leases_key, session) == owner
end
"""

# KEYS lease, leases, fence, claim
# ARGV session, worker, lease ms, key ttl, attempt ('' for a new token), token held before ('' for none)
# Returns the token, or 0 when somebody owns it, when the attempt is no longer the one that is claimed, or when the
# fence has moved on from the token held before: a Redis that lost its memory has no fence.
_ACQUIRE = (
    LUA_OWNER
    + """
local now = now_ms()
local expiry = redis.call('ZSCORE', KEYS[2], ARGV[1])
if expiry and tonumber(expiry) > now and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local fence = redis.call('GET', KEYS[3])
if ARGV[6] ~= '' and fence and fence ~= ARGV[6] then return 0 end
local token
if ARGV[5] ~= '' then
  if redis.call('GET', KEYS[4]) ~= ARGV[5] or fence ~= ARGV[5] then return 0 end
  token = ARGV[5]
else
  token = next_token(KEYS[3])
end
redis.call('SET', KEYS[1], ARGV[2] .. ':' .. token, 'PX', ARGV[4])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return tonumber(token)
"""
)

# KEYS lease, leases, fence, claim   ARGV session, owner, worker, key ttl, claim ttl
# A new attempt under the same ownership. Returns its token, or 0 when the lease is gone.
_ADVANCE = (
    LUA_OWNER
    + """
if not owned(KEYS[1], KEYS[2], ARGV[1], ARGV[2]) then return 0 end
local token = next_token(KEYS[3])
redis.call('SET', KEYS[1], ARGV[3] .. ':' .. token, 'PX', ARGV[4])
redis.call('SET', KEYS[4], token, 'XX', 'PX', ARGV[5])
return token
"""
)

# KEYS lease, leases   ARGV session, owner
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
"""

# KEYS leases, workers, lease...   ARGV worker, lease ms, session, owner, session, owner ...
# The worker's heartbeat. Returns {sessions that others own, sessions of which Redis knows no owner, whether anybody's
# lease has lapsed}.
_RENEW = (
    LUA_OWNER
    + """
local now = now_ms()
redis.call('ZADD', KEYS[2], now, ARGV[1])
local lost, unknown, renewed = {}, {}, {}
if #KEYS > 2 then
  local owners = redis.call('MGET', unpack(KEYS, 3))
  local scores = redis.call('ZMSCORE', KEYS[1], unpack(ARGV, 3 + (#ARGV - 2) / 2))
  for i, owner in ipairs(owners) do
    local session = ARGV[2 + (#ARGV - 2) / 2 + i]
    if owner == ARGV[2 + i] and scores[i] and tonumber(scores[i]) > now then
      renewed[#renewed + 1] = now + ARGV[2]
      renewed[#renewed + 1] = session
    elseif owner then
      lost[#lost + 1] = session
    else
      unknown[#unknown + 1] = session
    end
  end
  if #renewed > 0 then redis.call('ZADD', KEYS[1], 'XX', unpack(renewed)) end
end
local lapsed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)
return {lost, unknown, #lapsed}
"""
)


@dataclass(frozen=True, slots=True)
class Lease:
    """Proof of ownership: name it with every write."""

    session: SessionId
    worker: WorkerId
    token: int

    @property
    def owner(self) -> str:
        """As Redis keeps it."""
        return f"{self.worker}:{self.token}"


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a heartbeat found: leases that lapsed or that others have now, leases that Redis knows nothing of (it lost
    its memory), and whether anybody's lease has lapsed."""

    lost: tuple[SessionId, ...]
    unknown: tuple[SessionId, ...]
    lapsed: bool


class Leases:
    """The scripts over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._acquire = redis.register_script(_ACQUIRE)
        self._advance = redis.register_script(_ADVANCE)
        self._release = redis.register_script(_RELEASE)
        self._renew = redis.register_script(_RENEW)

    async def acquire(
        self, session: SessionId, worker: WorkerId, *, attempt: int | None = None, held: int | None = None
    ) -> Lease | None:
        """The lease, or None when somebody owns the session.

        With `attempt`, only for as long as that attempt is the claimed one, and its number becomes the token. With
        `held`, the token of a lease that Redis seems to have forgotten, only if it has forgotten the fence as well:
        else somebody has ended that ownership.
        """
        token = await self._acquire(
            keys=[keys.lease(session), keys.LEASES, keys.fence(session), keys.claim(session)],
            args=[
                session,
                worker,
                LEASE_MS,
                keys.LEASE_KEY_TTL,
                "" if attempt is None else attempt,
                "" if held is None else held,
            ],
        )
        return Lease(session, worker, int(token)) if token else None

    async def advance(self, lease: Lease) -> Lease | None:
        """A new token under the same ownership, for a new attempt; None when the lease is gone."""
        token = await self._advance(
            keys=[keys.lease(lease.session), keys.LEASES, keys.fence(lease.session), keys.claim(lease.session)],
            args=[lease.session, lease.owner, lease.worker, keys.LEASE_KEY_TTL, keys.CLAIM_TTL],
        )
        return Lease(lease.session, lease.worker, int(token)) if token else None

    async def release(self, lease: Lease) -> None:
        """Give it up. Idempotent; somebody else's lease is left alone."""
        await self._release(keys=[keys.lease(lease.session), keys.LEASES], args=[lease.session, lease.owner])

    async def heartbeat(self, worker: WorkerId, leases: Sequence[Lease]) -> Heartbeat:
        """Say that `worker` lives and renew its leases."""
        lost, unknown, lapsed = await self._renew(
            keys=[keys.LEASES, keys.WORKERS, *(keys.lease(lease.session) for lease in leases)],
            args=[worker, LEASE_MS, *(lease.owner for lease in leases), *(lease.session for lease in leases)],
        )
        return Heartbeat(
            tuple(SessionId(one.decode()) for one in lost),
            tuple(SessionId(one.decode()) for one in unknown),
            bool(lapsed),
        )

    async def keep_names(self, leases: Sequence[Lease]) -> None:
        """Push the key TTLs ahead, also those of what the sessions show; to be called now and then, since a heartbeat
        touches the scores only."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in (keys.LEASES, keys.WORKERS, *(keys.lease(lease.session) for lease in leases)):
                pipe.pexpire(name, keys.LEASE_KEY_TTL)
            for lease in leases:
                pipe.pexpire(keys.snapshot(lease.session), keys.SNAPSHOT_TTL)
                pipe.pexpire(keys.timeline(lease.session), keys.TIMELINE_TTL)
            await pipe.execute()

    async def lapsed(self) -> list[SessionId]:
        """Sessions whose lease has lapsed, the longest ago first, at most 1,000."""
        seconds, micros = await self._redis.time()
        found = await self._redis.zrangebyscore(keys.LEASES, "-inf", seconds * 1000 + micros // 1000, start=0, num=1000)
        return [SessionId(one.decode()) for one in found]

    async def alive(self) -> list[SessionId]:
        """Every session that somebody owns now."""
        seconds, micros = await self._redis.time()
        found = await self._redis.zrangebyscore(keys.LEASES, f"({seconds * 1000 + micros // 1000}", "+inf")
        return [SessionId(one.decode()) for one in found]

    async def owner(self, session: SessionId) -> WorkerId | None:
        """The worker that owns the session now."""
        seconds, micros = await self._redis.time()
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.get(keys.lease(session))
            pipe.zscore(keys.LEASES, session)
            value, expiry = await pipe.execute()
        if value is None or expiry is None or expiry <= seconds * 1000 + micros // 1000:
            return None
        return WorkerId(value.decode().rsplit(":", 1)[0])
