"""Leases of this worker, renewed together at every heartbeat.

While Redis is away nobody knows who owns what. Whatever outlasts it (a linked session) goes on and writes nothing, until
Redis, the device store or WhatsApp says that another has taken over; everything else is given up (docs/adr/0013).

One file, as owners and the heartbeat change the same few tables: the leases that are ours, are being taken or given back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from shared.core.ids import SessionId, WorkerId
from shared.log import log
from shared.scripts import SETTLING_MS
from shared.state.lease import GIVE_UP_MS, HEARTBEAT_MS, LEASE_MS, Beat, Lease, Leases
from shared.state.refusals import reason
from shared.state.snapshots import Change, Forgotten, Snapshots
from shared.tasks import TROUBLE, cancelled, happens, outlived
from shared.telemetry import sentry
from shared.wa import batches

T = TypeVar("T")

KEEP_NAMES_SECONDS = 3600.0
DIFFERING_BEATS = 3
"""Beats for which Redis and the worker may count its sessions differently: some come and go at any moment."""
STRAY_BEATS = 10
"""Beats after which sessions are given up that are ours by Redis alone."""
ALIVE_SECONDS = GIVE_UP_MS / 1000 + 0.5
"""Engine processes live so long without a word of this worker. They die well before its leases can lapse."""


class Owner(Protocol):
    """An actor under a lease: an attempt, or the holding of a linked session."""

    @property
    def outlasts_redis(self) -> bool:
        """True if the owner goes on while Redis is away for long."""
        ...

    def lost(self) -> None:
        """Stop at once, and write nothing: the lease is somebody else's, or will be in a moment. Called once."""
        ...

    async def renewed(self, lease: Lease) -> None:
        """Say where the session stands: Redis lost its memory, went back or was away, and this new lease is ours.

        Called again when that fails because Redis is away.
        """
        ...


@dataclass(slots=True)
class _Owned:
    lease: Lease
    owner: Owner
    replaces: Lease | None = None  # the lease that a Redis without memory had forgotten
    unsaid: bool = False  # since then, nothing was saved


