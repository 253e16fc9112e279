"""The linked sessions that this worker holds: taken up, kept, told about, given back.

A session is an owner of its lease; its connection lives in a holder process. When a holder dies, another is started
and its sessions are taken up again; when the lease is lost, the connection is closed before anything else. What a loss
leads to:

    logged out                      forgotten; `unlinked`, or within the dwell `failed` (dropped-after-linking)
    restricted                      forgotten, as the library has deleted the device; `failed`
    replaced, banned                parked: kept, but held no more until it is linked anew; `failed`
    … by one who has taken it over  let go of, without a word: the store names another, or nobody can tell
    refused, unreachable            `reconnecting` with the reason; tried again with growing pauses
    outdated                        `reconnecting`; tried again with a newer version, one session first (outdated.py)
    keys not in the store           forgotten; `unlinked` (internal)
"""

import asyncio
from typing import Literal, assert_never

import structlog
from redis.exceptions import RedisError

from shared.core import phone
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body, Method
from shared.state.lease import Lease
from shared.telemetry import sentry
from workers import reasons, tallies
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed
from workers.holding.holders import Holders, Room
from workers.holding.outdated import Outdated
from workers.holding.sending import Sending
from workers.holding.session import HeldSession, Links, SnapshotWriter
from workers.holding.settling import MB_PER_LOUD, Settling
from workers.store.device import Fence, StoreAway, StoredDevice, StoreFenced
from workers.version.port import Versions

__all__ = ["HeldSession", "Links", "Sessions"]

log = structlog.get_logger()

