"""Ownership of a session: a lease with a fencing token, which lives by its worker's heartbeat.

`wa:lease:<session>` names the owner and its token. `wa:alive:<worker>` is the worker's heartbeat: a key that lapses, and
with it all leases of the worker. So a heartbeat costs the same with any number of sessions, and the sweeper looks at
dead workers only: `wa:held:<worker>` says what there is to take over (docs/adr/0012).

The token comes from `wa:fence:<session>`, which only grows. Every write about a session names its lease; a stale
writer changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import cast

from shared.core import keys, odd
from shared.core.datum import Datum
from shared.core.ids import SessionId, WorkerId, sort_sessions
from shared.scripts import LEASE_MS
from shared.state.pool import OverRedis, answer
from shared.wa import batches, many, wa

__all__ = ["GIVE_UP_MS", "HEARTBEAT_MS", "LEASE_MS", "NOBODY", "Beat", "Lease", "LeaseLook", "Leases"]

HEARTBEAT_MS = 2_000
GIVE_UP_MS = 5_000
"""A worker that could not renew for this long stops its sessions: before the lease lapses, never after."""
NOBODY = WorkerId("nobody")
"""A worker that never lives, and so is swept. It has the leases whose owner may have left something undone."""


class Lease(Datum):
    """Proof of ownership: name it with every write."""

    session: SessionId
    worker: WorkerId
    token: int

    @property
    def owner(self) -> str:
        """The owner's name as Redis keeps it: worker and token."""
        return f"{self.worker}:{self.token}"


class Beat(Datum):
    """Redis' answer to a heartbeat: the number of the beat before, as Redis knows it (None: it knows of none), how many
    sessions are the worker's, how many were ever taken from it, and whether some worker has lapsed."""

    before: int | None
    held: int
    taken: int
    lapsed: bool


class LeaseLook(Datum):
    """Leases that others have now, and those that a Redis without memory knows nothing of."""

    lost: tuple[SessionId, ...]
    unknown: tuple[SessionId, ...]


