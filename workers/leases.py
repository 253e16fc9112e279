"""The leases of this worker, each with the owner that acts under it: taken, handed on, given back, taken anew.

`workers/ownership.py` renews them, and says when Redis is to be asked about them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from shared.core.ids import SessionId, WorkerId
from shared.log import log
from shared.state.lease import GIVE_UP_MS, HEARTBEAT_MS, Lease, Leases
from shared.state.snapshots import Change, Forgotten, Snapshots
from shared.tasks import outlived
from shared.telemetry import sentry
from shared.wa import batches

T = TypeVar("T")


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
class OwnedLeases:
    """The leases of one worker, and its owners."""

    leases: Leases
    worker: WorkerId

    def __post_init__(self) -> None:
        self._owned: dict[SessionId, _Owned] = {}
        self._acquiring: dict[SessionId, asyncio.Event] = {}
        self._advancing: set[SessionId] = set()
        self._left: set[SessionId] = set()  # nobody acts for them here any more; to be said to Redis
        self._unheard: set[SessionId] = set()  # nor for these: we asked for them, and Redis' answer was lost
        self._retaking: set[Lease] = set()
        self._telling: dict[Lease, asyncio.Task[None]] = {}
        self._beaten = asyncio.Condition()  # what Redis says of the leases is known

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
