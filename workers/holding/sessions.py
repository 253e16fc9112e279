"""The linked sessions of this worker: what others ask of them, and what their holders say.

A session is an owner of its lease; its connection lives in a holder process. If a holder dies, another is started, and
its sessions are taken up again. If the lease is lost, the connection is closed before anything else. One file, as it is
the door of this package: everything that comes in, from jobs and from holders, comes in here.
"""

import asyncio
from collections.abc import Callable

from shared.core.clock import now_ms
from shared.core.ids import SessionId
from shared.core.lifecycle import DEVICE, State
from shared.core.protocol import Body, MessageType
from shared.log import log
from shared.state.lease import Lease
from shared.state.snapshots import Change
from shared.tasks import happens
from shared.telemetry import sentry
from workers.engine import protocol as pipe
from workers.holding import admission, carrying
from workers.holding import tenure as t
from workers.holding.admission import Admission
from workers.holding.carrying import Carrier
from workers.holding.holders import Holders
from workers.holding.inbox import incoming
from workers.holding.machine import refusing
from workers.holding.outdated import Outdated
from workers.holding.roster import Roster
from workers.holding.session import HeldSession, Links
from workers.holding.settling import Settling
from workers.holding.tenure import Sign, TenurePhase, UnlinkAsked
from workers.store.device import EXPORTED, Fence, StoredDevice
from workers.version.keeper import WebVersion

SUSPECT_DEATHS = 2
"""A session that was logging in at so many deaths of its process gets one of its own."""
MOST_ALONE = 4
"""A process takes 31 MB: should more sessions be suspected, something else is wrong."""


