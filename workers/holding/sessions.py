"""The linked sessions that this worker holds: taken up, kept, told about, given back.

A session is an owner of its lease; its connection lives in a holder process. What comes of each event is decided by the
session's machine (workers/holding/machine.py); here the events are fed in, and the effects carried out. When a holder dies,
another is started and its sessions are taken up again; when the lease is lost, the connection is closed before anything
else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal

import structlog
from redis.exceptions import RedisError

from shared.core import phone
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.ids import SessionId
from shared.core.keys import DAY
from shared.core.lifecycle import DEVICE, RUNNING, State
from shared.core.protocol import Body, MessageType, Method
from shared.state.lease import Lease
from shared.state.snapshots import Change, Stored
from shared.telemetry import sentry
from workers import tallies
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed
from workers.holding import tenure as t
from workers.holding.holders import Holders, Room
from workers.holding.machine import initial, refusing, step
from workers.holding.outdated import Outdated
from workers.holding.sending import Sending
from workers.holding.session import SAY_AGAIN_SECONDS, HeldSession, Links, SnapshotWriter
from workers.holding.settling import Settling
from workers.holding.tenure import UNLINKING, SessionEvent, Sign, Tenure, TenurePhase, UnlinkAsked
from workers.store.device import Fence, StoreAway, StoredDevice, StoreFenced, Told
from workers.version.port import Versions

__all__ = ["HeldSession", "Links", "Sessions"]

log = structlog.get_logger()

DWELL_SECONDS = 60.0
"""A fresh device that is still there after this long is verified; WhatsApp drops some after 10-15 s."""
RETRY_SECONDS = (2.0, 60.0)
"""Pauses between tries to take a session up: the first, doubled each time, and the longest."""
STORE_SECONDS = 5.0
"""Until something is tried again that the store, or Redis, could not take."""
SETTLED_SECONDS = 600.0
"""A device that was replaced once, and has been online for so long since, is held like any other again."""
UNLINK_SECONDS = 30.0
"""How long WhatsApp's answer to a log-out is waited for; and how long an attempt waits for one."""
UNLINK_MS = DAY
"""How long a log-out is tried, while WhatsApp cannot be reached."""
SUSPECT_DEATHS = 2
"""A session that was logging in at so many deaths of its process gets one of its own."""
MOST_ALONE = 4
"""A process takes 31 MB: should more sessions be suspected, something else is wrong."""
CLAIMS = 50
"""A Redis that went back is behind the store by the sessions' take-overs of a second or so."""


Job = Literal["resume", "unlink"]


