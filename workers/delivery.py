"""Delivers the events of the shelf to their receivers: the service's own, or the company's.

Each worker has one loop. The shelf alone says what is due; the loop is woken by a call on its channel, by an incoming
message, or by the time of the next event. Each turn is one step at the shelf: it writes incoming messages and the ends of
tries, and takes what is due. A try that fails is made again, later and later, for a day. Linking never waits for this.
"""

import asyncio
import random
from collections import Counter, deque
from contextlib import suppress
from itertools import islice

from shared.core import keys
from shared.core.events import IncomingMessage
from shared.core.ids import CompanyId, SessionId, company_of
from shared.log import log
from shared.settings import Settings
from shared.state.events import Arrival, Due, EventShelf, Result, Tried
from shared.state.receivers import Receivers
from shared.tasks import TROUBLE, Spawn, happens, outlived
from workers.sender import Sender

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0
JITTER = 0.25
"""A pause is longer or shorter by up to this part of it, so that what failed together is not tried together."""
GIVE_UP_MS = 24 * keys.HOUR
AT_ONCE = 16
"""Tries of one worker at a time."""
AT_ONCE_EACH = 8
"""Tries at one receiver at a time: one that hangs holds up no other."""
LOOK_SECONDS = 20.0
"""Between two looks at the shelf when nobody calls and nothing is due: bounds the harm of a call that was lost."""
AGAIN_SECONDS = 1.0
"""Until the next look at a shelf that could not be reached."""
SETTLE_SECONDS = 0.2
"""Until the end of a try is written, at the latest. The next step at the shelf writes it anyway."""
LAST_SECONDS = 2.0
"""For the last step of a worker that stops."""
COME_AT_ONCE = 50
"""Messages that have come in and are written in one step."""
MOST_COME = 2000
"""Messages that have come in and wait for Redis, of all sessions of a worker."""


def pause_seconds(tries: int, chance: float) -> float:
    """Pause after so many tries in vain: 5 s, 10 s, 20 s ... an hour. `chance`: 0 to 1."""
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(tries - 1, 30))
    return pause * (1 - JITTER + 2 * JITTER * chance)


class Webhooks:
    """Delivers the events of one Redis, from this worker."""

    def __init__(self, config: Settings, shelf: EventShelf, receivers: Receivers, spawn: Spawn) -> None:
        self._shelf = shelf
        self._receivers = receivers
        self._spawn = spawn
        self._sender = Sender(config)
        self._busy: Counter[str] = Counter()  # tries under way, by the URL of the receiver; "": the service's own
        self._full = False  # more are due than there was room for
        self._ended: list[Tried] = []
        self._settling: asyncio.TimerHandle | None = None
        self._come: deque[Arrival] = deque()
        self._lost: Counter[SessionId] = Counter()
        self._followed: set[CompanyId] = set()  # something has come in behind what is tried now
        self._call = asyncio.Event()

    def call(self) -> None:
        self._call.set()

    def heard(self, session: SessionId, message: IncomingMessage) -> None:
        """Tell of an incoming message, in its order. Those without room, while Redis is away, are counted and told."""
        if len(self._come) >= MOST_COME:
            self._lost[session] += 1
            return
        self._come.append(Arrival(session, message, self._lost.pop(session, 0)))
        self._call.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._call.clear()  # before looking, else a call in between is lost
            with outlived("webhooks.delayed"):
                wait = await self._step(AT_ONCE - self._busy.total())
                await happens(self._call, wait)
                continue
            await asyncio.sleep(AGAIN_SECONDS)

    async def _step(self, room: int) -> float:
        """One step at the shelf; in how many seconds to look again."""
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        ended, come = self._ended[:], list(islice(self._come, COME_AT_ONCE))
        step = await self._shelf.step(room, ended=ended, come=come, each=AT_ONCE_EACH, busy=+self._busy)
        del self._ended[: len(ended)]
        for arrival, word in zip(come, step.words, strict=True):
            self._come.popleft()
            if word == "full":
                log.warning("inbox.full", session=arrival.session)
            if word == "behind":
                self._followed.add(company_of(arrival.session))
        self._full = step.full
        for one in step.due:
            self._busy[_place(one)] += 1
            self._spawn(self._deliver(one), "webhook")
        return 0.0 if self._come else min(step.wait, LOOK_SECONDS)

    async def _deliver(self, due: Due) -> None:
        soon = True
        try:
            tried = await self._try(due)
            self._ended.append(tried)
            soon = self._full or due.more or due.company in self._followed or tried.result is not Result.DELIVERED
        finally:
            self._busy[_place(due)] -= 1
            self._followed.discard(due.company)
            if soon:
                self._call.set()
            elif self._settling is None:
                self._settling = asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._call.set)

    async def _try(self, due: Due) -> Tried:
        receiver = due.own or self._receivers.ours
        if receiver is None or not receiver.wants(due.type):
            return Tried(due, Result.GIVEN_UP)
        fault = await self._sender.send(receiver, due)
        about = {"event_id": due.id, "type": due.type, "tries": due.tries, "own": receiver.own}
        if fault is None:
            log.debug("webhook.delivered", **about, ms=due.age)
            return Tried(due, Result.DELIVERED)
        pause = pause_seconds(due.tries, random.random())  # noqa: S311 - spreading, not secrecy
        if due.age + pause * 1000 > GIVE_UP_MS:
            log.error("webhook.given-up", **about, fault=fault)
            return Tried(due, Result.GIVEN_UP, fault, dies=True)
        log.warning("webhook.refused", **about, fault=fault)
        return Tried(due, Result.RETRIED, fault, round(pause * 1000))

    async def close(self) -> None:
        """Write what has ended and what has come in, and close the connections to the receivers."""
        with suppress(*TROUBLE):
            async with asyncio.timeout(LAST_SECONDS):
                while self._come or self._ended:
                    await self._step(0)
        self._sender.close()


def _place(due: Due) -> str:
    return due.own.url if due.own else ""
