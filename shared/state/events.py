"""What the integrator is told of, and where it is kept until his server has taken it.

An event lies in `wa:webhook:<id>` from the moment of the change that it tells of: for a session it is written by the
very script that saves the snapshot (shared/state/snapshots.py), so a worker that dies then loses none. `wa:webhooks` says
when each is to be tried next. Delivery (workers/delivery.py) is at least once; the receiver dedupes by `id`.
"""

import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum

from pydantic import Field
from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, company_of
from shared.core.messages import Fate, MessageState, Reason, advice
from shared.core.protocol import DeviceView, FailureView, Wire
from shared.state.lease import LUA_OWNER
from shared.telemetry.metrics import Counter, field

HELD_MS = 30_000
"""How long an event is the matter of whoever took it; then it is another's. Longer than a try can last."""
EARLY_MS = 2_000
"""Clocks differ: a job that comes so much before its time is on time."""
LATE_MS = 5_000
"""An event that is so late has been forgotten: its job is lost, or its worker dead."""


class EventType(StrEnum):
    """What the integrator is told of."""

    SESSION_LINKED = "session.linked"
    SESSION_VERIFIED = "session.verified"
    SESSION_DROPPED = "session.dropped"
    SESSION_UNLINKED = "session.unlinked"
    MESSAGE_SENT = "message.sent"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_DELIVERED = "message.delivered"
    MESSAGE_READ = "message.read"
    MESSAGE_UNDELIVERED = "message.undelivered"


class Event(Wire):
    """The body of a webhook. `at` is the moment of the change (ms since the epoch, UTC), and stays the same in every
    try. `device.phone` is masked: no event carries a phone number, a text, a QR or a code."""

    id: str = Field(description="Names the event: the same in every try.")
    type: EventType
    company_id: str
    session_id: str
    at: int
    device: DeviceView | None = Field(default=None, description="Of `session.linked` and `session.verified`.")
    failure: FailureView | None = Field(default=None, description="Of `session.dropped`, and others that have one.")
    message_id: str | None = Field(default=None, description="The `id` that the API answered for the message.")
    whatsapp_id: str | None = Field(default=None, description="WhatsApp's own id of a message that it has taken.")
    reason: Reason | None = Field(default=None, description="Of `message.failed` and `message.undelivered`.")
    status: int | None = Field(default=None, description="WhatsApp's own number, when it has refused a message.")
    advice: str | None = Field(default=None, description="The next thing to do after WhatsApp's refusal.")

    def dump(self) -> bytes:
        """As it travels and as it is signed."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


_OF_STATE = {
    MessageState.SENT: EventType.MESSAGE_SENT,
    MessageState.FAILED: EventType.MESSAGE_FAILED,
    MessageState.DELIVERED: EventType.MESSAGE_DELIVERED,
    MessageState.READ: EventType.MESSAGE_READ,
    MessageState.UNDELIVERED: EventType.MESSAGE_UNDELIVERED,
}


def message_event(session: SessionId, message_id: str, fate: Fate) -> Event:
    """The event of what has become of a message. Whatever is told of one step of a message, even twice and by two
    workers, has one id; sent or not sent is one step."""
    kind = _OF_STATE[fate.state]
    step = "" if fate.state in {MessageState.SENT, MessageState.FAILED} else f"-{fate.state.value}"
    return Event(
        id=f"message-{message_id}{step}",
        type=kind,
        company_id=company_of(session),
        session_id=session,
        at=fate.at or now_ms(),
        message_id=message_id,
        whatsapp_id=fate.whatsapp_id or None,
        reason=fate.reason,
        status=fate.status,
        advice=advice(fate.status) if fate.status else None,
    )


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """`v1=` and the HMAC-SHA256, in hex, of `<timestamp>.<body>`. `timestamp`: ms since the epoch, of this try."""
    return "v1=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


#: `keep(names, id, type, body, after)`. `names`: wa:webhook:<id>, wa:webhooks; `after`: ms until it is tried first. To be
#: put behind LUA_OWNER.
LUA_KEEP = f"""
local function keep(names, id, type, body, after)
  redis.call('HSET', names[1], 'type', type, 'body', body, 'since', now_ms(), 'tries', 0)
  redis.call('PEXPIRE', names[1], {keys.WEBHOOK_TTL})
  redis.call('ZADD', names[2], now_ms() + after, id)
  redis.call('PEXPIRE', names[2], {keys.WEBHOOK_TTL})
