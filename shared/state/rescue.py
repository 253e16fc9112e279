"""What anybody may do for an onboarding whose worker is gone: close it when its time is over, or begin it anew.

Each is one script, and moves the fence: should its owner come back, it finds itself fenced off.
"""

from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.failures import FAILURES, FailureCode
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body, FailureView, MessageType
from shared.jobs.queue import LUA_ENQUEUE, link_job
from shared.state.claims import LUA_STATE
from shared.state.lease import LUA_OWNER
from shared.state.snapshots import LUA_ANNOUNCE, Change
from shared.telemetry import sentry
from shared.telemetry.metrics import UNKNOWN_REGION, Counter, field

SWEEP_GRACE_MS = 20_000
"""Past its deadline by this much, a running onboarding is closed by whoever sees it. Its own worker is always first."""
_NAMES_AT_ONCE = 10_000
"""Redis looks at so many names in some two milliseconds."""

# KEYS claim, subject, snapshot, lease, leases, timeline, stats, fence
# ARGV session, channel, now, grace, type, body, event, detail, counters...
# Closes a running onboarding that is past its deadline; whoever still believes to own it is fenced off.
_CLOSE = (
    LUA_OWNER
    + LUA_ANNOUNCE
    + LUA_STATE
    + """
local attempt, seq, body = present(KEYS[3])
if not RUNNING[body.state] or not body.deadline or tonumber(ARGV[3]) < body.deadline + ARGV[4] then return 0 end
end_ownership(KEYS[4], KEYS[5], KEYS[8], ARGV[1])
redis.call('DEL', KEYS[1], KEYS[2])
announce({KEYS[3], KEYS[6], KEYS[7], ARGV[2], KEYS[2]}, attempt, seq + 1, {unpack(ARGV, 5)})
return 1
"""
)

# KEYS claim, snapshot, fence, lease, leases, timeline, stats, subject, queue
# ARGV session, channel, claim ms, the link job (seven), type, body, event, detail, counters...
# A running onboarding whose owner is gone begins anew under a higher token, for the same browser. Returns the
# attempt, or 0 when there is nothing to begin anew: ended, owned, or the phone has already agreed.
_RESTART = (
    LUA_OWNER
    + LUA_ANNOUNCE
    + LUA_STATE
    + LUA_ENQUEUE
    + """
local attempt, seq, body = present(KEYS[2])
if not CANCELLABLE[body.state] then return 0 end
if owner_of(KEYS[4], KEYS[5], ARGV[1]) then return 0 end
attempt = end_ownership(KEYS[4], KEYS[5], KEYS[3], ARGV[1])
redis.call('SET', KEYS[1], attempt, 'PX', ARGV[3])
announce({KEYS[2], KEYS[6], KEYS[7], ARGV[2], KEYS[8]}, attempt, 1, {unpack(ARGV, 11)})
enqueue_link(KEYS[9], attempt, {unpack(ARGV, 4, 10)})
return attempt
"""
)


def lost_worker() -> Change:
    """The ending of an onboarding whose worker is gone for good."""
    code = FailureCode.WORKER_LOST
    failure = FailureView(code=code, retryable=FAILURES[code].retryable)
    body = Body(state=State.FAILED, failure=failure)
    counters = (
        field(Counter.FAILURES, code=code.value, region=UNKNOWN_REGION),
        field(Counter.ENDINGS, state=State.FAILED.value),
    )
    return Change(body, MessageType.ERROR, "attempt.failed", code.value, counters)


class Rescue:
    """The scripts over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._close = redis.register_script(_CLOSE)
        self._restart = redis.register_script(_RESTART)

    async def running(self) -> list[SessionId]:
        """Every session whose onboarding runs, or should have ended: who has a claim. Walks over all names in Redis."""
        prefix = keys.claim(SessionId(""))
        found = {key async for key in self._redis.scan_iter(match=f"{prefix}*", count=_NAMES_AT_ONCE)}
        return [SessionId(key.decode().removeprefix(prefix)) for key in found]

    async def close_overdue(self, session: SessionId, *counters: str) -> bool:
        """Close a running onboarding that is past its deadline and grace; whether that was so. Anybody may call."""
        closed = await self._close(
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
            args=[session, keys.events(session), now_ms(), SWEEP_GRACE_MS, *lost_worker().args(), *counters],
        )
        if closed:
            sentry.ending("overdue", FailureCode.WORKER_LOST, session=session)
        return bool(closed)

    async def restart(self, session: SessionId, change: Change) -> int | None:
        """Begin an ownerless onboarding anew, with its job; its new attempt, or None when there is none to begin."""
        attempt = await self._restart(
            keys=[
                keys.claim(session),
                keys.snapshot(session),
                keys.fence(session),
                keys.lease(session),
                keys.LEASES,
                keys.timeline(session),
                keys.STATS,
                keys.subject(session),
                keys.QUEUE_LINKING,
            ],
            args=[session, keys.events(session), keys.CLAIM_TTL, *link_job(session), *change.args()],
        )
        return int(attempt) or None
