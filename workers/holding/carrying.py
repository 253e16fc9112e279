"""Feeds events to the machine of a held session (workers/holding/machine.py), and carries its effects out.

An effect that the store or Redis cannot take now is tried again. One file, as it is one list: each effect has its method.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.log import log
from shared.tasks import TROUBLE
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed
from workers.holding import tenure as t
from workers.holding.holders import Holders, Room
from workers.holding.machine import step
from workers.holding.outdated import Outdated
from workers.holding.roster import SAY_AGAIN_SECONDS, Roster
from workers.holding.session import HeldSession, Links
from workers.holding.settling import Settling
from workers.holding.tenure import UNLINKING, SessionEvent, Sign, TenurePhase
from workers.rules import kind_of
from workers.store.device import StoreAway, StoreFenced, Told

DWELL_SECONDS = 60.0
"""A fresh device that is still there after this long is verified; WhatsApp drops some after 10-15 s."""
RETRY_SECONDS = (2.0, 60.0)
"""Pauses between tries to take a session up: the first, doubled each time, and the longest."""
STORE_SECONDS = 5.0
"""Until something is tried again that the store, or Redis, could not take."""
SETTLED_SECONDS = 600.0
"""A device that was replaced once, and has been online for so long since, is held like any other again."""
UNLINK_SECONDS = 30.0
"""Longest wait for WhatsApp's answer to a log-out. An attempt that logs out waits as long."""


