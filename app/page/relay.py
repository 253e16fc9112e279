"""From Redis' announcements to the sockets' slots: one subscription a process, and nobody waits for a slow reader.

Subscribe first, read second, drop what is older. Announcements may be lost (a reconnect says nothing of what was
missed), so a session is read again on every (re)subscription, and after a silence. One file, as all of this is about one
table: the sessions that are watched.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from app.page.slot import Slot, SocketEnded
from shared.core import keys
from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.lifecycle import RUNNING, State
from shared.core.protocol import CloseCode, MessageType
from shared.log import log
from shared.state.claims import REVOKED, Claims
from shared.state.connections import at_hand
from shared.state.lease import Leases
from shared.state.rescue import SWEEP_GRACE_MS, Rescue
from shared.state.snapshots import Snapshots, Stored, announced, dump_body
from shared.tasks import TROUBLE
from shared.telemetry import sentry

TICK_SECONDS = 2.0
"""Between two updates of the queue position of waiting sessions."""
SILENCE_SECONDS = 30.0
"""A running session of which nothing was heard for so long is read again; a resting one after four times as long. Longer
than a QR lives, so that a session whose QR turns is not read between."""
DEAF_SECONDS = 30.0
"""If nothing at all was received for so long, not even the answer to a ping, the connection counts as dead."""

MOST_WAITING = 500
"""Requests of the API that wait for news in one process, at most. Others are answered at once."""
BEHIND_SECONDS = 5.0
"""Time for a session's owner to restore what Redis has forgotten, in whole or in part."""

UNREADABLE = (ValueError, TypeError, KeyError)
"""Errors of a snapshot or announcement that cannot be read: of another version, or written by hand."""

#: These are always subscribed: without any channel a redis-py subscription does not listen.
_SWITCH, _LINKS, _FEED = keys.SWITCH_CHANNEL.encode(), keys.LINKS_CHANNEL.encode(), keys.FEED.encode()
_EVENTS = keys.events(SessionId("")).encode()


@dataclass(slots=True)
class _Watched:
    """A session with at least one socket here."""

    slots: set[Slot] = field(default_factory=set)
    last: Stored | None = None
    position: int | None = None
    heard: float = 0.0
    behind: float | None = None


