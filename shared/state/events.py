"""The events of the integrator in Redis: the feed of all, and the shelf of those that a receiver has not taken yet.

An event is written by the very script that saves its change (shared/state/wa.lua), so a process that dies then loses
none. The feed (`wa:feed`) has the newest for readers who read along. `wa:webhooks` says when each event of the shelf is to
be tried next; workers/delivery.py delivers at least once, and the receiver dedupes by `id`. An event that nobody took
for a day lies among the dead (`wa:webhooks:dead`) for a week.
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from redis.asyncio import Redis

from shared.core import keys
from shared.core.events import Event, EventType
from shared.core.ids import CompanyId, SessionId, company_id, company_of, session_of
from shared.core.messages import Fate, MessageState, advice
from shared.core.protocol import Body
from shared.telemetry.metrics import Counter, field
from shared.wa import Wa, many

HELD_MS = 30_000
"""Time for which a taken event is in the hands of one worker; then another may take it. Longer than a try can last."""

Told = dict[str, Any]
"""An event as the scripts take it."""

_OF_STATE = {
    MessageState.SENT: EventType.MESSAGE_SENT,
    MessageState.FAILED: EventType.MESSAGE_FAILED,
    MessageState.DELIVERED: EventType.MESSAGE_DELIVERED,
    MessageState.READ: EventType.MESSAGE_READ,
    MessageState.UNDELIVERED: EventType.MESSAGE_UNDELIVERED,
}


class News:
    """Says of changes what the integrator is told. `wanted`: the kinds that the service's own receiver wants; a
    company's own receiver is known to Redis."""

    def __init__(self, wanted: Collection[EventType] = ()) -> None:
        self._wanted = frozenset(wanted)

    def event(
        self,
        session: SessionId,
        kind: EventType,
        about: Mapping[str, Any],
        *,
        event_id: str = "",
        at: int | None = None,
    ) -> Told:
        """An event of a session. `about`: its own fields, by their names in JSON."""
        inside = orjson.dumps({name: value for name, value in about.items() if value is not None}).decode()[1:-1]
        return {
            "id": event_id or secrets.token_hex(12),
            "type": kind.value,
            "company": company_of(session),
            "wanted": kind in self._wanted,
            "about": f",{inside}" if inside else "",
            **({"at": at} if at is not None else {}),
        }

    def of(self, session: SessionId, kind: EventType | None, body: Body) -> Told | None:
        """The event of a change to this body; None for a change that is no event. Every change may bring a session back
        that was told to be offline."""
        if kind is None:
            back = self.event(session, EventType.SESSION_ONLINE, {})
            return back | {"back": True}
        said = body.model_dump(mode="json", by_alias=True, include={"device", "failure"})
        return self.event(session, kind, said)

    def text(self, session: SessionId, message_id: str, fate: Fate) -> Told:
        """The event of what has become of a message. Whatever is told of one step of a message, even twice and by two
        workers, has one id; sent or not sent is one step."""
        step = "" if fate.state in {MessageState.SENT, MessageState.FAILED} else f"-{fate.state.value}"
        about = {
            "messageId": message_id,
            "whatsappId": fate.whatsapp_id or None,
            "reason": fate.reason.value if fate.reason else None,
            "status": fate.status,
            "advice": advice(fate.status) if fate.status else None,
        }
        return self.event(session, _OF_STATE[fate.state], about, event_id=f"message-{message_id}{step}", at=fate.at)


class Result(StrEnum):
    """The result of a try."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class Due:
    """An event that is to be tried now, by nobody else. `age` in ms; `tries` counts this one."""

    id: str
    type: str
    company: CompanyId
    body: bytes
    age: int
    tries: int


class EventShelf:
    """The events that wait, over one Redis."""

    def __init__(self, redis: Redis, news: News | None = None) -> None:
        self._redis = redis
        self._wa = Wa(redis)
        self._news = news or News()

    async def put(self, session: SessionId, told: Told) -> None:
        """Keep an event that belongs to no change, to be tried at once. The same id again is the same event."""
        await self._wa("tell", session, event=told)

    async def take(self, most: int) -> tuple[list[Due], float]:
        """Events that are due, which nobody else gets for `HELD_MS`; and in how many seconds the next is due."""
        said = await self._wa("take_events", most=most, held=HELD_MS)
        due = []
        for one in many(said["events"]):
            try:
                kind, company = EventType(one["type"]), company_id(one["company"])
            except ValueError:  # written by somebody else
                await self._redis.zrem(keys.WEBHOOKS, one["id"])
                continue
            due.append(Due(one["id"], kind.value, company, one["body"].encode(), one["age"], one["tries"]))
        return due, float(max(0, said["wait"])) / 1000

    async def settle(self, due: Due, result: Result, *, fault: str = "", pause_ms: int = 0, keep: bool = True) -> None:
        """Count how the try ended; then forget the event, have it tried again after `pause_ms`, or, if nobody takes it,
        `keep` it among the dead."""
        counter = field(Counter.WEBHOOKS, result=result.value, type=due.type)
        in_order = due.type == EventType.MESSAGE_RECEIVED
        await self._wa(
            "settle_event",
            names={"inbox": keys.inbox(session_of(due.company))} if in_order else {},
            id=due.id,
            counter=counter,
            result=result.value,
            fault=fault,
            pause=pause_ms,
            keep=keep,
        )

    async def give_back(self, due: Due, pause_ms: int) -> None:
        """The event was not tried after all."""
        await self._wa("give_event_back", id=due.id, pause=pause_ms)

    async def resend(self, event_id: str) -> bool:
        """Have an event tried anew that waits or is dead. True if there is one."""
        return bool(await self._wa("resend_event", id=event_id))

    async def tell_offline(self, most: int) -> float:
        """Tell of the sessions that have had no connection for `keys.OFFLINE_MS`; in how many seconds to look again."""
        said = await self._wa("offline_sessions", most=most)
        for name in many(said["sessions"]):
            try:
                session = session_of(company_of(SessionId(name)))
            except ValueError:  # written by somebody else
                await self._redis.zrem(keys.OFFLINE, name)
                continue
            await self._wa("tell_offline", session, event=self._news.event(session, EventType.SESSION_OFFLINE, {}))
        return float(max(0, said["wait"])) / 1000


def read_event(body: bytes) -> Event:
    """An event from its body. Raises ValueError."""
    return Event.model_validate_json(body, extra="ignore")
