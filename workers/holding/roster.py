"""The sessions that this worker holds, and the ways on which one leaves it."""

import asyncio

import structlog

from shared.core.clock import now_ms
from shared.core.ids import SessionId
from workers.holding.holders import Holders
from workers.holding.sending import Sending
from workers.holding.session import HeldSession, Links
from workers.holding.showing import SnapshotWriter

log = structlog.get_logger()

AT_ONCE = 8
"""Sessions that start, or say again where they stand, at a time: the heartbeat shall not wait for all of them."""


class Roster:
    """Held sessions by their names. `record` writes what they show, `sending` sends their texts; `turns` are for what may
    befall all of them at once."""

    def __init__(self, links: Links, holders: Holders) -> None:
        self.held: dict[SessionId, HeldSession] = {}
        self.record = SnapshotWriter(links, self)
        self.sending = Sending(links, holders)
        self.turns = asyncio.Semaphore(AT_ONCE)
        self._links = links
        self._holders = holders

    def holds(self, held: HeldSession) -> bool:
        """True while this worker holds the session."""
        return self.held.get(held.session) is held

    async def retaken(self, held: HeldSession) -> None:
        """Say where a session and its texts stand that Redis had forgotten, and knows again under a new lease."""
        async with self.turns:
            if self._links.ownership.is_restated(held.lease):  # not if it has said something meanwhile
                await self.record.again(held, "session.retaken")
            self.sending.restore(held.session)

    def ended(self, held: HeldSession) -> None:
        """Tell the session's texts as not sent, as its device is gone."""
        self._links.spawn(self.sending.give_up(held.session), "send")

    def drop(self, held: HeldSession) -> None:
        """Let go of a session that is no longer ours. It may be nobody's: somebody ended our ownership, and the job to take
        it up came to us while we still believed in it."""
        self.take_out(held)
        held.let_go()
        self._links.spawn(self._release(held), "release")

    def take_out(self, held: HeldSession) -> None:
        """Hold the session no more. The caller closes its connection, and gives its lease back."""
        if self.holds(held):  # the session may have been taken up again meanwhile
            del self.held[held.session]
            self.sending.stop(held.session)

    def yield_up(self, held: HeldSession, why: str) -> None:
        """Leave the session to the worker that has taken it over: close the connection, and write nothing."""
        log.warning("session.yielded", session=held.session, why=why)
        self._links.ownership.forget(held.session, held)
        self.drop(held)

    async def _release(self, held: HeldSession) -> None:
        await self._holders.release(held.session)
        await self._links.ownership.let_go(held.session, held)
        # Not before: whoever takes it up connects.
        if await self._links.ownership.leases.owner(held.session) is None:
            await self._links.offer(held.session, now_ms())