class Sessions:
    """Everything that this worker holds."""

    def __init__(
        self,
        links: Links,
        holders: Holders,
        versions: Versions,
        *,
        most: int,
        reserved: Callable[[], int] = lambda: 0,
    ) -> None:
        """`most` sessions are held at once; of these `reserved` are kept for attempts that are under way."""
        self._links = links
        self._holders = holders
        self._most = most
        self._reserved = reserved
        self._record = SnapshotWriter(links, self)
        self._sending = Sending(links, holders)
        self._settling = Settling(holders, most, links.spawn)
        self._outdated = Outdated(versions, self.holds, self._try_again, links.spawn)
        self._held: dict[SessionId, HeldSession] = {}
        self._coming: set[SessionId] = set()  # being taken up: they have a place already
        self._over = False  # all have been handed over: nothing is started any more
        self._carry: dict[type, Callable[[HeldSession, Any], Awaitable[object]]] = {
            t.Tell: self._tell,
            t.Dwell: self._dwell_anew,
            t.TellVerified: self._tell_verified,
            t.TellEnd: self._record.last,
            t.StartAgain: self._start_if_ours,
            t.RetryIn: self._retry_in,
            t.SendLogOut: self._send_log_out,
            t.Disconnect: self._disconnect,
            t.GiveUpAt: self._give_up_at,
            t.Settle: self._settle,
            t.ParkDevice: self._park,
            t.UnparkDevice: self._unpark,
            t.ForgetDevice: self._forget,
            t.CoolNumber: self._cool,
            t.Offer: self._offer,
            t.AwaitVersion: self._await_version,
            t.CutTexts: self._cut_texts,
            t.WakeTexts: self._wake_texts,
        }
        holders.listen(self._hear, self._holder_died)

    @property
    def free(self) -> int:
        """How many more sessions may be held."""
        return self._most - len(self._held) - len(self._coming) - self._reserved()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def devices(self) -> list[StoredDevice]:
        """The devices that are held."""
        return [held.device for held in self._held.values()]

    @property
    def outdated(self) -> int:
        """How many wait for a version of the client that WhatsApp takes."""
        return len(self._outdated)

    def newer(self) -> None:
        """Fresh processes claim a newer version from now on: refused sessions come back, those online stay."""
        self._holders.retire()
        self._outdated.try_again()

    def try_refused(self) -> None:
        """Time has passed: one refused session tries again."""
        self._outdated.try_again()

    def holds(self, held: HeldSession) -> bool:
        """Whether it is still held here."""
        return self._held.get(held.session) is held

    # --- taking up ----------------------------------------------------------------------------------------------------

    async def adopt(self, lease: Lease, device: StoredDevice, body: Body, verified: tuple[str, ...]) -> None:
        """Hold a device that was linked a moment ago, under the attempt's own lease. `verified`: what is counted when
        it has outlived the dwell."""
        tenure = Tenure(shown=State.LINKED, fresh=True)
        held = HeldSession(self, lease, replace(device, told=Told.LINKED), body, tenure, verified)
        present = self._links.ownership.hand_over(device.session, held)
        if present is None:
            return  # lost meanwhile: whoever takes it finds the device in the store
        held.lease = present
        held.settled = False
        self._held[device.session] = held
        self._dwell(held)
        # The attempt has ended well: what happens from here on is no matter of its.
        self._links.spawn(self._start(held), "start")
        self._links.spawn(self._note(held), "note")

    async def resume(self, session: SessionId) -> None:
        """Hold a registered device that nobody holds. Nothing happens when somebody does, when there is none, or when
        it is parked and its time has not come: a device that was replaced never fights back."""
        device = await self._links.store.device(session)
        if device is None or (device.parked and not 0 < device.again_at <= now_ms()):
            return
        if self.free > 0:
            await self._take_up(device)

    async def unpark(self, session: SessionId) -> None:
        """The operator wants a parked device held again."""
        device = await self._links.store.device(session)
        if device is not None and device.parked:
            await self._take_up(replace(device, parked=""))

    async def _take_up(self, device: StoredDevice) -> None:
        session = device.session
        if session in self._held or session in self._coming:
            return
        self._coming.add(session)
        try:
            held = await self._taken_up(device)
        finally:
            self._coming.discard(session)
        if held is None:
            return
        if held.tenure.fresh:
            self._dwell(held)
        if held.tenure.phase is TenurePhase.LEAVING:
            await self._give_up_at(held, t.GiveUpAt(held.tenure.leave_by))
        await self._start_if_ours(held, t.StartAgain("session.resuming"))

    async def _taken_up(self, device: StoredDevice) -> HeldSession | None:
        session = device.session
        stored = await self._links.snapshots.read(session)
        if device.parked and stored.body.state in RUNNING:
            return None  # its owner links it anew
        tenure = initial(shown=stored.body.state, fresh=device.told < Told.VERIFIED, parked=device.parked, now=now_ms())
        body = self._links.body(device).model_copy(update={"method": stored.body.method} if tenure.fresh else {})
        region = phone.region_of(device.phone)
        verified = tallies.verified(body.method or Method.QR, region, region) if tenure.fresh else ()
        lease = Lease(session, self._links.ownership.worker, 0)
        held = HeldSession(self, lease, device, body, tenure, verified)
        taken = await self._links.ownership.acquire(session, held)
        if taken is None:
            return None
        held.lease = taken
        try:
            if await self._claim(held):
                if held.device.told == Told.NOTHING:
                    await self._tell_linked(held, stored)
                self._held[session] = held
                return held
        except BaseException:
            await self._links.ownership.let_go(session, held)
            raise
        await self._links.ownership.let_go(session, held)
        return None

    async def _claim(self, held: HeldSession) -> bool:
        """Name us in the store before we connect, so that every older owner is refused there; whether the device is
        still the same. A Redis that went back gives tokens that the store has seen: then the next one is taken."""
        for _ in range(CLAIMS):
            try:
                device = await self._links.store.claim(held.session, self._fence(held))
            except StoreFenced as newer:
                log.warning("lease.behind-store", session=held.session, token=held.lease.token, newest=newer.newest)
                lease = await self._links.ownership.advance(held.lease)
                if lease is None:
                    return False
                held.lease = lease
            else:
                if device is None or device.jid != held.device.jid:
                    return False
                wanted, held.device = held.device.parked, device
                if device.parked and not wanted:  # the operator's wish
                    held.device = replace(device, parked="", again_at=0)
                    await self._links.store.note(held.device, self._fence(held))
                return True
        return False

    async def _tell_linked(self, held: HeldSession, stored: Stored) -> None:
        """The device was made durable, and its worker died before anybody was told."""
        if stored.body.state not in DEVICE and self._links.claims is not None:
            region, method = phone.region_of(held.device.phone), held.body.method or Method.QR
            if not await self._links.claims.spend(await self._links.claims.subject(held.session)):
                # Its link was revoked meanwhile: what it led to must not be kept.
                held.tenure = replace(held.tenure, phase=TenurePhase.LEAVING, leave_by=now_ms() + UNLINK_MS)
                return
            if stored.body.state is not State.LINKING:  # somebody has ended the attempt meanwhile
                await self._record.show(held, t.Tell(State.RECONNECTING, "session.resuming"))
            body = held.body.model_copy(update={"state": State.LINKED, "method": method})
            await self._record.linked(held, body, region, tallies.linked(method, region, region))
            held.body = body
        held.tenure = replace(held.tenure, shown=State.LINKED)
        held.device = replace(held.device, told=Told.LINKED)
        await self._links.store.note(held.device, self._fence(held))

    def _fence(self, held: HeldSession) -> Fence:
        ownership = self._links.ownership
        return Fence(held.lease.token, lambda: ownership.owner(held.session) is not None)

    # --- what others ask ----------------------------------------------------------------------------------------------

    async def refuse(self, lease: Lease, device: StoredDevice) -> None:
        """Log a device out that must not be kept, and forget it; the lease stays the attempt's."""
        tenure = refusing(now_ms(), round(UNLINK_SECONDS * 1000))
        held = HeldSession(self, lease, device, self._links.body(device), tenure)
        self._held[device.session] = held
        await self._give_up_at(held, t.GiveUpAt(tenure.leave_by))
        await self._start(held)
        await held.over.wait()
        await self._forget(held)

    async def unlink(self, session: SessionId) -> bool:
        """Have the device logged out at WhatsApp and forgotten, and `unlinked` told. Idempotent. It may take a day, and
        outlives this worker: the wish is kept beside the device. False: the session could not be taken up here, or was
        lost meanwhile; to be tried again, wherever it is then."""
        if session not in self._held:
            device = await self._links.store.device(session)
            if device is None:
                return await self._tell_unlinked(session)
            await self._take_up(device)
        held = self._held.get(session)
        if held is None:
            return False
        return await self._feed_safely(held, UnlinkAsked(now_ms() + UNLINK_MS))

    async def _tell_unlinked(self, session: SessionId) -> bool:
        """There is no device. Should anybody still believe in one, say so: else every click would be answered "linked"."""
        if (await self._links.snapshots.read(session)).body.state not in DEVICE:
            return True
        owner = _Passing()
        lease = await self._links.ownership.acquire(session, owner)
        if lease is None:
            return False
        try:
            body = Body(state=State.UNLINKED)
            change = Change(body, MessageType.STATUS, "session.unlinked", ending=True)
            return await self._links.snapshots.save(lease, change) is not None
        finally:
            await self._links.ownership.let_go(session, owner)

    async def send(self, session: SessionId) -> None:
        """Look at the texts that wait in the session's outbox: there is a new one."""
        await self._sending.send(session, self._held.get(session))

    async def answer(self, session: SessionId, ticket: str) -> None:
        """Tell whoever waits at the ticket what WhatsApp says of a number."""
        await self._sending.answer(session, ticket)

    async def retaken(self, held: HeldSession) -> None:
        """Redis has forgotten the session, and knows it again under a new lease: say where it and its texts stand."""
        await self._record.again(held, "session.retaken")
        await self._sending.restore(held.session)

    def ended(self, held: HeldSession) -> None:
        """There is no device to send by any more: its texts are told as not sent."""
        self._links.spawn(self._sending.give_up(held.session), "send")

    async def hand_over(self) -> list[tuple[Job, SessionId]]:
        """Close every connection, for good, then give the leases back; what somebody else shall do, and with which
        sessions. To be called once more when the last attempt has ended."""
        # Before the first wait: nothing that runs may start any of them again.
        self._over = True
        held, self._held = list(self._held.values()), {}
        for one in held:
            one.let_go()
        await self._sending.finish(one.session for one in held)
        await self._holders.close()
        jobs: list[tuple[Job, SessionId]] = []
        for one in held:
            # A device that is being refused is held under its attempt's lease, and is the attempt's matter.
            if self._links.ownership.owner(one.session) is one:
                await self._record.show(one, t.Tell(State.RECONNECTING, "session.handed-over"))
                await self._links.ownership.let_go(one.session, one)
                jobs.append(("unlink" if one.tenure.phase is TenurePhase.LEAVING else "resume", one.session))
        return jobs

    def drop(self, held: HeldSession) -> None:
        """Let go of a session that is no longer ours."""
        self._take_out(held)
        held.let_go()
        self._sending.stop(held.session)
        self._links.spawn(self._release(held), "release")

    def _take_out(self, held: HeldSession) -> None:
        if self.holds(held):  # the session may have been taken up again meanwhile
            del self._held[held.session]
            self._sending.stop(held.session)

    async def _release(self, held: HeldSession) -> None:
        await self._holders.release(held.session)
        await self._links.ownership.let_go(held.session, held)

    # --- feeding the machine ------------------------------------------------------------------------------------------

    async def _feed(self, held: HeldSession, event: SessionEvent) -> None:
        """One event, and all that comes of it."""
        if not self.holds(held):
            return
        held.tenure, effects = step(held.tenure, event, now_ms())
        if held.tenure.phase is not TenurePhase.ONLINE:
            held.online.clear()
        for effect in effects:
            await self._carry[type(effect)](held, effect)

    async def _feed_safely(self, held: HeldSession, event: SessionEvent) -> bool:
        """As `_feed`; what the store or Redis could not take is tried again. Whether the session is still ours."""
        before = held.tenure
        try:
            await self._feed(held, event)
        except StoreFenced:
            self._yield(held, "fenced")
            return False
        except (RedisError, OSError, TimeoutError) as error:  # of the store, too
            log.warning("session.event-delayed", session=held.session, error=str(error))
            held.tenure = before
            held.later(STORE_SECONDS, lambda: self._links.spawn(self._again(held, event), "again"))
        except BaseException:  # held again, it is told of its loss again
            held.tenure = replace(before, phase=TenurePhase.COMING)
            self._start_later(held)
            raise
        return True

    async def _again(self, held: HeldSession, event: SessionEvent) -> None:
        await self._feed_safely(held, event)

    def _feed_later(self, held: HeldSession, seconds: float, event: SessionEvent, name: str) -> None:
        held.later(max(seconds, 0), lambda: self._links.spawn(self._again(held, event), name))

    def _hear_text(self, event: pipe.Sent | pipe.SendFailed | pipe.Looked | pipe.Confirmed | pipe.Received) -> None:
        """What becomes of texts; their session may be held no more."""
        match event:
            case pipe.Sent() | pipe.SendFailed():
                self._sending.heard(event)
            case pipe.Looked():
                self._sending.looked(event)
            case pipe.Confirmed():
                self._sending.confirmed(event)
            case pipe.Received():
                self._links.inbox.heard(event)

    async def _hear(self, event: pipe.FromHolder) -> None:
        if isinstance(event, pipe.Sent | pipe.SendFailed | pipe.Looked | pipe.Confirmed | pipe.Received):
            self._hear_text(event)
            return
        if isinstance(event, pipe.Ready | pipe.Probed):
            return
        held = self._held.get(SessionId(event.session))
        if held is None:
            return
        # The library connects again by itself after a drop.
        held.logging_in = isinstance(event, pipe.Starting | pipe.Dropped)
        if isinstance(event, pipe.Starting):
            return
        if isinstance(event, pipe.Lost):
            log.warning("session.lost", session=event.session, reason=event.reason.value, detail=event.detail)
            held.online.clear()
            if event.reason is not pipe.LostReason.OUTDATED:
                self._outdated.lost(held)
            # Beside, as the store may be away: the holder's other sessions shall be heard meanwhile.
            self._links.spawn(self._lost(held, event), "lost")
            return
        if isinstance(event, pipe.Held):
            self._outdated.versions.accepted(event.library)
        if isinstance(event, pipe.Held | pipe.Restored):
            log.info("session.logged-in", session=held.session)
            self._outdated.online(held)
        elif isinstance(event, pipe.Released) and event.detail:
            log.warning("session.log-out-failed", session=event.session, detail=event.detail)
        await self._feed(held, event)

    async def _lost(self, held: HeldSession, event: pipe.Lost) -> None:
        """The session will not come back by itself."""
        if event.reason is pipe.LostReason.REPLACED and self.holds(held):
            try:
                overtaken = await self._is_overtaken(held)
            except OSError as error:
                log.warning("session.event-delayed", session=held.session, error=str(error))
                held.later(STORE_SECONDS, lambda: self._links.spawn(self._lost(held, event), "lost"))
                return
            if overtaken:
                self._yield(held, "replaced")
                return
        await self._again(held, event)

    async def ask_store(self) -> None:
        """Redis is away: let go of what others have taken over, by the word of the device store."""
        tokens = {held.session: held.device.token for held in self._held.values()}
        for session in await self._links.store.overtaken(tokens) if tokens else ():
            held = self._held.get(session)
            if held is not None and held.device.token == tokens[session]:
                self._yield(held, "store")

    async def _is_overtaken(self, held: HeldSession) -> bool:
        """Whether WhatsApp's `replaced` means a worker of ours. Who is cut off cannot know, and takes it for that."""
        if self._links.ownership.cut_off:
            return True
        return bool(await self._links.store.overtaken({held.session: held.device.token}))

    def _yield(self, held: HeldSession, why: str) -> None:
        """Another has it: close the connection, write nothing, fight nobody."""
        log.warning("session.yielded", session=held.session, why=why)
        self._links.ownership.forget(held.session, held)
        self.drop(held)

    async def _holder_died(self, sessions: list[SessionId]) -> None:
        present = [self._held[session] for session in sessions if session in self._held]
        for session in sessions:
            self._sending.cut(session)
        for held in present:
            held.online.clear()
        for held in present:
            self._suspect(held)
            if held.quarantined and held.deaths > SUSPECT_DEATHS:
                self._start_later(held)  # it harms nobody but itself, and shall not keep us busy
                continue
            try:
                await self._feed(held, Sign.HOLDER_DIED)
            except Exception as error:  # noqa: BLE001 - one session's trouble must not keep the others waiting
                sentry.report("holder", error, session=held.session)

    def _suspect(self, held: HeldSession) -> None:
        """Whoever was logging in when its process died may have killed it; whoever was so twice gets one of its own."""
        if not held.logging_in:
            return
        held.logging_in = False
        held.deaths += 1
        if held.deaths >= SUSPECT_DEATHS and not held.quarantined and len(self.quarantined) < MOST_ALONE:
            held.quarantined = True
            log.error("session.quarantined", session=held.session, deaths=held.deaths)

    @property
    def quarantined(self) -> list[SessionId]:
        """The sessions that have a process of their own, as their logins seem to kill it."""
        return sorted(session for session, held in self._held.items() if held.quarantined)

    # --- carrying effects out -----------------------------------------------------------------------------------------

    async def _start(self, held: HeldSession) -> None:
        """Have it held; whatever goes wrong, it is tried again later."""
        device = held.device
        try:
            # A start against a device that is not in its database aborts the whole process, so look first.
            there = await self._links.store.holds(device)
            if self._over:
                held.let_go()
            elif not self.holds(held):
                log.info("session.not-started", session=device.session)
            elif there:
                with suppress(RedisError, OSError, TimeoutError):  # then as it was before
                    held.inbound = await self._links.hears(device.session)
                order = pipe.Hold(
                    session=device.session, database=device.database, jid=device.jid, inbound=held.inbound
                )
                await self._place(held, order)
            else:
                log.error("device.missing", session=device.session)
                await self._feed(held, Sign.KEYS_MISSING)
        except (StoreAway, EngineFailed) as error:
            log.warning("session.start-delayed", session=device.session, error=str(error))
            self._start_later(held)
        except BaseException:  # the limit of a job, too
            self._start_later(held)
            raise

    async def _place(self, held: HeldSession, order: pipe.Hold) -> None:
        """Have it held in the company that it may have."""
        if held.quarantined:
            await self._holders.hold(order, Room.ALONE)
        elif held.settled:
            await self._holders.hold(order)
        else:
            held.settled = True  # what it is started for later finds the history read
            await self._settling.hold(order)

    def _start_later(self, held: HeldSession) -> None:
        if not self.holds(held):
            return
        held.tenure, effects = step(held.tenure, Sign.START_FAILED, now_ms())
        for effect in effects:
            if isinstance(effect, t.RetryIn):
                self._arm_retry(held, effect)

    async def _start_if_ours(self, held: HeldSession, effect: t.StartAgain) -> None:
        """Start only after a fenced write: a worker that slept past its lease must not take its sessions up again."""
        try:
            ours = await self._record.show(held, t.Tell(State.RECONNECTING, effect.event, held.tenure.trouble))
        except BaseException:
            self._start_later(held)
            raise
        if ours:
            held.tenure = replace(held.tenure, shown=State.RECONNECTING)
            await self._start(held)
        else:
            self._start_later(held)

    def _arm_retry(self, held: HeldSession, effect: t.RetryIn) -> None:
        first, longest = RETRY_SECONDS
        pause = min(longest, first * 2 ** min(effect.tries, 30))  # after a day of tries it would be too large a number
        self._feed_later(held, pause, Sign.RETRY, "resume")

    async def _tell(self, held: HeldSession, effect: t.Tell) -> None:
        outdated = effect.trouble is FailureCode.CLIENT_OUTDATED
        await self._record.show(held, effect, retry_at=self._outdated.versions.next_try if outdated else None)

    async def _retry_in(self, held: HeldSession, effect: t.RetryIn) -> None:
        self._arm_retry(held, effect)

    async def _try_again(self, held: HeldSession) -> None:
        await self._feed(held, Sign.RETRY)

    async def _await_version(self, held: HeldSession, effect: t.AwaitVersion) -> None:
        await self._outdated.refused(held, effect.library)

    def _dwell(self, held: HeldSession) -> None:
        left = DWELL_SECONDS - (now_ms() - held.device.linked_at) / 1000
        self._feed_later(held, left, Sign.DWELT, "dwell")

    async def _dwell_anew(self, held: HeldSession, _: t.Dwell) -> None:
        self._feed_later(held, DWELL_SECONDS, Sign.DWELT, "dwell")

    async def _tell_verified(self, held: HeldSession, _: t.TellVerified) -> None:
        if await self._record.verified(held):
            held.device = replace(held.device, told=Told.VERIFIED)
            self._links.spawn(self._note(held), "note")
        else:
            held.tenure = replace(held.tenure, fresh=True)
            self._feed_later(held, SAY_AGAIN_SECONDS, Sign.DWELT, "verified")

    async def _note(self, held: HeldSession) -> None:
        """Write down beside the device what was told of it; as long as that fails, again."""
        while self.holds(held):
            try:
                await self._links.store.note(held.device, self._fence(held))
            except StoreFenced:
                return  # whoever has it now writes it down
            except OSError as error:
                log.warning("device.unnoted", session=held.session, error=str(error))
                await asyncio.sleep(STORE_SECONDS)
            else:
                return

    async def _send_log_out(self, held: HeldSession, _: t.SendLogOut) -> None:
        held.log_outs = asked = held.log_outs + 1
        await self._holders.send(held.session, pipe.LogOut(session=held.session))

        def unanswered() -> None:
            if held.log_outs == asked:
                log.warning("session.log-out-unanswered", session=held.session)
                self._links.spawn(self._again(held, Sign.UNANSWERED), "log-out")

        held.later(UNLINK_SECONDS, unanswered)

    async def _disconnect(self, held: HeldSession, _: t.Disconnect) -> None:
        await self._holders.release(held.session)

    async def _give_up_at(self, held: HeldSession, effect: t.GiveUpAt) -> None:
        self._feed_later(held, (effect.by - now_ms()) / 1000, Sign.LATE, "late")

    async def _settle(self, held: HeldSession, _: t.Settle) -> None:
        self._feed_later(held, SETTLED_SECONDS, Sign.SETTLED, "settled")

    async def _park(self, held: HeldSession, effect: t.ParkDevice) -> None:
        held.device = replace(held.device, parked=effect.why, again_at=effect.again_at)
        await self._links.store.note(held.device, self._fence(held))
        if not effect.why.startswith(UNLINKING):
            self._take_out(held)

    async def _unpark(self, held: HeldSession, _: t.UnparkDevice) -> None:
        held.device = replace(held.device, parked="", again_at=0)
        self._links.spawn(self._note(held), "note")

    async def _forget(self, held: HeldSession, _: t.ForgetDevice | None = None) -> None:
        await self._holders.release(held.session)
        try:
            await self._links.store.forget(held.device, self._fence(held))
        except StoreAway as error:
            # WhatsApp knows these keys no more: the next sweep takes the device up, is told so, and forgets it then.
            log.warning("device.not-forgotten", session=held.session, error=str(error))
        self._take_out(held)
        held.over.set()

    async def _cool(self, held: HeldSession, effect: t.CoolNumber) -> None:
        await self._links.cooldowns.until(held.device.phone, effect.until)

    async def _offer(self, held: HeldSession, effect: t.Offer) -> None:
        if self._links.offer is not None:
            await self._links.offer(held.session, effect.at)

    async def _cut_texts(self, held: HeldSession, _: t.CutTexts) -> None:
        self._sending.cut(held.session)

    async def _wake_texts(self, held: HeldSession, _: t.WakeTexts) -> None:
        held.online.set()
        self._sending.wake(held)


class _Passing:
    """An owner for one write."""

    outlasts_redis = False

    def lost(self) -> None:
        """The write is refused then."""

    async def renewed(self, lease: Lease) -> None:
        """The write is refused then, and the job tried again."""
