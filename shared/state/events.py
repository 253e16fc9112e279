"""The events of the integrator in Redis: the feed of all, and the shelf of those that a receiver has not taken yet.

The script that saves a change writes its event (shared/state/wa.lua), so that no death of a process loses one. The feed
(`wa:feed`) has the newest for those who read along. The shelf (`wa:webhooks`) says when each event is tried next;
workers/delivery.py delivers at least once, and the receiver dedupes by `id`. An event that nobody took for a day lies among
the dead (`wa:webhooks:dead`) for a week.
"""

import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any

import orjson
from redis.asyncio import Redis

from shared.core import keys
from shared.core.datum import Datum
from shared.core.events import EventType, IncomingMessage
from shared.core.ids import CompanyId, SessionId, company_id, company_of, session_of
from shared.core.messages import Fate, MessageState, advice
from shared.core.protocol import Body
from shared.state.pool import OverRedis
from shared.state.receivers import Receiver, read_receiver
from shared.telemetry.metrics import Counter, field
from shared.wa import many, wa

HELD_MS = 30_000
"""Time for which a taken event is in the hands of one worker; then another may take it. Longer than a try can last."""
MOST_WAITING = 2000
"""Incoming messages of a session that wait for a receiver that is away, at most. Those beyond are counted, and told."""
LOOKED_AT = 100
"""Due events that one step looks at, at most."""
CROWDED_MS = 1_000
"""Pause of the due events that one step has looked at if their receivers are all busy, so that the next step sees others."""

ToldEvent = dict[str, Any]
"""An event as the scripts take it."""


class News:
    """Makes the integrator's events out of changes. `wanted`: the kinds that the service's own receiver wants; Redis
    knows the receivers of companies."""

    def __init__(self, wanted: Collection[EventType] = ()) -> None:
        self.wanted = frozenset(wanted)

    def event(
        self,
        session: SessionId,
        kind: EventType,
        about: Mapping[str, Any],
        *,
        event_id: str = "",
        at: int | None = None,
    ) -> ToldEvent:
        """An event of a session. `about`: its own fields, by their names in JSON."""
        inside = orjson.dumps({name: value for name, value in about.items() if value is not None}).decode()[1:-1]
        return {
            "id": event_id or secrets.token_hex(12),
            "type": kind.value,
            "company": company_of(session),
            "wanted": kind in self.wanted,
            "about": f",{inside}" if inside else "",
            **({"at": at} if at is not None else {}),
        }

    def of(self, session: SessionId, kind: EventType | None, body: Body) -> ToldEvent | None:
        """The event of a change to this body. A change without an event may bring back a session told to be offline."""
        if kind is None:
            back = self.event(session, EventType.SESSION_ONLINE, {})
            return back | {"back": True}
        said = body.model_dump(mode="json", by_alias=True, include={"device", "failure"})
        return self.event(session, kind, said)

    def text(self, session: SessionId, message_id: str, fate: Fate) -> ToldEvent:
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
        kind = EventType(f"message.{fate.state.value}")
        return self.event(session, kind, about, event_id=f"message-{message_id}{step}", at=fate.at)


class Telling(OverRedis):
    """Base of classes whose changes in Redis the integrator is told of."""

    def __init__(self, redis: Redis, news: News | None = None) -> None:
        super().__init__(redis)
        self._news = news or News()


class Result(StrEnum):
    """The result of a try."""

    DELIVERED = "delivered"
    RETRIED = "retried"
    GIVEN_UP = "given-up"


class Due(Datum):
    """An event that is to be tried now, by nobody else. `age` in ms; `tries` counts this one. `own`: the company's own
    receiver. `more`: events of the company wait for this one."""

    id: str
    type: str
    company: CompanyId
    body: bytes
    age: int
    tries: int
    own: Receiver | None = None
    more: bool = False