end
"""

# KEYS webhook, webhooks   ARGV id, type, body, ms until it is tried first
_PUT = (
    LUA_OWNER
    + LUA_KEEP
    + """
if ARGV[4] ~= '0' and redis.call('EXISTS', KEYS[1]) == 1 then return end
keep(KEYS, ARGV[1], ARGV[2], ARGV[3], ARGV[4])
"""
)

# KEYS webhook, webhooks   ARGV id, early ms, held ms
# Returns type, body, age (ms) and the number of this try, from 1; or nothing, when it is not due or no more.
_TAKE = (
    LUA_OWNER
    + """
local due, now = redis.call('ZSCORE', KEYS[2], ARGV[1]), now_ms()
if not due or tonumber(due) > now + ARGV[2] then return nil end
local kept = redis.call('HMGET', KEYS[1], 'type', 'body', 'since')
if not kept[2] then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return nil
end
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
return {kept[1], kept[2], now - kept[3], redis.call('HINCRBY', KEYS[1], 'tries', 1)}
"""
)

# KEYS webhook, webhooks, stats   ARGV id, counter, pause until the next try (ms), '' when it was the last
_SETTLE = (
    LUA_OWNER
    + f"""
if not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return end
redis.call('HINCRBY', KEYS[3], ARGV[2], 1)
if ARGV[3] == '' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('DEL', KEYS[1])
else
  redis.call('ZADD', KEYS[2], now_ms() + ARGV[3], ARGV[1])
  redis.call('PEXPIRE', KEYS[2], {keys.WEBHOOK_TTL})
end
"""
)


class Result(StrEnum):
    """How a try ended."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class Due:
    """An event that is to be tried now, by nobody else. `age` in ms; `tries` counts this one."""

    id: str
    type: EventType
    body: bytes
    age: int
    tries: int


class EventShelf:
    """The events that wait, over one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._put = redis.register_script(_PUT)
        self._take = redis.register_script(_TAKE)
        self._settle = redis.register_script(_SETTLE)

    async def put(self, event: Event, *, after_ms: int = 0) -> None:
        """Keep it, to be tried at once, in place of an older one of its id. Idempotent. With `after_ms`: to be tried
        only then, unless another of its id is there, or comes meanwhile."""
        await self._put(
            keys=[keys.webhook(event.id), keys.WEBHOOKS], args=[event.id, event.type.value, event.dump(), after_ms]
        )

    async def take(self, event_id: str) -> Due | None:
        """The event, if it is due and nobody else has it; for `HELD_MS` nobody else gets it."""
        taken = await self._take(keys=[keys.webhook(event_id), keys.WEBHOOKS], args=[event_id, EARLY_MS, HELD_MS])
        if taken is None:
            return None
        kind, body, age, tries = taken
        return Due(event_id, EventType(kind.decode()), body, int(age), int(tries))

    async def settle(self, due: Due, result: Result, *, pause_ms: int | None = None) -> None:
        """Count how the try ended, and forget the event, or have it tried again after `pause_ms`."""
        counter = field(Counter.WEBHOOKS, result=result.value, type=due.type.value)
        await self._settle(
            keys=[keys.webhook(due.id), keys.WEBHOOKS, keys.STATS],
            args=[due.id, counter, "" if pause_ms is None else pause_ms],
        )

    async def forgotten(self, most: int) -> list[str]:
        """The ids of events that should have been tried long ago, the oldest first."""
        found = await self._redis.zrangebyscore(keys.WEBHOOKS, "-inf", now_ms() - LATE_MS, start=0, num=most)
        return [one.decode() for one in found]
