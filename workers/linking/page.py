"""What an attempt shows: its body, advanced by the lifecycle table, and saved under its lease."""

import structlog

from shared.core import phone
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.ids import SessionId
from shared.core.lifecycle import State, check_step
from shared.core.protocol import Body, MessageType, Method
from shared.state.claims import Subject
from shared.state.lease import Lease
from shared.state.snapshots import Change, Forgotten, Snapshots
from shared.telemetry.metrics import ENGINE, UNKNOWN_REGION
from workers import reasons, tallies
from workers.ownership import Ownership, save

log = structlog.get_logger()


class Stopped(Exception):
    """The attempt is over; its last snapshot is written, by us or by the new owner."""


class Page:
    """The snapshot of one attempt, as its owner writes it. Every write raises `Stopped` when the lease is lost."""

    def __init__(self, snapshots: Snapshots, ownership: Ownership, session: SessionId) -> None:
        self.session = session
        self.lease: Lease
        self.subject = Subject(link="", link_expires_at=0)
        self.body = Body(state=State.QUEUED)
        self._snapshots = snapshots
        self._ownership = ownership
        self.restarts = 0
        self._began = now_ms()

    @property
    def state(self) -> State:
        """Where the attempt stands."""
        return self.body.state

    @property
    def method(self) -> Method:
        """How the phone was last asked to agree."""
        return self.body.method or Method.QR

    @property
    def region(self) -> str:
        """The region of the phone that is known so far; `ZZ` for none."""
        number = self.subject.phone or self.subject.expected
        return phone.region_of(number) if number else UNKNOWN_REGION

    def renew(self, state: State, **fields: object) -> None:
        """Go on to `state` with nothing of the old body but the method. Raises `IllegalStep`."""
        check_step(self.state, state)
        self.body = Body.model_validate({"state": state, "method": self.body.method, **fields})

    def step(self, state: State, **changes: object) -> None:
        """Go on to `state` with these changes. Raises `IllegalStep`."""
        check_step(self.state, state)
        self.change(state=state, **changes)

    def change(self, **changes: object) -> None:
        """Change the body, which nobody sees before it is shown."""
        self.body = self.body.model_copy(update=changes)

    async def show(self, kind: MessageType, event: str, detail: str = "", counters: tuple[str, ...] = ()) -> None:
        """Save and announce the body."""
        await self.save(Change(self.body, kind, event, detail, counters))

    async def save(self, change: Change) -> None:
        """Save and announce a change; after Redis has forgotten our lease, under the new one."""
        try:
            saved = await save(self._snapshots, self._ownership, self.lease, change)
        except Forgotten:
            retaken = await self._ownership.retaken(self.lease)
            if retaken is None:
                raise Stopped from None
            self.lease = retaken
            await self.save(change)
        else:
            if saved is None:
                raise Stopped

    async def end(
        self,
        body: Body,
        kind: MessageType,
        event: str,
        detail: str = "",
        counters: tuple[str, ...] = (),
        *,
        raw: str = "",
        region: str | None = None,
    ) -> None:
        """The last snapshot of the attempt; frees its claim. Raises `IllegalStep`. `counters` are its own; `region` is
        the linked phone's. `raw`, the library's or WhatsApp's own word, goes to the log."""
        left = self.state
        check_step(left, body.state)
        await self.save(Change(body, kind, event, detail, counters, ending=True))
        self.body = body
        write = log.warning if body.failure else log.info
        # The canonical line of an attempt. `ms` since this worker took it; `left` is the state that it was in.
        write(
            "attempt.ended",
            session=self.session,
            attempt=self.lease.token,
            state=body.state.value,
            left=left.value,
            method=self.method.value,
            region=region or self.region,
            failure=body.failure.code.value if body.failure else None,
            raw=raw or None,
            restarts=self.restarts,
            ms=now_ms() - self._began,
            engine=ENGINE,
        )

    async def fail(self, code: FailureCode, *, raw: str, retry_at: int | None = None) -> None:
        """The last snapshot of an attempt that failed."""
        body = Body(state=State.FAILED, method=self.body.method, failure=reasons.view(code, retry_at=retry_at))
        counters = (tallies.failed(code, self.region), tallies.ended(State.FAILED))
        await self.end(body, MessageType.ERROR, "attempt.failed", code.value, counters, raw=raw)

    async def rest(self, state: State, event: str) -> None:
        """The last snapshot of an attempt that ran out of time, or was taken back."""
        detail = self.body.hint.value if self.body.hint else ""
        await self.end(Body(state=state), MessageType.STATUS, event, detail, (tallies.ended(state),))
