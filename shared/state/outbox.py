"""The texts of a session on their way out, in the order in which they were accepted.

`wa:outbox:<session>` has their ids; the first may be under way. The text itself and its receiver lie under the id for
minutes, since job arguments and logs carry ids only. Where a text stands lies beside for a week, without both. A text
ends once: the first end that is written counts, from any worker.
"""

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from redis.asyncio import Redis

from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId, sort_sessions
from shared.core.messages import Fate, MessageState, NotDelivered, NotSent
from shared.state.events import News
from shared.state.lease import Lease
from shared.state.pool import answer
from shared.wa import Wa

MOST_WAITING = 200
"""So many texts of a session may wait."""
WAIT_MS = 120_000
"""A text waits so long for its session to come online. After that it is told as not sent."""
LOOK_MS = WAIT_MS + 30_000
"""A sweep looks at an outbox this long after its worker was last seen at it."""
CONFIRM_MS = 24 * keys.HOUR
"""A text that no phone has confirmed for so long is told as undelivered."""
DOUBT_MS = 30_000
"""The same for one that a phone could not decrypt. The library sends it again at once, if it remembers it."""
RESERVE_MINUTES = 15
"""A session that was silent for this long may send what it has saved up at once."""


@dataclass(frozen=True, slots=True)
class Message:
    """A text, and its receiver: an E.164 number, or a JID."""

    to: str
    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A text in the outbox. `sending`: some worker had handed it to the library. `age` in ms; `message` is None if it
    was kept too long."""

    id: str
    message: Message | None
    age: int
    sending: bool


class Begun(StrEnum):
    """The answer to a request to send a text now."""

    GO = "go"
    WAIT = "wait"  # the session's pace
    OVER = "over"  # the text has ended already
    LOST = "lost"  # the session is somebody else's


class KeyReused(Exception):
    """Another message was asked for under this Idempotency-Key."""


class OutboxFull(Exception):
    """Too many texts of the session wait. `seconds`: until there is room, about."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the outbox is full for {seconds} s")
        self.seconds = seconds