DWELL_SECONDS = 60.0
"""A fresh device that is still there after this long is verified; WhatsApp drops some after 10-15 s."""
RETRY_SECONDS = (2.0, 60.0)
"""Pauses between tries to take a session up: the first, doubled each time, and the longest."""
ALERT_AT_TRY = 4
"""A session that cannot be connected so many times in a row, some 14 s, is no hiccup: Sentry hears of it."""
STORE_SECONDS = 5.0
"""Until a loss is written down again that could not be, as the store or Redis was away."""
UNLINK_SECONDS = 30.0
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
        self, links: Links, holders: Holders, versions: Versions, *, most: int, memory_mb: int = MB_PER_LOUD
    ) -> None:
        self._links = links
        self._holders = holders
        self._most = most
        self._record = SnapshotWriter(links, self)
        self._sending = Sending(links, holders)
        self._settling = Settling(holders, memory_mb, links.spawn)
        self._outdated = Outdated(versions, self.holds, self._try_again, links.spawn)
        self._held: dict[SessionId, HeldSession] = {}
        self._over = False  # all have been handed over: nothing is started any more
        holders.listen(self._hear, self._holder_died)

    @property
    def free(self) -> int:
        """How many more sessions may be held."""
        return self._most - len(self._held)

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
        held = HeldSession(self, lease, device, body, fresh=True)
        held.settled = False
        held.verified = verified
        present = self._links.ownership.hand_over(device.session, held)
        if present is None:
            return  # lost meanwhile: whoever takes it finds the device in the store
        held.lease = present
        self._held[device.session] = held
        self._dwell(held)
        # The attempt has ended well: what happens from here on is no matter of its.
        self._links.spawn(self._start(held), "start")

    async def resume(self, session: SessionId) -> None:
        """Hold a registered device that nobody holds. Nothing happens when somebody does, when there is none, or when
        it is parked: a device that was replaced never fights back."""
        device = await self._links.store.device(session)
        if device is not None and not device.parked:
            await self._take_up(device)

    async def _take_up(self, device: StoredDevice) -> None:
        session = device.session
        if session in self._held or self.free <= 0:
            return
        fresh = now_ms() - device.linked_at < DWELL_SECONDS * 1000
        held = HeldSession(
            self, Lease(session, self._links.ownership.worker, 0), device, self._links.body(device), fresh=fresh
        )
        if fresh:  # its worker died, or was told to stop, within the dwell
            method = (await self._links.snapshots.read(session)).body.method or Method.QR
            held.body = held.body.model_copy(update={"method": method})
            region = phone.region_of(device.phone)
            held.verified = tallies.verified(method, region, region)
        lease = await self._links.ownership.acquire(session, held)
        if lease is None:
            return
        held.lease = lease
        try:
            there = await self._claim(held)
        except BaseException:
            await self._links.ownership.let_go(session, held)
            raise
        if not there:
            await self._links.ownership.let_go(session, held)
            return
        self._held[session] = held
        if fresh:
            self._dwell(held)
        await self._start_if_ours(held, "session.resuming")

    async def _claim(self, held: HeldSession) -> bool:
        """Name us in the store before we connect, so that every older owner is refused there; whether the device is
        still to be held. A Redis that went back gives tokens that the store has seen: then the next one is taken."""
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
                if device is None or device.jid != held.device.jid or device.parked:
                    return False
                held.device = device
                return True
        return False

    def _fence(self, held: HeldSession) -> Fence:
        ownership = self._links.ownership
        return Fence(held.lease.token, lambda: ownership.owner(held.session) is not None)

    async def refuse(self, lease: Lease, device: StoredDevice) -> None:
        """Log a device out that must not be kept, and forget it; the lease stays the attempt's."""
        held = HeldSession(self, lease, device, self._links.body(device), fresh=False)
        held.leaving = True
        self._held[device.session] = held
        await self._start(held)
        await self._log_out(held)
        await self._forget(held)

    async def unlink(self, session: SessionId) -> bool:
        """Log out at WhatsApp, forget the device, say `unlinked`. Idempotent; takes longer than a job may. False: it
        could not be taken up here, or was lost meanwhile; to be tried again, wherever it is then."""
        if session not in self._held:
            device = await self._links.store.device(session)
            if device is None:
                return True
            await self._take_up(device)
        held = self._held.get(session)
        if held is None:
            return False
        if held.leaving:
            return True  # somebody is at it
        try:
            await self._log_out(held)
            if not self.holds(held):
                return False
            await self._forget(held)
        except BaseException:
            held.leaving = False
            self._try_later(held)
            raise
        await self._record.last(held, State.UNLINKED, "session.unlinked")
        return True

    async def send(self, session: SessionId) -> None:
        """Look at the texts that wait in the session's outbox: there is a new one."""
        await self._sending.send(session, self._held.get(session))

    async def answer(self, session: SessionId, ticket: str) -> None:
        """Tell whoever waits at the ticket what WhatsApp says of a number."""
        await self._sending.answer(session, ticket)

    async def restore(self, held: HeldSession) -> None:
        """Keep again what Redis has forgotten of the session's texts."""
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
                await self.show(one, State.RECONNECTING, "session.handed-over")
                await self._links.ownership.let_go(one.session, one)
                jobs.append(("unlink" if one.leaving else "resume", one.session))
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

    async def show(self, held: HeldSession, state: State, event: str) -> bool:
        """Save where the session stands; whether that proved that it is still ours."""
        return await self._record.show(held, state, event)

    # --- one session's turns ------------------------------------------------------------------------------------------

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
                inbound = await self._links.hears(device.session)
                order = pipe.Hold(session=device.session, database=device.database, jid=device.jid, inbound=inbound)
                await self._place(held, order)
            else:
                log.error("device.missing", session=device.session)
                await self._forget(held)
                await self._record.last(held, State.UNLINKED, "device.missing", FailureCode.INTERNAL)
        except (StoreAway, EngineFailed) as error:
            log.warning("session.start-delayed", session=device.session, error=str(error))
            self._try_later(held)
        except BaseException:  # the limit of a job, too
            self._try_later(held)
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

    async def _start_if_ours(self, held: HeldSession, event: str) -> None:
        """Start only after a fenced write: a worker that slept past its lease must not take its sessions up again."""
        try:
            ours = await self.show(held, State.RECONNECTING, event)
        except BaseException:
            self._try_later(held)
            raise
        if ours:
            await self._start(held)
        else:
            self._try_later(held)

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
        if isinstance(event, pipe.Ready | pipe.Probed):
            return
        if isinstance(event, pipe.Sent | pipe.SendFailed | pipe.Looked | pipe.Confirmed | pipe.Received):
            self._hear_text(event)
            return
        held = self._held.get(SessionId(event.session))
        if held is None:
            return
        match event:
            case pipe.Held(library=library):
                self._outdated.versions.accepted(library)
                await self._came_online(held)
            case pipe.Restored():
                await self._came_online(held)
            case pipe.Starting():
                held.logging_in = True
            case pipe.Dropped():
                held.logging_in = True  # the library connects again by itself
                held.online.clear()
                if not held.leaving:
                    await self.show(held, State.RECONNECTING, "session.dropped")
            case pipe.Lost():
                held.logging_in = False
                held.gone.set()
                held.online.clear()
                if not held.leaving:
                    # Beside, as the store may be away: the holder's other sessions shall be heard meanwhile.
                    self._links.spawn(self._lost(held, event), "lost")
            case pipe.Released(detail=detail):
                if detail:
                    log.warning("session.log-out-failed", session=event.session, detail=detail)
                held.gone.set()
            case _:
                assert_never(event)

    async def _came_online(self, held: HeldSession) -> None:
        log.info("session.logged-in", session=held.session)
        held.tries = 0
        held.logging_in = False
        held.online.set()
        self._outdated.online(held)
        self._sending.wake(held)
        if held.body.state is not State.LINKED and not held.leaving:
            await self.show(held, State.LINKED, "session.held")
        if held.due:
            await self._record.verified(held)

    async def _lost(self, held: HeldSession, event: pipe.Lost) -> None:
        if not self.holds(held):
            return
        try:
            await self._obey_loss(held, event)
        except StoreFenced:
            self._links.ownership.forget(held.session, held)
            self.drop(held)
        except (RedisError, OSError, TimeoutError) as error:  # of the store, too
            log.warning("session.loss-delayed", session=held.session, error=str(error))
            held.later(STORE_SECONDS, lambda: self._links.spawn(self._lost(held, event), "lost"))
        except BaseException:  # held again, it is told of its loss again
            self._try_later(held)
            raise

    async def _obey_loss(self, held: HeldSession, event: pipe.Lost) -> None:
        log.warning("session.lost", session=event.session, reason=event.reason.value, detail=event.detail)
        code = reasons.of_loss(event.reason, fresh=held.fresh)
        what, raw = f"session.{event.reason.value}", f"{event.reason.value} {event.detail}".strip()
        if event.reason is pipe.LostReason.OUTDATED:
            # Told once by the keeper of the version, when nothing helps.
            await self._record.trouble(held, code, what, raw, alert=False, retry_at=self._outdated.versions.next_try)
            await self._outdated.refused(held, event.library)
            return
        self._outdated.lost(held)
        match event.reason:
            case pipe.LostReason.START_FAILED | pipe.LostReason.REFUSED:
                unreachable = event.reason is pipe.LostReason.START_FAILED
                alert = held.tries == (ALERT_AT_TRY - 1 if unreachable else 0)
                said = "" if unreachable else event.detail
                await self._record.trouble(held, code, what, raw, alert=alert, said=said)
                self._try_later(held)
            case pipe.LostReason.LOGGED_OUT | pipe.LostReason.RESTRICTED:
                await self._forget(held)
                unlinked = event.reason is pipe.LostReason.LOGGED_OUT and not held.fresh
                state = State.UNLINKED if unlinked else State.FAILED
                await self._record.last(held, state, what, code, raw=raw)
            case pipe.LostReason.REPLACED if await self._is_overtaken(held):
                self._yield(held, "replaced")
            case pipe.LostReason.REPLACED | pipe.LostReason.BANNED:
                # Never fight back: the device is kept, and held no more until it is linked anew.
                if event.reason is pipe.LostReason.BANNED and event.until is not None:
                    await self._links.cooldowns.until(held.device.phone, event.until)
                await self._links.store.park(held.device, event.reason.value, self._fence(held))
                self._take_out(held)
                await self._record.last(held, State.FAILED, what, code, retry_at=event.until, raw=raw)
            case _:
                assert_never(event.reason)

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

    def _try_later(self, held: HeldSession) -> None:
        if not self.holds(held):
            return
        first, longest = RETRY_SECONDS
        pause = min(longest, first * 2 ** min(held.tries, 30))  # after a day of tries it would be too large a number
        held.tries += 1
        held.later(pause, lambda: self._links.spawn(self._try_again(held), "resume"))

    async def _try_again(self, held: HeldSession) -> None:
        if self.holds(held):
            await self._start_if_ours(held, "session.retrying")

    def _dwell(self, held: HeldSession) -> None:
        left = DWELL_SECONDS - (now_ms() - held.device.linked_at) / 1000
        held.later(max(left, 0), lambda: self._links.spawn(self._dwelt(held), "dwell"))

    async def _dwelt(self, held: HeldSession) -> None:
        held.due = True
        if self.holds(held) and held.online.is_set():
            await self._record.verified(held)

    async def _holder_died(self, sessions: list[SessionId]) -> None:
        for session in sessions:
            self._sending.cut(session)
        present = [self._held[session] for session in sessions if session in self._held]
        for held in present:
            self._suspect(held)
            held.online.clear()
        for held in present:
            if not self.holds(held):
                continue
            if held.quarantined and held.deaths > SUSPECT_DEATHS:
                self._try_later(held)  # it harms nobody but itself, and shall not keep us busy
                continue
            try:
                await self._start_if_ours(held, "holder.died")
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

    async def _log_out(self, held: HeldSession) -> None:
        held.leaving = True
        try:
            async with asyncio.timeout(UNLINK_SECONDS):
                await held.online.wait()
                held.gone.clear()  # set by an earlier connection that failed, maybe
                if await self._holders.send(held.session, pipe.LogOut(session=held.session)):
                    await held.gone.wait()
        except TimeoutError:
            log.warning("session.log-out-unanswered", session=held.session)

    async def _forget(self, held: HeldSession) -> None:
        await self._holders.release(held.session)
        try:
            await self._links.store.forget(held.device, self._fence(held))
        except StoreAway as error:
            # WhatsApp knows these keys no more: the next sweep takes the device up, is told so, and forgets it then.
            log.warning("device.not-forgotten", session=held.session, error=str(error))
        self._take_out(held)
