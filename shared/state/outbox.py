"""The texts of a session on their way out, in the order in which they were accepted.

`wa:outbox:<session>` has their ids; the first may be under way. Text and receiver lie under the id for minutes, since
arguments of jobs and logs carry ids only. The state of a text lies beside, without both, for a week. A text ends once:
the first end that any worker writes counts. One file, as each method is one script over the same keys.
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from shared.core import keys, odd
from shared.core.clock import now_ms
from shared.core.datum import Datum
from shared.core.ids import SessionId, sort_sessions
from shared.core.messages import Fate, MessageState, NotDelivered, NotSent
from shared.jobs.queue import told_job
from shared.state.events import News, Telling
from shared.state.lease import Lease
from shared.state.pool import answer
from shared.wa import many, wa

MOST_WAITING = 200
"""So many texts of a session may wait."""
WAIT_MS = 120_000
"""A text waits so long for its session to come online. After that it is told as not sent."""
LOOK_MS = WAIT_MS + 30_000
"""A sweep looks at an outbox this long after its worker was last seen at it."""
CONFIRM_MS = 24 * keys.HOUR
"""A text that no phone has confirmed for so long is told as undelivered."""
DOUBT_MS = 30_000
"""A text that a phone could not decrypt, and has not confirmed for so long, is told as undelivered. The library sends it
again at once, if it remembers it."""
LEARNT_AT_ONCE = 20
"""New texts that one step brings, at most."""
SOON_MS = 20
"""A worker that has begun with a text so lately looks at the outbox again by itself, when that text ends."""
_ID = re.compile(rb"[0-9a-f]{16}")
RESERVE_MINUTES = 15
"""A session that was silent for this long may send what it has saved up at once."""


class Message(Datum):
    """A text, and its receiver: an E.164 number, or a JID."""

    to: str
    text: str


class Waiting(Datum):
    """A text in the outbox. `sending`: a worker had handed it to the library. `age` in ms. `message`: None if too old."""

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


class Written(StrEnum):
    """The state of a text, as it can be written."""

    REQUEUED = "requeued"  # it was to be sent, and has not been: it waits again
    ENDED = "ended"  # the first end counts
    CONFIRMED = "confirmed"  # by its receiver's phone
    DOUBTED = "doubted"  # the phone could not decrypt it; unless it confirms it soon, it is told as undelivered


class Entry(Datum):
    """Something to be written of a text. `fate`: what is told of an end or a confirmation."""

    message: str
    written: Written
    fate: Fate | None = None


class TextStep(Datum):
    """The answer to one step. `news`: for each entry, whether it was one; None if it cannot be written yet, as Redis has
    forgotten both the text and whose it is. `begun`: whether the next text may leave, and in
    how many seconds. `texts`: the new ones; None if the outbox is not as its worker believes."""

    news: tuple[bool | None, ...]
    begun: tuple[Begun, float] | None
    texts: list[Waiting] | None


class NotLinked(Exception):
    """The session has no linked device."""


class KeyReused(Exception):
    """Another message was asked for under this Idempotency-Key."""


class OutboxFull(Exception):
    """Too many texts of the session wait. `seconds`: until there is room, about."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"the outbox is full for {seconds} s")
        self.seconds = seconds


