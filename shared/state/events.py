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
from shared.telemetry.metrics import Counter, field
from shared.wa import Wa, many

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

    def script_fields(self) -> dict[str, str]:
        """As the scripts take it."""
        return {"id": self.id, "type": self.type.value, "body": self.dump().decode()}


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
        self._wa = Wa(redis)

    async def put(self, event: Event, *, after_ms: int = 0) -> None:
        """Keep it, to be tried at once, in place of an older one of its id. Idempotent. With `after_ms`: to be tried
        only then, unless another of its id is there, or comes meanwhile."""
        await self._wa("put_event", names=_names(event.id), event=event.script_fields(), after=after_ms)

    async def take(self, event_id: str) -> Due | None:
        """The event, if it is due and nobody else has it; for `HELD_MS` nobody else gets it."""
        taken = await self._wa("take_event", names=_names(event_id), id=event_id, early=EARLY_MS, held=HELD_MS)
        if not taken:
            return None
        body = taken["body"].encode()
        return Due(event_id, EventType(taken["type"]), body, int(taken["age"]), int(taken["tries"]))

    async def settle(self, due: Due, result: Result, *, pause_ms: int | None = None) -> None:
        """Count how the try ended, and forget the event, or have it tried again after `pause_ms`."""
        counter = field(Counter.WEBHOOKS, result=result.value, type=due.type.value)
        await self._wa("settle_event", names=_names(due.id), id=due.id, counter=counter, pause=pause_ms)

    async def forgotten(self, most: int) -> list[str]:
        """The ids of events that should have been tried long ago, the oldest first."""
        return many(await self._wa("forgotten_events", looks=True, late=LATE_MS, most=most))


def _names(event_id: str) -> dict[str, str]:
    return {"webhook": keys.webhook(event_id)}