class Outbox:
    """The outboxes of all sessions, over one Redis. `rate`: texts a minute for each session; 0 for any number."""

    def __init__(self, redis: Redis, *, rate: int = 0, news: News | None = None) -> None:
        self._redis = redis
        self._rate = rate
        self._news = news or News()
        self._wa = Wa(redis)

    @property
    def most(self) -> int:
        """Largest number of a session's texts that may wait: those that leave before their text is forgotten."""
        return min(MOST_WAITING, self._rate * 5) if self._rate else MOST_WAITING

    async def accept(self, session: SessionId, message: Message, key: str | None = None) -> str:
        """Keep a text at the end of the outbox; its id. Under one Idempotency-Key that is done once.

        Raises `OutboxFull` and `KeyReused`.
        """
        # Under the key, which nobody else knows: no hash of a phone alone is kept.
        told = hashlib.sha256(f"{key}\0{message.to}\0{message.text}".encode()).hexdigest() if key else ""
        once = keys.once(session, hashlib.sha256(key.encode()).hexdigest()) if key else None
        found = await self._put(session, secrets.token_hex(8), message, self.most, once, told)
        if found == "full":
            raise OutboxFull(max(1, round(10 * 60 / self._rate)) if self._rate else 5)
        message_id, _, known = found.partition(":")
        if known != told:
            raise KeyReused
        return message_id

    async def restore(self, session: SessionId, message_id: str, message: Message) -> None:
        """Keep a text again that Redis has forgotten. Nothing happens if it has not."""
        await self._put(session, message_id, message, 10 * MOST_WAITING, None, "")

    async def _put(
        self, session: SessionId, message_id: str, message: Message, most: int, once: str | None, told: str
    ) -> str:
        found: str = await self._wa(
            "accept_text",
            session,
            names=_names(session, message_id) | ({"once": once} if once else {}),
            id=message_id,
            to=message.to,
            text=message.text,
            most=most,
            digest=told,
            look=LOOK_MS,
        )
        return found

    async def waiting(self, session: SessionId, known: Collection[str] = ()) -> list[Waiting]:
        """The texts in the outbox but for the known ones, the oldest first."""
        ids = [one.decode() for one in await answer(self._redis.lrange(keys.outbox(session), 0, -1))]
        new = [one for one in ids if one not in known]
        if not new:
            return []
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            for one in new:
                pipe.hmget(keys.text(session, one), ["to", "text"])
                pipe.hmget(keys.message(session, one), ["state", "acceptedAt"])
            (seconds, micros), *rows = await pipe.execute()
        now = seconds * 1000 + micros // 1000
        found = []
        for one, (to, text), (state, accepted) in zip(new, rows[::2], rows[1::2], strict=True):
            message = Message(to.decode(), text.decode()) if to and text else None
            age = max(0, now - int(accepted)) if accepted else 0
            found.append(Waiting(one, message, age, state == MessageState.SENDING.encode()))
        return found

    async def begin(self, lease: Lease, message_id: str, weight: float = 1.0) -> tuple[Begun, float]:
        """Mark a text as under way, if its turn has come; and for how many seconds to wait, if it has not.

        `weight`: how many texts this one counts for in the session's pace.
        """
        session = lease.session
        cost = round(60_000 / self._rate * weight) if self._rate else 0
        said = await self._wa(
            "begin_text",
            session,
            names=_names(session, message_id) | {"pace": keys.pace(session)},
            owner=lease.owner,
            cost=cost,
            reserve=RESERVE_MINUTES * keys.MINUTE,
            look=LOOK_MS,
        )
        return Begun(said["word"]), int(said["wait"]) / 1000

    async def requeue(self, session: SessionId, message_id: str) -> None:
        """A text that was to be sent has not been: it waits again."""
        await self._wa("requeue_text", session, names=_names(session, message_id))

    async def settle(self, session: SessionId, message_id: str, fate: Fate) -> bool:
        """Write what has become of a text, and keep the event of it. True if it had not been written before.

        What is said twice, or after another end, changes nothing.
        """
        names = _names(session, message_id)
        if fate.whatsapp_id:
            names["sent"] = keys.sent(session, fate.whatsapp_id)
        first = await self._wa(
            "settle_text",
            session,
            names=names,
            id=message_id,
            state=fate.state.value,
            at=fate.at or None,
            confirm=CONFIRM_MS,
            about={
                name: str(value)
                for name, value in (
                    ("reason", fate.reason and fate.reason.value),
                    ("status", fate.status),
                    ("whatsappId", fate.whatsapp_id),
                )
                if value
            },
            event=self._news.text(session, message_id, fate),
        )
        return bool(first)

    async def by_whatsapp_id(self, session: SessionId, whatsapp_id: str) -> str | None:
        """Our id of a text, if it is one of ours."""
        found = await self._redis.get(keys.sent(session, whatsapp_id))
        return found.decode() if found else None

    async def confirm(self, session: SessionId, message_id: str, fate: Fate) -> bool:
        """Write what a receiver's phone says of a text that was sent, and keep the event of it. True if it is news."""
        names = _names(session, message_id)
        news = await self._wa(
            "confirm_text",
            session,
            names=names,
            id=message_id,
            state=fate.state.value,
            at=fate.at or None,
            reason=fate.reason and fate.reason.value,
            event=self._news.text(session, message_id, fate),
        )
        return bool(news)

    async def doubt(self, session: SessionId, message_id: str) -> bool:
        """A phone could not decrypt a text. It is told as undelivered soon, unless the phone confirms it."""
        names = _names(session, message_id)
        return bool(await self._wa("doubt_text", session, names=names, id=message_id, soon=DOUBT_MS))

    async def end_unconfirmed(self, most: int = 500) -> int:
        """Tell of texts that no phone has confirmed in time; how many there were."""
        found = await self._redis.zrangebyscore(keys.UNCONFIRMED, "-inf", now_ms(), start=0, num=most)
        for one in found:
            name, _, message_id = one.decode().partition(" ")
            session = SessionId(name)
            stands = await self.look(session, message_id)
            reason = NotDelivered.UNREADABLE if "doubt" in stands else NotDelivered.UNCONFIRMED
            fate = Fate(MessageState.UNDELIVERED, reason, whatsapp_id=stands.get("whatsappId", ""))
            await self.confirm(session, message_id, fate)
            await self._redis.zrem(keys.UNCONFIRMED, one)
        return len(found)

    async def give_up(self, session: SessionId, *, older_ms: int = 0) -> int:
        """End the texts of a session that nobody sends, if they have waited so long; how many."""
        given_up = 0
        for one in await self.waiting(session):
            if one.sending:
                fate = Fate(MessageState.FAILED, NotSent.UNKNOWN)
            elif one.age >= older_ms or one.message is None:
                fate = Fate(MessageState.FAILED, NotSent.NOT_ONLINE)
            else:
                break
            given_up += await self.settle(session, one.id, fate)
        return given_up

    async def overdue(self, most: int = 200) -> list[SessionId]:
        """The sessions with texts that no worker has been at for long. Each is looked at again later, should it stay."""
        now = now_ms()
        found = await self._redis.zrangebyscore(keys.OUTBOXES, "-inf", now, start=0, num=most)
        ours, strange = sort_sessions(found)
        if strange:
            await self._redis.zrem(keys.OUTBOXES, *strange)
        if ours:
            await self._redis.zadd(keys.OUTBOXES, dict.fromkeys(ours, float(now + LOOK_MS)), xx=True)
        return ours

    async def look(self, session: SessionId, message_id: str) -> dict[str, str]:
        """State of a text, field by field; nothing for one that was never heard of."""
        found = await answer(self._redis.hgetall(keys.message(session, message_id)))
        return {name.decode(): value.decode() for name, value in found.items()}


def _names(session: SessionId, message_id: str) -> dict[str, str]:
    return {
        "outbox": keys.outbox(session),
        "message": keys.message(session, message_id),
        "text": keys.text(session, message_id),
        "outboxes": keys.OUTBOXES,
        "unconfirmed": keys.UNCONFIRMED,
    }