@dataclass(eq=False)
class Ownership:
    """The leases of one worker.

    `on_lapsed` is called when somebody's lease has lapsed, and when Redis is back after an absence; `on_beat` after every
    renewal, with the seconds for which whatever acts under the leases may go on without another.
    """

    leases: Leases
    worker: WorkerId
    on_lapsed: Callable[[], Awaitable[None]]
    on_beat: Callable[[float], None]

    def __post_init__(self) -> None:
        self._owned: dict[SessionId, _Owned] = {}
        self._acquiring: dict[SessionId, asyncio.Event] = {}
        self._advancing: set[SessionId] = set()
        self._left: set[SessionId] = set()  # nobody acts for them here any more; to be said to Redis
        self._unheard: set[SessionId] = set()  # nor for these: we asked for them, and Redis' answer was lost
        self._retaking: set[Lease] = set()
        self._telling: dict[Lease, asyncio.Task[None]] = {}
        self._beaten = asyncio.Condition()
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

    def owner(self, session: SessionId) -> Owner | None:
        """The owner that acts for the session here."""
        owned = self._owned.get(session)
        return owned.owner if owned else None

    def owners(self, kind: type[T]) -> list[T]:
        """Everything of one kind that acts here."""
        return [owned.owner for owned in self._owned.values() if isinstance(owned.owner, kind)]

    async def acquire(self, session: SessionId, owner: Owner, *, attempt: int | None = None) -> Lease | None:
        """Take the lease for `owner`. Return None if another has it, or if the attempt is not the claimed one any more."""
        async with self._alone(session):
            if session in self._owned:
                return None
            again = session in self._unheard
            self._unheard.add(session)
            lease = await self.leases.acquire(session, self.worker, attempt=attempt, again=again)
            self._unheard.discard(session)
            if lease is not None:
                self._left.discard(session)
                self._owned[session] = _Owned(lease, owner)
            return lease

    @asynccontextmanager
    async def _alone(self, session: SessionId) -> AsyncIterator[None]:
        while other := self._acquiring.get(session):  # of an older attempt, perhaps: it must not cost this one
            await other.wait()
        answered = self._acquiring[session] = asyncio.Event()
        try:
            yield
        finally:
            del self._acquiring[session]
            answered.set()

    async def advance(self, lease: Lease) -> Lease | None:
        """Return a new token for a new attempt under the same ownership, or None if the lease is lost."""
        newer = await self._advance(lease)
        if newer is None and (retaken := await self.retaken(lease)) is not None:
            newer = await self._advance(retaken)
        return newer

    async def _advance(self, lease: Lease) -> Lease | None:
        # A heartbeat's answer may overtake this one: Redis has the newer token then, and we do not.
        self._advancing.add(lease.session)
        try:
            newer = await self.leases.advance(lease)
            owned = self._owned.get(lease.session)
            if newer is not None and owned is not None:
                owned.lease = newer
            return newer
        finally:
            self._advancing.discard(lease.session)

    async def retaken(self, lease: Lease) -> Lease | None:
        """Wait for the heartbeat that replaces a lease which Redis does not know, and for its owner to be told. Return the new
        lease, or None if it is lost."""

        def known() -> bool:
            owned = self._owned.get(lease.session)
            return owned is None or (owned.lease != lease and owned.lease not in self._telling)

        try:
            async with asyncio.timeout(GIVE_UP_MS / 1000), self._beaten:
                await self._beaten.wait_for(known)
        except TimeoutError:
            return None
        owned = self._owned.get(lease.session)
        return owned.lease if owned else None

    async def sure(self) -> None:
        """Wait for the next heartbeat if the last one is too old to act by. A process that was stopped for seconds learns
        only then what it has lost. Do not wait while Redis is away, since nobody can tell."""
        age = asyncio.get_running_loop().time() - self._renewed
        if self.cut_off or not self._renewed or age < GIVE_UP_MS / 1000:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_MS / 1000), self._beaten:
                await self._beaten.wait()

    def is_restated(self, lease: Lease) -> bool:
        """True if the lease stands in the place of one that Redis had forgotten: its owner knows better than Redis."""
        owned = self._owned.get(lease.session)
        return owned is not None and owned.unsaid and owned.lease == lease

    async def save(self, snapshots: Snapshots, lease: Lease, change: Change) -> int | None:
        """Save a change under a lease as `Snapshots.save` does. Raises `Forgotten` also if the lease is refused because this
        worker has just taken it anew, or is about to, and its owner was not told yet."""
        seq = await snapshots.save(lease, replace(change, restated=True) if self.is_restated(lease) else change)
        owned = self._owned.get(lease.session)
        if owned is not None:
            if seq is None and (lease in self._retaking or owned.replaces == lease):
                raise Forgotten
            if seq is not None and owned.lease == lease:
                owned.unsaid = False  # from here on Redis knows
        return seq

    def hand_over(self, session: SessionId, owner: Owner) -> Lease | None:
        """Give the attempt's lease to the holding of the same session. Return it, or None if it is lost."""
        owned = self._owned.get(session)
        if owned is None:
            return None
        owned.owner = owner
        return owned.lease

    async def release(self, lease: Lease) -> None:
        """Give the lease back, if it is still there."""
        owned = self._owned.get(lease.session)
        if owned is not None and owned.lease == lease:
            del self._owned[lease.session]
        try:
            await self.leases.release(lease)
        except BaseException:
            self._left.add(lease.session)
            raise

    async def let_go(self, session: SessionId, owner: Owner) -> None:
        """Release the lease of an owner that acts no more. Do nothing if another owner acts now."""
        owned = self._owned.get(session)
        if owned is not None and owned.owner is owner:
            await self.release(owned.lease)

    def forget(self, session: SessionId, owner: Owner) -> None:
        """Give a lease back at the next heartbeat. If `owner` has left something undone, a sweep sees to it."""
        owned = self._owned.get(session)
        if owned is not None and owned.owner is owner:
            del self._owned[session]
            self._left.add(session)

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
        if self._differed >= STRAY_BEATS:
            self._left.update(one for one in await self.leases.held_by(self.worker) if one not in self._owned)

    async def _say_left(self) -> bool:
        """Tell Redis of the leases under which nobody acts here. Return True if there were any."""
        left = (self._left | self._unheard).difference(self._acquiring)
        for session in left:
            async with self._alone(session):
                if session not in self._owned:
                    await self.leases.abandon(session, self.worker)
                self._left.discard(session)
                self._unheard.discard(session)
        return bool(left)

    async def _retake(self, leases: Sequence[Lease]) -> None:
        """Take leases anew, and have their owners told. Those that were given back meanwhile go back again."""
        self._retaking.update(leases)
        try:
            for some in batches(leases):
                for old, new in zip(some, await self.leases.retake(self.worker, some), strict=True):
                    owned = self._owned.get(old.session)
                    if owned is None or owned.lease != old:
                        self._left |= {old.session} if new else set()
                    elif new is None:
                        self._drop([old.session], "taken over")
                    else:
                        self._owned[old.session] = _Owned(new, owned.owner, replaces=old, unsaid=True)
                        log.warning("lease.retaken", session=old.session)
                        self._telling[new] = asyncio.create_task(self._tell(new, owned.owner))
                self._named = -KEEP_NAMES_SECONDS
        finally:
            self._retaking.difference_update(leases)

    async def _tell(self, lease: Lease, owner: Owner) -> None:
        """Tell an owner of its new lease, beside the heartbeat, as it may have much to say."""
        try:
            while self.owner(lease.session) is owner:
                try:
                    with outlived("lease.untold", session=lease.session):
                        await owner.renewed(lease)
                        break
                except Exception as error:  # noqa: BLE001 - one session's trouble must not end the others'
                    sentry.report("ownership", error, session=lease.session)
                    break
                await asyncio.sleep(HEARTBEAT_MS / 1000)
        finally:
            del self._telling[lease]
            async with self._beaten:
                self._beaten.notify_all()

    def _drop(self, sessions: Iterable[SessionId], why: str) -> None:
        for session in sessions:
            owned = self._owned.pop(session, None)
            if owned is not None:
                log.warning("lease.lost", session=session, why=why)
                owned.owner.lost()