class Carrier:
    """One step of a session at a time: the event, the machine's answer, and all that comes of it."""

    def __init__(self, links: Links, holders: Holders, roster: Roster, settling: Settling, outdated: Outdated) -> None:
        self.over = False  # all sessions have been handed over: none is started any more
        self._links = links
        self._holders = holders
        self._roster = roster
        self._settling = settling
        self._outdated = outdated
        self._carry: dict[object, Callable[[HeldSession, Any], Awaitable[object] | None]] = {
            t.Tell: self._tell,
            t.TellRemark: self._tell_remark,
            t.Duty.DWELL: lambda held, _: self.feed_later(held, DWELL_SECONDS, Sign.DWELT, "dwell"),
            t.Duty.TELL_VERIFIED: self._tell_verified,
            t.TellEnd: roster.tell_end,
            t.StartAgain: self.start_if_ours,
            t.RetryIn: self._arm_retry,
            t.Duty.SEND_LOG_OUT: self._send_log_out,
            t.Duty.DISCONNECT: lambda held, _: holders.release(held.session),
            t.GiveUpAt: self.give_up_at,
            t.Duty.SETTLE: lambda held, _: self.feed_later(held, SETTLED_SECONDS, Sign.SETTLED, "settled"),
            t.ParkDevice: self._park,
            t.Duty.UNPARK_DEVICE: self._unpark,
            t.Duty.FORGET_DEVICE: self.forget,
            t.CoolNumber: lambda held, effect: links.cooldowns.until(held.device.phone, effect.until),
            t.Offer: lambda held, effect: links.offer(held.session, effect.at),
            t.AwaitVersion: lambda held, effect: outdated.refused(held, effect.library),
            t.Duty.CUT_TEXTS: lambda held, _: roster.sending.cut(held.session),
            t.Duty.WAKE_TEXTS: self._wake_texts,
        }

    async def feed(self, held: HeldSession, event: SessionEvent) -> None:
        """One event, and all that comes of it."""
        if not self._roster.holds(held):
            return
        held.tenure, effects = step(held.tenure, event, now_ms())
        if held.tenure.phase is not TenurePhase.ONLINE:
            held.online = False
        for effect in effects:
            if (work := self._carry[kind_of(effect)](held, effect)) is not None:
                await work

    async def feed_safely(self, held: HeldSession, event: SessionEvent) -> bool:
        """Feed an event, and try again what the store or Redis could not take. True if the session is still ours."""
        before = held.tenure
        try:
            await self.feed(held, event)
        except StoreFenced:
            self._roster.yield_up(held, "fenced")
            return False
        except TROUBLE as error:  # of the store, too
            log.warning("session.event-delayed", session=held.session, error=str(error))
            held.tenure = before
            self.feed_later(held, STORE_SECONDS, event, "again")
        except BaseException:  # held again, it is told of its loss again
            held.tenure = before
            self.start_later(held)
            raise
        return True

    def feed_later(self, held: HeldSession, seconds: float, event: SessionEvent, name: str) -> None:
        held.later(max(seconds, 0), lambda: self._links.spawn(self.feed_safely(held, event), name))

    # --- starting -----------------------------------------------------------------------------------------------------

    async def start(self, held: HeldSession) -> None:
        """Have a holder hold the session. Whatever goes wrong, it is tried again later."""
        device = held.device
        try:
            # A start against a device that is not in its database aborts the whole process, so look first.
            there = await self._links.store.holds(device)
            await self._links.ownership.sure()
            if self.over:
                held.let_go()
            elif not self._roster.holds(held):
                log.info("session.not-started", session=device.session)
            elif there:
                with suppress(*TROUBLE):  # then as it was before
                    held.inbound = await self._links.hears(device.session)
                order = pipe.Hold(
                    session=device.session, database=device.database, jid=device.jid, inbound=held.inbound
                )
                await self._place(held, order)
            else:
                log.error("device.missing", session=device.session)
                await self.feed(held, Sign.KEYS_MISSING)
        except (StoreAway, EngineFailed) as error:
            log.warning("session.start-delayed", session=device.session, error=str(error))
            self.start_later(held)
        except BaseException:  # the limit of a job, too
            self.start_later(held)
            raise

    async def _place(self, held: HeldSession, order: pipe.Hold) -> None:
        """Have the session held beside those that may share its process."""
        if held.quarantined:
            await self._holders.hold(order, Room.ALONE)
        elif held.settled:
            await self._holders.hold(order)
        else:
            held.settled = True  # what it is started for later finds the history read
            await self._settling.hold(order)

    def start_later(self, held: HeldSession) -> None:
        if not self._roster.holds(held):
            return
        held.tenure, effects = step(held.tenure, Sign.START_FAILED, now_ms())
        for effect in effects:
            if isinstance(effect, t.RetryIn):
                self._arm_retry(held, effect)

    async def start_if_ours(self, held: HeldSession, effect: t.StartAgain) -> None:
        """Start only after a fenced write: a worker that slept past its lease must not take its sessions up again."""
        async with AsyncExitStack() as turn:
            try:
                await turn.enter_async_context(self._roster.turns)
                await self._links.ownership.sure()
                tell = t.Tell(State.RECONNECTING, effect.event, held.tenure.trouble)
                ours = await self._roster.show(held, tell)
            except BaseException:
                self.start_later(held)
                raise
            if ours:
                held.tenure = replace(held.tenure, shown=State.RECONNECTING)
                await self.start(held)
            else:
                self.start_later(held)

    def _arm_retry(self, held: HeldSession, effect: t.RetryIn) -> None:
        first, longest = RETRY_SECONDS
        pause = min(longest, first * 2 ** min(effect.tries, 30))  # after a day of tries it would be too large a number
        self.feed_later(held, pause, Sign.RETRY, "resume")

    # --- carrying effects out -----------------------------------------------------------------------------------------

    async def _tell(self, held: HeldSession, effect: t.Tell) -> None:
        outdated = effect.trouble is FailureCode.CLIENT_OUTDATED
        await self._roster.show(held, effect, retry_at=self._outdated.versions.next_try if outdated else None)

    async def _tell_remark(self, held: HeldSession, effect: t.TellRemark) -> None:
        if effect.remark is pipe.Remark.FILE_MISSED:
            self._links.media.missed(held.session)
        await self._roster.remark(held, effect)

    def dwell(self, held: HeldSession) -> None:
        left = DWELL_SECONDS - (now_ms() - held.device.linked_at) / 1000
        self.feed_later(held, left, Sign.DWELT, "dwell")

    async def _tell_verified(self, held: HeldSession, _: t.Duty) -> None:
        if await self._roster.tell_verified(held):
            held.device = replace(held.device, told=Told.VERIFIED)
            self._links.spawn(self.note(held), "note")
        else:
            held.tenure = replace(held.tenure, fresh=True)
            self.feed_later(held, SAY_AGAIN_SECONDS, Sign.DWELT, "verified")

    async def note(self, held: HeldSession) -> None:
        """Write down beside the device what was told of it, and try until the store takes it."""
        while self._roster.holds(held):
            try:
                await self._links.store.note(held.device, self._links.fence(held))
            except StoreFenced:
                return  # its new owner writes it down
            except OSError as error:
                log.warning("device.unnoted", session=held.session, error=str(error))
                await asyncio.sleep(STORE_SECONDS)
            else:
                return

    async def _send_log_out(self, held: HeldSession, _: t.Duty) -> None:
        held.log_outs = asked = held.log_outs + 1
        await self._holders.send(held.session, pipe.LogOut(session=held.session))

        def unanswered() -> None:
            if held.log_outs == asked:
                log.warning("session.log-out-unanswered", session=held.session)
                self._links.spawn(self.feed_safely(held, Sign.UNANSWERED), "log-out")

        held.later(UNLINK_SECONDS, unanswered)

    def give_up_at(self, held: HeldSession, effect: t.GiveUpAt) -> None:
        self.feed_later(held, (effect.by - now_ms()) / 1000, Sign.LATE, "late")

    async def _park(self, held: HeldSession, effect: t.ParkDevice) -> None:
        held.device = replace(held.device, parked=effect.why, again_at=effect.again_at)
        await self._links.store.note(held.device, self._links.fence(held))
        if not effect.why.startswith(UNLINKING):
            self._roster.take_out(held)

    async def _unpark(self, held: HeldSession, _: t.Duty) -> None:
        held.device = replace(held.device, parked="", again_at=0)
        self._links.spawn(self.note(held), "note")

    async def forget(self, held: HeldSession, _: t.Duty | None = None) -> None:
        await self._holders.release(held.session)
        try:
            await self._links.store.forget(held.device, self._links.fence(held))
        except StoreAway as error:
            # WhatsApp knows these keys no more: the next sweep takes the device up, is told so, and forgets it then.
            log.warning("device.not-forgotten", session=held.session, error=str(error))
        self._roster.take_out(held)
        held.over.set()
        if held.tenure.silent:  # nothing is told under the lease. That of an attempt is its own
            await self._links.ownership.let_go(held.session, held)

    def _wake_texts(self, held: HeldSession, _: t.Duty) -> None:
        held.online = True
        self._roster.sending.wake(held, stale=False)