class Sessions:
    def __init__(
        self,
        links: Links,
        holders: Holders,
        versions: WebVersion,
        *,
        most: int,
        reserved: Callable[[], int] = lambda: 0,
    ) -> None:
        """Hold `most` sessions at once, of which `reserved` are kept for attempts that are under way."""
        self._links = links
        self._holders = holders
        self._roster = Roster(links, holders)
        self._held = self._roster.held
        self._sending = self._roster.sending
        self._outdated = Outdated(
            versions, self._roster.holds, lambda held: self._carrier.feed(held, Sign.RETRY), links.spawn
        )
        settling = Settling(holders, most, links.spawn)
        self._carrier = Carrier(links, holders, self._roster, settling, self._outdated)
        self._admission = Admission(links, self._roster, self._carrier, most, reserved)
        self.adopt, self.resume, self.unpark = self._admission.adopt, self._admission.resume, self._admission.unpark
        self.holds, self.answer = self._roster.holds, self._sending.answer
        self.try_refused = self._outdated.try_again
        holders.listen(self._hear, self._holder_died)

    @property
    def free(self) -> int:
        """Number of further sessions that may be held."""
        return self._admission.free

    def __len__(self) -> int:
        return len(self._held)

    @property
    def devices(self) -> list[StoredDevice]:
        return [held.device for held in self._held.values()]

    @property
    def outdated(self) -> int:
        """Number of sessions that wait for a version of the client that WhatsApp takes."""
        return len(self._outdated)

    def newer(self) -> None:
        """Claim a newer version in fresh processes from now on: refused sessions try again, those online stay."""
        self._holders.retire()
        self._outdated.try_again()

    # --- what others ask ----------------------------------------------------------------------------------------------

    async def refuse(self, lease: Lease, device: StoredDevice, seconds: float) -> None:
        """Log out a device that must not stay, and forget it. What is not done within so many seconds is left to whoever
        takes the device up. The attempt keeps the lease."""
        tenure = refusing(now_ms(), round(seconds * 1000))
        held = self._held[device.session] = HeldSession(self._roster, lease, device, self._links.body(device), tenure)
        self._links.spawn(self._carrier.start(held), "start")
        await happens(held.over, seconds)
        self._roster.take_out(held)
        held.let_go()
        await self._holders.release(held.session)

    async def unlink(self, session: SessionId) -> bool:
        """Have the device logged out at WhatsApp and forgotten, and `unlinked` told. An exported device is only forgotten.

        The log-out may take a day. The wish is kept beside the device, so it outlives this worker, and saying it twice does
        no harm. Return False if the session could not be taken up here, or was lost meanwhile: then it is to be tried again.
        """
        if session not in self._held:
            device = await self._links.store.device(session)
            if device is None or device.parked == EXPORTED:
                return await self._end_here(session, device)
            await self._admission.take_up(device)
        held = self._held.get(session)
        if held is None:
            return False
        return await self._carrier.feed_safely(held, UnlinkAsked(now_ms() + admission.UNLINK_MS))

    async def _end_here(self, session: SessionId, device: StoredDevice | None) -> bool:
        """Forget the device without a word to WhatsApp.

        If the snapshot still shows a device, say that there is none: else every click would be answered "linked".
        """
        believed = (await self._links.snapshots.read(session)).body.state in DEVICE
        if device is None and not believed:
            return True
        leases = self._links.ownership.leases
        lease = await leases.acquire(session, self._links.ownership.worker)
        if lease is None:
            return False
        try:
            if device is not None:
                await self._links.store.forget(device, Fence(lease.token))
            if not believed:
                return True
            body = Body(state=State.UNLINKED)
            change = Change(body, MessageType.STATUS, "session.unlinked", ending=True)
            return await self._links.snapshots.save(lease, change) is not None
        finally:
            await leases.release(lease)

    async def send(self, session: SessionId) -> None:
        """Look at the texts that wait in the session's outbox: there is a new one."""
        await self._sending.send(session, self._held.get(session))

    async def hand_over(self) -> list[tuple[str, SessionId]]:
        """Close every connection for good, and give the leases back. Return the jobs for others, with their sessions.

        Call it once more when the last attempt has ended.
        """
        # Before the first wait: nothing that runs may start any of them again.
        self._carrier.over = True
        held = list(self._held.values())
        self._held.clear()
        for one in held:
            one.let_go()
        await self._sending.finish(one.session for one in held)
        await self._holders.close()
        jobs: list[tuple[str, SessionId]] = []
        for one in held:
            # A device that is being refused is held under its attempt's lease, and is the attempt's matter.
            if self._links.ownership.owner(one.session) is one:
                await self._roster.show(one, t.Tell(State.RECONNECTING, "session.handed-over"))
                await self._links.ownership.let_go(one.session, one)
                jobs.append(("unlink" if one.tenure.phase is TenurePhase.LEAVING else "resume", one.session))
        return jobs

    # --- what holders say ---------------------------------------------------------------------------------------------

    async def _hear(self, event: pipe.FromHolder) -> None:
        if isinstance(event, pipe.Sent | pipe.SendFailed | pipe.Looked | pipe.Confirmed):
            self._sending.heard(event)
            return
        if isinstance(event, pipe.Received):
            self._links.heard(SessionId(event.session), incoming(event))
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
            held.online = False
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
        await self._carrier.feed(held, event)

    async def _lost(self, held: HeldSession, event: pipe.Lost) -> None:
        """Take the loss of a session that will not come back by itself."""
        if event.reason is pipe.LostReason.REPLACED and self.holds(held):
            try:
                overtaken = await self._is_overtaken(held)
            except OSError as error:
                log.warning("session.event-delayed", session=held.session, error=str(error))
                held.later(carrying.STORE_SECONDS, lambda: self._links.spawn(self._lost(held, event), "lost"))
                return
            if overtaken:
                self._roster.yield_up(held, "replaced")
                return
        await self._carrier.feed_safely(held, event)

    async def ask_store(self) -> None:
        """Let go of what others have taken over. Redis is away, so the device store is asked."""
        tokens = {held.session: held.device.token for held in self._held.values()}
        for session in await self._links.store.overtaken(tokens) if tokens else ():
            held = self._held.get(session)
            if held is not None and held.device.token == tokens[session]:
                self._roster.yield_up(held, "store")

    async def _is_overtaken(self, held: HeldSession) -> bool:
        """True if it was a worker of ours that replaced the session. A worker that is cut off assumes so."""
        if self._links.ownership.cut_off:
            return True
        return bool(await self._links.store.overtaken({held.session: held.device.token}))

    async def _holder_died(self, sessions: list[SessionId]) -> None:
        present = [self._held[session] for session in sessions if session in self._held]
        for session in sessions:
            self._sending.cut(session)
        for held in present:
            held.online = False
        await asyncio.gather(*map(self._restart, present))

    async def _restart(self, held: HeldSession) -> None:
        """Take a session up again whose process has died."""
        self._suspect(held)
        if held.quarantined and held.deaths > SUSPECT_DEATHS:
            self._carrier.start_later(held)  # it harms nobody but itself, and shall not keep us busy
            return
        try:
            await self._carrier.feed(held, Sign.HOLDER_DIED)
        except Exception as error:  # noqa: BLE001 - one session's trouble must not keep the others waiting
            sentry.report("holder", error, session=held.session)

    def _suspect(self, held: HeldSession) -> None:
        """Count the death of its process against a session that was logging in. After some it gets a process alone."""
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
