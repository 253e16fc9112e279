"""The sessions that this worker holds: what each shows, in its snapshot and timeline, and the ways on which one leaves."""

import asyncio

from shared.core import keys, phone
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body, FailureView, MessageType
from shared.log import log
from shared.state.snapshots import Change
from shared.tasks import TROUBLE, outlived
from shared.telemetry import metrics, sentry
from shared.telemetry.metrics import ENGINE, Counter, failed
from workers import reasons
from workers.engine.protocol import Remark
from workers.holding.holders import Holders
from workers.holding.sending import Sending
from workers.holding.session import HeldSession, Links
from workers.holding.tenure import Tell, TellEnd, TellRemark

AT_ONCE = 8
"""Sessions that start, or say again where they stand, at a time: the heartbeat shall not wait for all of them."""
PASSING_ERRORS = frozenset({"500"})
"""Errors of the stream by which WhatsApp says that it is ill itself. They are counted, and written nowhere else."""
SAY_AGAIN_SECONDS = 2.0
"""Between tries to save where a session stands, while Redis is away."""


class Roster:
    """Held sessions by their names. `sending` sends their texts; `turns` are for what may befall all of them at once."""

    def __init__(self, links: Links, holders: Holders) -> None:
        self.held: dict[SessionId, HeldSession] = {}
        self.sending = Sending(links, holders)
        self.turns = asyncio.Semaphore(AT_ONCE)
        self._links = links
        self._holders = holders

    def holds(self, held: HeldSession) -> bool:
        return self.held.get(held.session) is held

    async def retaken(self, held: HeldSession) -> None:
        """Say where a session and its texts stand that Redis had forgotten, and knows again under a new lease."""
        async with self.turns:
            if self._links.ownership.is_restated(held.lease):  # not if it has said something meanwhile
                await self.again(held, "session.retaken")
            self.sending.restore(held.session)

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

    # --- what they show --------------------------------------------------------------------------------------------------

    async def show(self, held: HeldSession, effect: Tell, *, retry_at: int | None = None) -> bool:
        """Save where the session stands. Return True if the write proved that the session is still ours.

        A session that is not ours is let go of. While Redis is away the session lives on, and the write is tried again.
        """
        code = effect.trouble
        failure = FailureView.of(code, retry_at) if code else None
        held.body = held.body.model_copy(update={"state": effect.state, "failure": failure})
        counters = (failed(code, phone.region_of(held.device.phone)),) if code and effect.count else ()
        ours = await self._say(held, _change(held, effect.event, reasons.told(code, effect.said), counters))
        if ours and code and effect.alert:
            sentry.ending("session", code, session=held.session, raw=effect.raw, phone=held.device.phone)
        return ours

    async def remark(self, held: HeldSession, effect: TellRemark) -> None:
        """Write into the timeline what has befallen the session."""
        log.warning("session.remarked", session=held.session, remark=effect.remark.value, detail=effect.detail)
        counters: tuple[str, ...] = ()
        if effect.remark is Remark.STREAM_ERROR:
            counters = (metrics.field(Counter.STREAM_ERRORS, code=effect.detail),)
            if effect.detail not in PASSING_ERRORS:
                sentry.stream_error(effect.detail, held.session)
        await self._say(held, _change(held, f"session.{effect.remark.value}", effect.detail, counters))

    async def again(self, held: HeldSession, event: str) -> bool:
        """Say once more where a session stands that is held here."""
        return self.holds(held) and await self._say(
            held, _change(held, event, held.body.failure.code if held.body.failure else "")
        )

    async def _say(self, held: HeldSession, change: Change) -> bool:
        if held.tenure.silent:
            return True
        try:
            if self._links.ownership.cut_off:  # it would only wait, and hold up what else the holder says
                raise ConnectionError
            async with held.saying:  # what was said first may arrive last: what is written is what is so by then
                present = _change(held, change.event, change.detail, change.counters)
                ours = await self.write(held, present) is not None
        except TROUBLE as error:
            log.warning("session.unsaved", session=held.session, error=type(error).__name__)
            held.later(SAY_AGAIN_SECONDS, lambda: self._links.spawn(self.again(held, change.event), "show"))
            return False
        if not ours:
            log.warning("lease.lost", session=held.session, why="a write was refused")
            self.drop(held)
        return ours

    async def tell_verified(self, held: HeldSession) -> bool:
        """Say that the device has outlived the dwell. Return True if Redis took it."""
        change = Change(held.body, MessageType.STATUS, "session.verified", "", held.verified)
        with outlived("session.unsaved", session=held.session):
            return await self.write(held, change) is not None
        return False

    async def tell_end(self, held: HeldSession, end: TellEnd) -> None:
        """Say how the session has ended, and give the lease back.

        While Redis is away this is tried again for as long as the lease is ours, since nobody else knows the ending.
        """
        held.stop_timers()
        region, code = phone.region_of(held.device.phone), end.code
        counters: list[str] = []
        if code is not None and not end.again:
            counters.append(failed(code, region))
        if code is FailureCode.DROPPED_AFTER_LINKING:
            counters.append(metrics.field(Counter.DROPPED))
        failure = FailureView.of(code, end.retry_at) if code else None
        body = Body(state=end.state, failure=failure, device=held.body.device if end.kept else None)
        detail = reasons.told(code, end.said)
        change = Change(body, MessageType.STATUS, end.event, detail, tuple(counters), ending=True, again=end.again)
        saved = await self._save(held, change)
        log.info(
            "session.ended",
            session=held.session,
            state=end.state.value,
            why=end.event,
            failure=code.value if code else None,
            raw=end.raw or None,
            region=region,
            fresh=held.tenure.fresh,
            days=round((now_ms() - held.device.linked_at) / keys.DAY, 1),
            engine=ENGINE,
        )
        if code is not None and saved is not None and not end.again:
            sentry.ending("session", code, session=held.session, raw=end.raw or end.event, phone=held.device.phone)
        await self._links.ownership.let_go(held.session, held)
        self._links.spawn(self.sending.give_up(held.session), "send")  # its device is gone

    async def _save(self, held: HeldSession, change: Change) -> int | None:
        while self._links.ownership.owner(held.session) is held:
            with outlived("session.unsaved", session=held.session):
                return await self.write(held, change)
            await asyncio.sleep(SAY_AGAIN_SECONDS)
        return None

    async def write(self, held: HeldSession, change: Change) -> int | None:
        """Save a change as `Ownership.save` does, under the session's lease."""
        return await self._links.ownership.save(self._links.snapshots, held.lease, change)


def _change(held: HeldSession, event: str, detail: str, counters: tuple[str, ...] = ()) -> Change:
    kind = MessageType.WHATSAPP_CONNECTED if held.body.state is State.LINKED else MessageType.STATUS
    return Change(held.body, kind, event, detail, counters)