class Tried(Datum):
    """The end of a try. Then the event is forgotten, or tried again after `pause_ms`, or it `dies`, as nobody takes it."""

    due: Due
    result: Result
    fault: str | None = None
    pause_ms: int | None = None
    dies: bool = False

    def dump(self) -> ToldEvent:
        """As the scripts take it."""
        session = session_of(self.due.company) if self.due.type == EventType.MESSAGE_RECEIVED else None
        counter = field(Counter.WEBHOOKS, result=self.result.value, type=self.due.type)
        told = {"id": self.due.id, "counter": counter, "session": session, "fault": self.fault, "pause": self.pause_ms}
        return {name: value for name, value in (told | {"dies": self.dies}).items() if value is not None}


class Arrival(Datum):
    """A message that has come in. `lost`: others before it of which nobody could be told."""

    session: SessionId
    message: IncomingMessage
    lost: int = 0


class ShelfStep(Datum):
    """The answer to one step. `words`: of each message that came in, `told`, or `behind` the one before, `again`, as it
    was told before, `full`, as too many wait, or `unwanted`. `full`: more events are due than there was room for.
    `wait`: seconds until the next is due."""

    due: list[Due]
    words: list[str]
    full: bool
    wait: float


class EventShelf(Telling):
    """The events that wait, over one Redis."""

    async def put(self, session: SessionId, told: ToldEvent) -> None:
        """Keep an event that belongs to no change, to be tried at once. The same id again is the same event."""
        await wa(self._redis, "tell", session, event=told)

    async def step(
        self,
        most: int,
        *,
        ended: Sequence[Tried] = (),
        come: Sequence[Arrival] = (),
        each: int = 1_000,
        busy: Mapping[str, int] = {},
    ) -> ShelfStep:
        """Write how tries ended and what has come in, tell who is offline, and take `most` events that are due: nobody
        else gets them for `HELD_MS`. One receiver has `each` at most, with those `busy` at its URL ("": the service's).

        Of what has come in for a company, the next event is due when the one before has ended.
        """
        kind = EventType.SESSION_OFFLINE
        said = await wa(
            self._redis,
            "serve_events",
            ended=[one.dump() for one in ended],
            come=[self._arrived(one) for one in come],
            offline={"type": kind, "wanted": kind in self._news.wanted},
            ordered=EventType.MESSAGE_RECEIVED,
            takes=most,
            each=each,
            busy=busy,
            held=HELD_MS,
            room=MOST_WAITING,
            look=LOOKED_AT,
            crowded=CROWDED_MS,
        )
        due = [one for told in many(said["events"]) if (one := await self._due(told))]
        return ShelfStep(due, many(said["words"]), said["full"], said["wait"] / 1000)

    def _arrived(self, arrival: Arrival) -> ToldEvent:
        session, message = arrival.session, arrival.message
        # By its hash: other people's clients make these ids.
        digest = hashlib.sha256(f"{session}\0{message.id}".encode()).hexdigest()[:24]
        about = {"message": orjson.Fragment(message.model_dump_json(by_alias=True, exclude_none=True))}
        kind, event_id = EventType.MESSAGE_RECEIVED, f"received-{digest}"
        event = self._news.event(session, kind, about, event_id=event_id, at=message.at)
        return {"session": session, "event": event | {"unfed": True}, "lost": arrival.lost}

    async def _due(self, told: ToldEvent) -> Due | None:
        try:
            kind, company = EventType(told["type"]), company_id(told["company"])
        except ValueError:  # written by somebody else
            await self._redis.zrem(keys.WEBHOOKS, told["id"])
            return None
        own = read_receiver(*(one or "" for one in told["own"])) if told.get("own") else None
        age, tries, more = told["age"], told["tries"], told["more"]
        return Due(told["id"], kind.value, company, told["body"].encode(), age, tries, own, more)

    async def resend(self, event_id: str) -> bool:
        """Have an event tried anew that waits or is dead. True if there is one."""
        return bool(await wa(self._redis, "resend_event", id=event_id))