class Outbox(Telling):
    """The outboxes of all sessions, over one Redis. `rate`: texts a minute for each session; 0 for any number."""

    def __init__(self, redis: Redis, *, rate: int = 0, news: News | None = None) -> None:
        super().__init__(redis, news)
        self._rate = rate

    @property
    def most(self) -> int:
        """Largest number of a session's texts that may wait: those that leave before their text is forgotten."""
        return min(MOST_WAITING, self._rate * 5) if self._rate else MOST_WAITING

    async def accept(
        self, session: SessionId, message: Message, key: str | None = None, *, only_linked: bool = False
    ) -> str:
        """Keep a text at the end of the outbox, and call the session's worker to it; its id. Under one Idempotency-Key
        that is done once. Raises `OutboxFull`, `KeyReused`, and with `only_linked` `NotLinked`."""
        # Under the key, which nobody else knows: no hash of a phone alone is kept.
        told = hashlib.sha256(f"{key}\0{message.to}\0{message.text}".encode()).hexdigest() if key else ""
        once = {"once": keys.once(session, hashlib.sha256(key.encode()).hexdigest())} if key else {}
        text = secrets.token_hex(8)
        job = told_job("send", session, text, job_id=f"send:{text}")
        rules = {"most": self.most, "only_linked": only_linked or None}
        found = await self._put(session, text, message, names=once, digest=told, job=job, **rules)
        if found == "unlinked":
            raise NotLinked
        if found == "full":
            raise OutboxFull(max(1, round(10 * 60 / self._rate)) if self._rate else 5)
        message_id, _, known = found.partition(":")
        if known != told:
            raise KeyReused
        return message_id

    async def restore(self, session: SessionId, message_id: str, message: Message) -> None:
        """Keep a text again that Redis has forgotten. Nothing happens if it has not."""
        await self._put(session, message_id, message, digest="", most=10 * MOST_WAITING)

    async def _put(self, session: SessionId, message_id: str, message: Message, **more: Any) -> str:
        about: dict[str, Any] = {"id": message_id, "to": message.to, "text": message.text}
        found: str = await wa(self._redis, "accept_text", session, look=LOOK_MS, soon=SOON_MS, **about, **more)
        return found

    async def waiting(self, session: SessionId) -> list[Waiting]:
        """The texts in the outbox, the oldest first."""
        found = await wa(self._redis, "look_at_texts", session, looks=True, most=10 * MOST_WAITING)
        return [_waiting(one) for one in many(found)]

    async def step(
        self,
        session: SessionId,
        entries: Sequence[Entry] = (),
        *,
        lease: Lease | None = None,
        begin: str | None = None,
        weight: float = 1.0,
        known: Sequence[str] | None = None,
    ) -> TextStep:
        """Write entries, and mark the text `begin` as under way, if its turn has come. `weight`: how many texts it counts
        for in the session's pace. `known`: the worker's own texts in their order; those behind them are told."""
        cost = round(60_000 / self._rate * weight) if self._rate else 0
        said = await wa(
            self._redis,
            "step_texts",
            session,
            written=[self._told(session, one) for one in entries],
            owner=lease.owner if lease else None,
            begin=begin and {"id": begin, "cost": cost, "reserve": RESERVE_MINUTES * keys.MINUTE},
            known={"count": len(known), "last": known[-1] if known else ""} if known is not None else None,
            most=LEARNT_AT_ONCE,
            look=LOOK_MS,
            confirm=CONFIRM_MS,
            doubt=DOUBT_MS,
        )
        begun, texts = said.get("begun"), said.get("beside")
        return TextStep(
            tuple(many(said["news"])),
            (Begun(begun["word"]), int(begun["wait"]) / 1000) if begun else None,
            None if texts is None else [_waiting(one) for one in many(texts)],
        )

    def _told(self, session: SessionId, entry: Entry) -> dict[str, Any]:
        told: dict[str, Any] = {"word": entry.written.value, "id": entry.message}
        if (fate := entry.fate) is None:
            return told
        about = {
            "reason": fate.reason and fate.reason.value,
            "status": fate.status,
            "whatsappId": fate.whatsapp_id,
        }
        told |= {"state": fate.state.value, "about": {name: str(value) for name, value in about.items() if value}}
        told |= {"event": self._news.text(session, entry.message, fate)}
        return told | ({"at": fate.at} if fate.at else {})

    async def settle(self, session: SessionId, message_id: str, fate: Fate) -> bool:
        """Write the end of a text, and keep its event. True if it is the first; a later end changes nothing."""
        return bool((await self.step(session, [Entry(message_id, Written.ENDED, fate)])).news[0])

    async def by_whatsapp_id(self, session: SessionId, whatsapp_id: str) -> str | None:
        """Our id of a text, if it is one of ours."""
        return odd.text(await self._redis.get(keys.sent(session, whatsapp_id))) or None

    async def end_unconfirmed(self, most: int = 500) -> int:
        """Tell of texts that no phone has confirmed in time. Return their number."""
        found = await self._redis.zrangebyscore(keys.UNCONFIRMED, "-inf", now_ms(), start=0, num=most)
        for one in found:
            name, _, message_id = one.partition(b" ")
            ours, _ = sort_sessions([name])
            if not ours or not _ID.fullmatch(message_id):
                await self._redis.zrem(keys.UNCONFIRMED, one)
                continue
            (session,), message_id = ours, message_id.decode()
            stands = await self.look(session, message_id)
            reason = NotDelivered.UNREADABLE if "doubt" in stands else NotDelivered.UNCONFIRMED
            fate = Fate(MessageState.UNDELIVERED, reason, whatsapp_id=stands.get("whatsappId", ""))
            await self.step(session, [Entry(message_id, Written.CONFIRMED, fate)])
            await self._redis.zrem(keys.UNCONFIRMED, one)
        return len(found)

    async def give_up(self, session: SessionId, *, older_ms: int = 0) -> None:
        """End the texts of a session that nobody sends, if they have waited so long."""
        for one in await self.waiting(session):
            if not one.sending and one.message is not None and one.age < older_ms:
                break
            reason = NotSent.UNKNOWN if one.sending else NotSent.NOT_ONLINE
            await self.settle(session, one.id, Fate(MessageState.FAILED, reason))

    async def overdue(self, most: int = 200) -> list[SessionId]:
        """The sessions with texts that no worker has been at for long."""
        return sort_sessions(await self._redis.zrangebyscore(keys.OUTBOXES, "-inf", now_ms(), start=0, num=most))[0]

    async def put_off(self, session: SessionId) -> None:
        """Have the sweep look at the session's outbox again later, should there be texts still."""
        await self._redis.zadd(keys.OUTBOXES, {session: float(now_ms() + LOOK_MS)}, xx=True)

    async def look(self, session: SessionId, message_id: str) -> dict[str, str]:
        """State of a text, field by field; nothing for one that was never heard of."""
        found = await answer(self._redis.hgetall(keys.message(session, message_id)))
        return {odd.text(name): odd.text(value) for name, value in found.items()}


def _waiting(one: dict[str, Any]) -> Waiting:
    message = Message(one["to"], one["text"]) if one["to"] and one["text"] else None
    now = now_ms()
    age = max(0, now - odd.number(one["at"], now))
    return Waiting(one["id"], message, age, one["sending"])