class Leases(OverRedis):
    async def acquire(
        self, session: SessionId, worker: WorkerId, *, attempt: int | None = None, again: bool = False
    ) -> Lease | None:
        """The lease, or None when somebody owns the session.

        With `attempt`: only while that attempt is the claimed one; its number becomes the token. With `again`, the lease may
        be the worker's own: it was asked for before, and no answer came.
        """
        token = await wa(self._redis, "acquire", session, worker=worker, attempt=attempt, again=again or None)
        return Lease(session, worker, int(token)) if token else None

    async def retake(self, worker: WorkerId, leases: Sequence[Lease]) -> list[Lease | None]:
        """Take at most 200 leases anew that Redis seems to have forgotten, by one script. None for each that is lost: another
        owns the session, or the fence has moved on, by which somebody has ended the lease."""
        named = [[lease.session, lease.token] for lease in leases]
        tokens = many(await wa(self._redis, "retake", worker=worker, leases=named))
        new = (Lease(lease.session, worker, int(token)) for lease, token in zip(leases, tokens, strict=True))
        return [lease if lease.token else None for lease in new]

    async def advance(self, lease: Lease) -> Lease | None:
        """Return a new token under the same ownership, for a new attempt, or None if the lease is gone."""
        token = await wa(
            self._redis, "advance", lease.session, owner=lease.owner, worker=lease.worker, held=lease.token
        )
        return Lease(lease.session, lease.worker, int(token)) if token else None

    async def release(self, lease: Lease) -> None:
        """Give the lease up, if it is still there. Somebody else's lease is left alone."""
        await wa(self._redis, "release", lease.session, owner=lease.owner)

    async def abandon(self, session: SessionId, worker: WorkerId) -> None:
        """Give back the worker's lease, if it has one, although something may be undone: a sweep looks after the session."""
        await wa(self._redis, "abandon", session, worker=worker)

    async def beat(self, worker: WorkerId, number: int) -> Beat:
        """Say that `worker` lives: its leases live with it. Costs the same for any number of them."""
        said = await wa(self._redis, "beat", looks=True, worker=worker, beat=number)
        before = odd.number(said["before"], -1)
        return Beat(before if before >= 0 else None, int(said["held"]), int(said["taken"]), said["lapsed"])

    async def look(self, worker: WorkerId, leases: Sequence[Lease]) -> LeaseLook:
        """Look at every lease: for when a heartbeat says that something has changed."""
        told = [
            await wa(self._redis, "look", looks=True, worker=worker, leases=[[one.session, one.owner] for one in some])
            for some in batches(leases)
        ]
        lost, unknown = ([one for said in told for one in many(said[name])] for name in ("lost", "unknown"))
        return LeaseLook(tuple(lost), tuple(unknown))

    async def keep_names(self, worker: WorkerId, leases: Sequence[Lease]) -> None:
        """Begin the TTLs of the leases' keys and snapshots anew. A heartbeat touches none of them, so call this at times."""
        ours = (keys.WORKERS, keys.held(worker), keys.taken(worker))
        lives = dict.fromkeys(ours, keys.LEASE_KEY_TTL)
        for session in (lease.session for lease in leases):
            lives[keys.lease(session)] = keys.LEASE_KEY_TTL
            lives[keys.snapshot(session)] = keys.SNAPSHOT_TTL
            lives[keys.timeline(session)] = keys.TIMELINE_TTL
        for some in batches(lives.items(), 600):
            async with self._redis.pipeline(transaction=False) as pipe:
                for name, life in some:
                    pipe.pexpire(name, life)
                await pipe.execute()

    async def held_by(self, worker: WorkerId, most: int = 200) -> list[SessionId]:
        """Some of the sessions whose lease names this worker."""
        found = await answer(self._redis.srandmember(keys.held(worker), most))
        ours, strange = sort_sessions(cast("list[bytes]", found or []))
        if strange:
            await answer(self._redis.srem(keys.held(worker), *strange))
        return ours

    async def dead(self) -> list[WorkerId]:
        """Workers that have stopped beating, the longest silent first, and `NOBODY` if it has sessions."""
        return [WorkerId(one) for one in many(await wa(self._redis, "dead_workers", looks=True))]

    async def living(self) -> dict[WorkerId, int]:
        """The living workers, and how many sessions each holds."""
        workers = [WorkerId(odd.text(one)) for one in await self._redis.zrange(keys.WORKERS, 0, -1)]
        living = [one for one in workers if await self._redis.exists(keys.alive(one))]
        return {one: int(await answer(self._redis.scard(keys.held(one)))) for one in living}

    async def free(self, worker: WorkerId, sessions: Sequence[SessionId]) -> list[SessionId]:
        """Free sessions of a dead worker, so that anybody may take them up. Returns those that were still its own."""
        freed = [await wa(self._redis, "free", worker=worker, sessions=some) for some in batches(sessions)]
        return [one for some in freed for one in many(some)]

    async def unowned(self, sessions: Iterable[SessionId]) -> dict[SessionId, WorkerId | None]:
        """Sessions that no living worker owns. Each has the dead worker (or `NOBODY`) whose leavings a sweep sees to
        first; None if anybody may take the session up. Empty while Redis settles, since owners speak first then."""
        said = [await wa(self._redis, "unowned", looks=True, sessions=some) for some in batches(sessions)]
        return {session: WorkerId(dead) if dead else None for some in said for session, dead in many(some)}

    async def owner(self, session: SessionId) -> WorkerId | None:
        """The worker that owns the session now."""
        return (await self.owners([session]))[0]

    async def owners(self, sessions: Sequence[SessionId]) -> list[WorkerId | None]:
        found: list[WorkerId | None] = []
        for some in batches(sessions):
            leases = await self._redis.mget([keys.lease(one) for one in some])
            workers = [WorkerId(odd.text(one).rpartition(":")[0]) if one else None for one in leases]
            named = sorted({one for one in workers if one})
            beats = await self._redis.mget([keys.alive(one) for one in named]) if named else []
            living = {one for one, beat in zip(named, beats, strict=True) if beat is not None}
            found += [one if one in living else None for one in workers]
        return found
