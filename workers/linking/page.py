"""The page of an attempt: its snapshots, saved under its lease."""

from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.protocol import Body
from shared.log import log
from shared.state.lease import Lease
from shared.state.snapshots import Change, Forgotten, Snapshots
from shared.telemetry.metrics import ENGINE
from workers.linking.course import Course, End, Show
from workers.ownership import Ownership


class Stopped(Exception):
    """The attempt is over; its last snapshot is written, by us or by the new owner."""


class Page:
    """The snapshot of one attempt, as its owner writes it. Every write raises `Stopped` when the lease is lost."""

    def __init__(self, snapshots: Snapshots, ownership: Ownership, session: SessionId) -> None:
        self.lease: Lease
        self._session = session
        self._snapshots = snapshots
        self._ownership = ownership
        self._began = now_ms()

    async def show(self, body: Body, what: Show) -> None:
        await self._save(Change(body, what.kind, what.event, what.detail, what.counters))

    async def end(self, course: Course, what: End) -> None:
        """Save and announce the last snapshot of the attempt, which frees its claim, and log how it went."""
        await self._save(Change(what.body, what.kind, what.event, what.detail, what.counters, ending=True))
        write = log.warning if what.body.failure else log.info
        # The canonical line of an attempt. `ms` since this worker took it; `left` is the state that it was in.
        write(
            "attempt.ended",
            session=self._session,
            attempt=self.lease.token,
            state=what.body.state.value,
            left=course.body.state.value,
            method=course.method.value,
            region=what.region or course.subject.region,
            failure=what.body.failure.code.value if what.body.failure else None,
            raw=what.raw or None,
            restarts=course.restarts,
            ms=now_ms() - self._began,
            engine=ENGINE,
        )

    async def _save(self, change: Change) -> None:
        """Save and announce a change; after Redis has forgotten our lease, under the new one."""
        try:
            saved = await self._ownership.save(self._snapshots, self.lease, change)
        except Forgotten:
            retaken = await self._ownership.retaken(self.lease)
            if retaken is None:
                raise Stopped from None
            self.lease = retaken
            await self._save(change)
        else:
            if saved is None:
                raise Stopped