class Relay:
    """One per web process."""

    def __init__(self, redis: Redis, subscriber: Redis, snapshots: Snapshots, rescue: Rescue) -> None:
        self._claims = Claims(redis)
        self._subscriber = subscriber
        self._snapshots = snapshots
        self._rescue = rescue
        self._leases = Leases(redis)
        self._watched: dict[SessionId, _Watched] = {}
        self._pubsub: PubSub | None = None
        self._heard = 0.0
        self._waiting = 0
        self.on_switch: Callable[[], None] = lambda: None
        self.on_feed: Callable[[], None] = lambda: None

    @property
    def sockets(self) -> int:
        return sum(len(watched.slots) for watched in self._watched.values()) - self._waiting

    @contextlib.asynccontextmanager
    async def watch(self, session: SessionId, link: str = "") -> AsyncIterator[Slot]:
        """A slot that receives the session's present snapshot and every later one, and ends if `link` is revoked."""
        slot = Slot(link)
        watched = self._watched.setdefault(session, _Watched())
        watched.slots.add(slot)
        # A dropped connection is the listener's affair: it subscribes to everything anew.
        try:
            if len(watched.slots) == 1 and self._pubsub is not None:
                with contextlib.suppress(*TROUBLE):
                    await self._pubsub.subscribe(keys.events(session))
            await self._read([session], again_for=slot)
            yield slot
        finally:
            watched.slots.discard(slot)
            if not watched.slots and self._watched.get(session) is watched:
                del self._watched[session]
                if self._pubsub is not None:
                    with contextlib.suppress(*TROUBLE):
                        await self._pubsub.unsubscribe(keys.events(session))

    async def newer(self, known: Stored, seconds: float) -> None:
        """Wait for news of a session since `known` was told, for so many seconds at most. Return at once while many wait."""
        if self._waiting >= MOST_WAITING:
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds), self.watch(known.session) as slot:
                first = await slot.first()
                if (first.attempt, first.seq) <= known.version and first.state is known.body.state:
                    await slot.next()
        except (TimeoutError, SocketEnded):
            pass
        finally:
            self._waiting -= 1

    async def repeat(self, session: SessionId, slot: Slot) -> None:
        """Send one socket the present state again."""
        await self._read([session], again_for=slot)

    def work(self) -> tuple[Coroutine[None, None, None], ...]:
        """Coroutines to run beside everything else until they are cancelled. They survive every fault of Redis.

        A task each: a TaskGroup asks its tasks to end once, which redis-py can lose on Python 3.11 (docs/adr/0002).
        """
        return tuple(_for_ever(work) for work in (self._listen, self._tick))

    async def _listen(self) -> None:
        pause = 0.05
        while True:
            try:
                async with self._subscriber.pubsub() as pubsub:
                    known = set(self._watched)
                    await pubsub.subscribe(_SWITCH, _LINKS, _FEED, *map(keys.events, known))
                    self._pubsub, self._heard, pause = pubsub, _clock(), 0.05
                    # While we subscribed; whoever comes from now on does it alone.
                    if came := set(self._watched) - known:
                        await pubsub.subscribe(*map(keys.events, came))
                    await self._receive(pubsub)
            except TROUBLE as error:
                log.warning("relay.deaf", error=type(error).__name__)
            finally:
                self._pubsub = None
            await asyncio.sleep(pause)
            pause = min(1.0, pause * 2)

    async def _receive(self, pubsub: PubSub) -> None:
        while _clock() - self._heard < DEAF_SECONDS:
            message = await pubsub.get_message(timeout=DEAF_SECONDS / 2)
            if message is None:
                await pubsub.ping()
                continue
            self._heard = _clock()
            for one in (message, *await at_hand(pubsub)):
                await self._take(one["type"], one["channel"] or b"", one["data"])

    async def _take(self, kind: str, channel: bytes, data: bytes) -> None:
        if channel.startswith(_EVENTS):
            session = SessionId(channel[len(_EVENTS) :].decode())
            if session in self._watched and kind == "message":
                self._hear(session, data)
            elif session in self._watched and kind == "subscribe":
                await self._read([session])
        elif channel == _SWITCH:
            self.on_switch()
        elif channel == _FEED:
            self.on_feed()
        elif channel == _LINKS:
            revoked = {data.decode(errors="replace")} if kind == "message" else await self._revoked()
            for slot in self._slots():
                if slot.link in revoked:
                    slot.end(CloseCode.TOKEN)

    async def _revoked(self) -> set[str]:
        """The revoked links with sockets here. A new subscription asks, as announcements may have been missed."""
        links = list({slot.link for slot in self._slots()})
        standings = await self._claims.standings(*links)
        return {link for link, standing in zip(links, standings, strict=True) if standing == REVOKED}

    def _slots(self) -> Iterator[Slot]:
        return (slot for watched in self._watched.values() for slot in watched.slots)

    def _hear(self, session: SessionId, payload: bytes) -> None:
        try:
            kind, stored, body = announced(session, payload)
        except UNREADABLE as error:  # of a newer version of us, perhaps: it is theirs to tell
            log.error("relay.unreadable", session=session, error=type(error).__name__)  # noqa: TRY400
            return
        self._deliver(session, kind, stored, body=body)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = _clock()
            due = [session for session, watched in self._watched.items() if self._is_due(watched, now)]
            try:
                await self._read([*due, *await self._in_other_hands()])
            except TROUBLE as error:
                log.warning("relay.unread", error=type(error).__name__)

    async def _in_other_hands(self) -> list[SessionId]:
        """Linked sessions whose worker has died, or is back: nobody announces that."""
        seen = [one.last for one in self._watched.values() if one.last]
        shown = {one.session: one.unheld for one in seen if one.unheld or one.body.state is State.LINKED}
        unheld = await self._leases.unowned(shown)
        return [session for session, was in shown.items() if (session in unheld) is not was]

    @staticmethod
    def _is_due(watched: _Watched, now: float) -> bool:
        if watched.last is None or watched.behind is not None or watched.last.body.state is State.QUEUED:
            return True
        patience = SILENCE_SECONDS if watched.last.body.state in RUNNING else 4 * SILENCE_SECONDS
        return now - watched.heard > patience

    async def _read(self, sessions: Iterable[SessionId], again_for: Slot | None = None) -> None:
        for session in sessions:
            try:
                await self._read_one(session, again_for)
            except UNREADABLE as error:
                log.error("relay.unreadable", session=session, error=type(error).__name__)  # noqa: TRY400
                if again_for is not None:
                    again_for.end()

    async def _read_one(self, session: SessionId, again_for: Slot | None) -> None:
        stored = await self._snapshots.read_strictly(session)
        deadline = stored.body.deadline
        if stored.body.state in RUNNING and deadline and now_ms() > deadline + SWEEP_GRACE_MS:
            await self._rescue.close_overdue(session)
            stored = await self._snapshots.read_strictly(session)
        (stored,) = await self._snapshots.told([stored])
        position = await self._snapshots.place(stored)
        watched = self._watched.get(session)
        if watched is None or self._went_back(watched, stored):
            return
        moved = stored != watched.last or position not in (None, watched.position)
        watched.position = position
        self._deliver(session, MessageType.STATUS, stored, again=moved, again_for=again_for)

    @staticmethod
    def _went_back(watched: _Watched, stored: Stored) -> bool:
        """True if Redis knows less of the session than sockets here have seen: it lost its memory, or a part of it.
        The session's owner, if there is one, saves the state again under a higher number. If nobody does, the
        sockets are closed: a browser that reconnects gets the truth, although that looks older.
        """
        if watched.last is None or stored.version >= watched.last.version:
            watched.behind = None
            return False
        now = _clock()
        watched.behind = watched.behind or now
        if now - watched.behind > BEHIND_SECONDS:
            for slot in watched.slots:
                slot.end()
        return True

    def _deliver(
        self,
        session: SessionId,
        kind: MessageType,
        stored: Stored,
        *,
        body: bytes | None = None,
        again: bool = False,
        again_for: Slot | None = None,
    ) -> None:
        watched = self._watched[session]
        if watched.last is not None and stored.version < watched.last.version:
            watched.behind = watched.behind or _clock()  # an echo, or a Redis that went back: the next look tells
            return
        watched.heard = _clock()
        watched.last, watched.behind = stored, None
        position = watched.position if stored.body.state is State.QUEUED else None
        text = stored.text(kind, body or dump_body(stored.body), position)
        for slot in watched.slots:
            slot.put(stored, text, position=position, again=again or slot is again_for)


async def _for_ever(work: Callable[[], Awaitable[None]]) -> None:
    """Repeat `work` for ever. A bug in it is reported, and it begins anew: a deaf web process would look healthy."""
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a background task's own border
            sentry.report("relay", error)
            await asyncio.sleep(1)


def _clock() -> float:
    return asyncio.get_running_loop().time()
