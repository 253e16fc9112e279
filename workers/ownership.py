"""What this worker owns: its leases, renewed together at every heartbeat, and given up before they lapse."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import structlog
from redis.exceptions import RedisError

from shared.ids import SessionId, WorkerId
from shared.lease import GIVE_UP_MS, HEARTBEAT_MS, Lease, Leases

log = structlog.get_logger()

T = TypeVar("T")

KEEP_NAMES_SECONDS = 3600.0
SLACK_SECONDS = 0.5
"""Engine processes outlive our own giving up by this much, and die well before the lease can lapse."""


class Owner(Protocol):
    """Whatever acts under a lease: an attempt, or the holding of a linked session."""

    def lost(self) -> None:
        """The lease is somebody else's, or will be in a moment: stop at once, write nothing. Called once."""
        ...

    async def renewed(self, lease: Lease) -> None:
        """Redis lost its memory, and the session is ours again under this new lease: say where it stands."""
        ...


@dataclass(frozen=True, slots=True)
class _Owned:
    lease: Lease
    owner: Owner


class Ownership:
    """The leases of one worker."""

    def __init__(
        self,
        leases: Leases,
        worker: WorkerId,
        *,
        on_lapsed: Callable[[], Awaitable[None]],
        on_beat: Callable[[float], None],
    ) -> None:
        """`on_lapsed` is called when somebody's lease has lapsed, and when Redis is back after an absence; `on_beat`
        after every renewal, with the seconds for which whatever acts under the leases may go on without another."""
        self._leases = leases
        self._worker = worker
        self._on_lapsed = on_lapsed
        self._on_beat = on_beat
        self._owned: dict[SessionId, _Owned] = {}
        self._renewed = 0.0
        self._named = 0.0

    @property
    def worker(self) -> WorkerId:
        """Whose leases these are."""
        return self._worker

    def owner(self, session: SessionId) -> Owner | None:
        """What acts for the session here."""
        owned = self._owned.get(session)
        return owned.owner if owned else None

    def owners(self, kind: type[T]) -> list[T]:
        """Everything of one kind that acts here."""
        return [owned.owner for owned in self._owned.values() if isinstance(owned.owner, kind)]

    async def acquire(self, session: SessionId, owner: Owner, *, attempt: int | None = None) -> Lease | None:
        """Take the lease for `owner`; None when another has it, or when the attempt is no longer the claimed one."""
        if session in self._owned:
            return None
        lease = await self._leases.acquire(session, self._worker, attempt=attempt)
        if lease is not None:
            self._owned[session] = _Owned(lease, owner)
        return lease

    async def advance(self, lease: Lease) -> Lease | None:
        """A new token for a new attempt under the same ownership; None when it is lost."""
        newer = await self._leases.advance(lease)
        owned = self._owned.get(lease.session)
        if newer is not None and owned is not None:
            self._owned[lease.session] = replace(owned, lease=newer)
        return newer

    def hand_over(self, lease: Lease, owner: Owner) -> None:
        """From the attempt to the holding of the same session: the same lease, another owner."""
        self._owned[lease.session] = _Owned(lease, owner)

    async def release(self, lease: Lease) -> None:
        """Give the lease back. Idempotent."""
        owned = self._owned.get(lease.session)
        if owned is not None and owned.lease == lease:
            del self._owned[lease.session]
        await self._leases.release(lease)

    async def let_go(self, session: SessionId, owner: Owner) -> None:
        """`owner` acts no more, however it ended: nothing is kept in its name. Nothing happens when another acts now."""
        owned = self._owned.get(session)
        if owned is not None and owned.owner is owner:
            del self._owned[session]
            await self._leases.release(owned.lease)

    async def run(self) -> None:
        """Beat until cancelled."""
        loop = asyncio.get_running_loop()
        self._renewed, self._named = loop.time(), -KEEP_NAMES_SECONDS
        missed = False
        while True:
            began = loop.time()
            give_up_at = self._renewed + GIVE_UP_MS / 1000
            try:
                # Even a first try after a stop of the whole process gets half a second to learn the truth.
                async with asyncio.timeout_at(max(give_up_at, began + 0.5)):
                    await self._beat()
                self._renewed = began
                self._on_beat(GIVE_UP_MS / 1000 + SLACK_SECONDS - (loop.time() - began))
                if missed:
                    missed = False
                    self._named = -KEEP_NAMES_SECONDS  # it may have come back without its memory
                    await self._on_lapsed()
            except (RedisError, OSError, TimeoutError) as error:
                missed = True
                log.warning("heartbeat.missed", error=type(error).__name__)
                if loop.time() >= give_up_at:
                    self._drop(list(self._owned), "redis is away")
            # While Redis is away, never so long that giving up comes late.
            left = self._renewed + GIVE_UP_MS / 1000 - loop.time()
            await asyncio.sleep(min(HEARTBEAT_MS / 1000, left) if left > 0 else HEARTBEAT_MS / 1000)

    async def _beat(self) -> None:
        leases = [owned.lease for owned in self._owned.values()]
        beat = await self._leases.heartbeat(self._worker, leases)
        # What was advanced, handed over or released meanwhile is not lost.
        still = {lease.session for lease in leases if lease.session in self._owned}
        still = {one for one in still if self._owned[one].lease in leases}
        self._drop(still.intersection(beat.lost), "taken over")
        for session in still.intersection(beat.unknown):
            await self._retake(session)
        if beat.lapsed:
            await self._on_lapsed()
        now = asyncio.get_running_loop().time()
        if now - self._named > KEEP_NAMES_SECONDS:
            await self._leases.keep_names([owned.lease for owned in self._owned.values()])
            self._named = now

    async def _retake(self, session: SessionId) -> None:
        lease = await self._leases.acquire(session, self._worker, held=self._owned[session].lease.token)
        if lease is None:
            self._drop([session], "taken over")
            return
        owner = self._owned[session].owner
        self._owned[session] = _Owned(lease, owner)
        self._named = -KEEP_NAMES_SECONDS
        log.warning("lease.retaken", session=session)
        await owner.renewed(lease)

    def _drop(self, sessions: Iterable[SessionId], why: str) -> None:
        for session in sessions:
            owned = self._owned.pop(session)
            log.warning("lease.lost", session=session, why=why)
            owned.owner.lost()
