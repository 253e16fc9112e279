"""Delivers the events of the shelf to their receivers: the service's own, or the company's.

One loop a worker. The shelf alone says what is due; a call on its channel, or the time of the next event, wakes the
loop. A try that fails is made again, later and later, for a day. Nothing here is waited for by linking.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError

from shared.core import keys
from shared.settings import Settings
from shared.state.events import Due, EventShelf, Result
from shared.state.pool import PASSING
from shared.state.receivers import Receiver, Receivers
from workers.sender import Sender

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0
JITTER = 0.25
"""A pause is longer or shorter by up to this part of it, so that what failed together is not tried together."""
GIVE_UP_MS = 24 * keys.HOUR
AT_ONCE = 16
"""Tries of one worker at a time."""
AT_ONCE_EACH = 8
"""Tries at one receiver at a time: one that hangs holds up no other."""
CROWDED_MS = 1_000
"""Until an event is looked at again whose receiver has enough to do."""
LOOK_SECONDS = 10.0
"""Between two looks at the shelf when nobody calls."""

Spawn = Callable[[Awaitable[None], str], None]


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
        self._under_way = 0
        self._full = False  # more may be due than there was room for
        self._offline_at = 0.0  # when to look for sessions without connection
        self._at: Counter[str] = Counter()
        self._call = asyncio.Event()

    def call(self) -> None:
        """Look at the shelf now."""
        self._call.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            self._call.clear()  # before looking, else a call in between is lost
            try:
                wait = await self._look()
            except (RedisError, *PASSING) as error:
                log.warning("webhooks.unread", error=type(error).__name__)
                wait = 1.0
            try:
                async with asyncio.timeout(min(wait, LOOK_SECONDS)):
                    await self._call.wait()
            except TimeoutError:
                pass

    async def _look(self) -> float:
        """Take what is due; in how many seconds to look again."""
        clock = asyncio.get_running_loop().time
        if clock() >= self._offline_at:
            self._offline_at = clock() + await self._shelf.tell_offline(AT_ONCE)
        room = AT_ONCE - self._under_way
        self._full = room <= 0
        if self._full:
            return LOOK_SECONDS  # a try that ends calls
        due, wait = await self._shelf.take(room)
        for one in due:
            self._under_way += 1
            self._spawn(self._deliver(one), "webhook")
        self._full = len(due) == room
        return min(max(0.0, self._offline_at - clock()), 0.0 if self._full else wait)

    async def _deliver(self, due: Due) -> None:
        try:
            await self._try(due)
        finally:
            self._under_way -= 1
            if self._full:
                self._call.set()

    async def _try(self, due: Due) -> None:
        receiver = await self._receivers.of(due.company)
        if receiver is None or not receiver.wants(due.type):
            await self._shelf.settle(due, Result.GIVEN_UP, keep=False)
            return
        if self._at[receiver.url] >= AT_ONCE_EACH:
            await self._shelf.give_back(due, CROWDED_MS)
            self._call.set()
            return
        self._at[receiver.url] += 1
        try:
            fault = await self._sender.send(receiver, due)
        finally:
            self._at[receiver.url] -= 1
        await self._settle(due, receiver, fault)

    async def _settle(self, due: Due, receiver: Receiver, fault: str | None) -> None:
        about = {"event_id": due.id, "type": due.type, "tries": due.tries, "own": receiver.own}
        if fault is None:
            await self._shelf.settle(due, Result.DELIVERED)
            log.info("webhook.delivered", **about, ms=due.age)
            return
        pause = pause_seconds(due.tries, random.random())  # noqa: S311 - spreading, not secrecy
        if due.age + pause * 1000 > GIVE_UP_MS:
            await self._shelf.settle(due, Result.GIVEN_UP, fault=fault)
            log.error("webhook.given-up", **about, fault=fault)
            return
        await self._shelf.settle(due, Result.RETRIED, fault=fault, pause_ms=round(pause * 1000))
        self._call.set()  # for the moment of its next try
        log.warning("webhook.refused", **about, fault=fault)

    async def close(self) -> None:
        """Close the connections to the receivers."""
        await self._sender.close()
