"""The heartbeat of this worker, which renews all its leases together.

While Redis is away nobody knows who owns what. Whatever outlasts it (a linked session) goes on and writes nothing, until
Redis, the device store or WhatsApp says that another has taken over; everything else is given up (docs/adr/0013).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from shared.log import log
from shared.scripts import SETTLING_MS
from shared.state.lease import GIVE_UP_MS, HEARTBEAT_MS, LEASE_MS, Beat
from shared.state.refusals import reason
from shared.tasks import TROUBLE, cancelled, happens, outlived
from workers.leases import OwnedLeases

KEEP_NAMES_SECONDS = 3600.0
DIFFERING_BEATS = 3
"""Beats for which Redis and the worker may count its sessions differently: some come and go at any moment."""
STRAY_BEATS = 10
"""Beats after which sessions are given up that are ours by Redis alone."""
ALIVE_SECONDS = GIVE_UP_MS / 1000 + 0.5
"""Engine processes live so long without a word of this worker. They die well before its leases can lapse."""


@dataclass(eq=False)
class Ownership(OwnedLeases):
    """The leases of one worker, kept by its heartbeat.

    `on_lapsed` is called when somebody's lease has lapsed, and when Redis is back after an absence; `on_beat` after every
    renewal, with the seconds for which whatever acts under the leases may go on without another.
    """

    on_lapsed: Callable[[], Awaitable[None]]
    on_beat: Callable[[float], None]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._renewed = 0.0
        self._named = 0.0
        self._number = 0
        self._taken = 0
        self._differed = 0
        self._resting = False
        self.cut_off = False
        """Redis did not take the last heartbeat: what is written now would only wait."""
        self._woken = asyncio.Event()
        self._went_back = False
        self._unsure_until = 0.0
        self.on_alone: Callable[[], Awaitable[None]] | None = None

    def another_server(self) -> None:
        """Look at every lease now: Redis is another server than before, which may know an older state."""
        self._went_back = True
        self._unsure_until = asyncio.get_running_loop().time() + SETTLING_MS / 1000
        self._woken.set()

    @property
    def unsure(self) -> bool:
        """True while Redis may not know what others own, as it has just become another server: they have yet to speak."""
        return asyncio.get_running_loop().time() < self._unsure_until

    async def sure(self) -> None:
        """Wait for the next heartbeat if the last one is too old to act by. A process that was stopped for seconds learns
        only then what it has lost. Do not wait while Redis is away, since nobody can tell."""
        age = asyncio.get_running_loop().time() - self._renewed
        if self.cut_off or not self._renewed or age < GIVE_UP_MS / 1000:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_MS / 1000), self._beaten:
                await self._beaten.wait()

    async def run(self) -> None:
        """Beat until cancelled, or told to rest."""
        try:
            await self._run()
        finally:
            await asyncio.gather(*(cancelled(task) for task in self._telling.values()))

    def rest(self) -> None:
        """Beat no more, as everything is given back."""
        self._resting = True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._renewed, self._named = loop.time(), -KEEP_NAMES_SECONDS
        alone = False
        while not self._resting:
            began = loop.time()
            give_up_at = self._renewed + GIVE_UP_MS / 1000
            self._woken.clear()
            try:
                # Even a late try gets half a second to learn the truth; and time enough to connect, once nothing is left
                # to be given up, as after a stop of the whole process for longer than a lease.
                alone = alone or began - self._renewed > LEASE_MS / 1000
                until = began + HEARTBEAT_MS / 1000 if alone else max(give_up_at, began + 0.5)
                async with asyncio.timeout_at(until) as limit:
                    was_away = self.cut_off
                    await self._beat(limit)
                alone = False
                if was_away:
                    log.info("heartbeat.back")
                    await self.on_lapsed()
            except TROUBLE as error:
                self.cut_off = True
                log.warning("heartbeat.missed", error=reason(error))
                # Without Redis as well: this worker lives, and does what is right. Only one that is stopped is silent.
                self.on_beat(ALIVE_SECONDS)
                if loop.time() >= give_up_at:
                    alone = True
                    await self._stand_alone()
                    self.on_beat(ALIVE_SECONDS)  # the store may have taken as long as Redis: both are away
            left = self._renewed + GIVE_UP_MS / 1000 - loop.time()
            await happens(self._woken, min(HEARTBEAT_MS / 1000, left) if left > 0 else HEARTBEAT_MS / 1000)

    async def _stand_alone(self) -> None:
        """End what cannot outlast Redis, and ask the device store about the rest: others may have taken over by now."""
        ending = [session for session, owned in self._owned.items() if not owned.owner.outlasts_redis]
        self._left.update(ending)
        self._drop(ending, "redis is away")
        with outlived("store.unasked"):
            async with asyncio.timeout(HEARTBEAT_MS / 1000):
                if self.on_alone is not None:
                    await self.on_alone()

    async def _beat(self, limit: asyncio.Timeout | None = None) -> None:
        """Beat once. Whatever comes of it, be it for a thousand sessions, has until the next must have been taken."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._number += 1
        beat = await self.leases.beat(self.worker, self._number)
        self.on_beat(ALIVE_SECONDS - (loop.time() - began))
        if limit is not None:
            limit.reschedule(began + GIVE_UP_MS / 1000)
        went_back = self._went_back or self.cut_off or not self._knows_us(beat)
        self.cut_off = False
        if went_back or self._has_changed(beat):
            await self._look(restate=went_back)
        self._went_back = False
        self._taken, self._renewed = beat.taken, began
        async with self._beaten:
            self._beaten.notify_all()
        lapsed = await self._say_left() or beat.lapsed
        if lapsed:
            await self.on_lapsed()
        if loop.time() - self._named > KEEP_NAMES_SECONDS:
            await self.leases.keep_names(self.worker, [owned.lease for owned in self._owned.values()])
            self._named = loop.time()

    def _knows_us(self, beat: Beat) -> bool:
        """True if Redis knows the heartbeat before this one. If not, it has lapsed us, lost its memory, or gone back."""
        return beat.before is not None and beat.before in {self._number - 1, self._number}

    def _has_changed(self, beat: Beat) -> bool:
        """True if somebody has taken a session from this worker, or Redis counts its sessions otherwise. Sessions
        that come and go at this moment make the counts differ for one beat, or two."""
        differs = beat.held != len(self._owned) + len(self._left)
        self._differed = self._differed + 1 if differs else 0
        return beat.taken != self._taken or self._differed >= DIFFERING_BEATS

    async def _look(self, *, restate: bool = False) -> None:
        """Look at every lease. What was advanced or released meanwhile is not lost.

        `restate`: Redis may have gone back. Each lease that is not another's is taken anew under a higher token, and its
        owner says where it stands: Redis may know the lease and an older snapshot.
        """
        leases = {owned.lease.session: owned.lease for owned in self._owned.values()}
        looked = await self.leases.look(self.worker, list(leases.values()))
        still = {one for one, lease in leases.items() if one in self._owned and self._owned[one].lease == lease}
        still -= self._advancing
        self._drop(still.intersection(looked.lost), "taken over")
        anew = still.difference(looked.lost) if restate else still.intersection(looked.unknown)
        await self._retake([leases[session] for session in anew])
        self._named = -KEEP_NAMES_SECONDS
        if self._differed >= STRAY_BEATS:
            self._left.update(one for one in await self.leases.held_by(self.worker) if one not in self._owned)
