"""Takes sessions in: devices that were just linked, and registered devices that nobody holds."""

from collections.abc import Callable

from shared.core import phone
from shared.core.clock import now_ms
from shared.core.datum import replace
from shared.core.ids import SessionId
from shared.core.keys import DAY
from shared.core.lifecycle import DEVICE, RUNNING, State
from shared.core.protocol import Body, Method
from shared.log import log
from shared.state.lease import Lease
from shared.state.snapshots import Stored
from workers import tallies
from workers.holding import tenure as t
from workers.holding.carrying import Carrier
from workers.holding.machine import initial, refusing
from workers.holding.roster import Roster
from workers.holding.session import HeldSession, Links
from workers.holding.tenure import UNLINKING, Tenure, TenurePhase
from workers.store.device import StoredDevice, StoreFenced, Told

UNLINK_MS = DAY
"""Longest time for which a log-out is tried, while WhatsApp cannot be reached."""
CLAIMS = 50
"""Tokens tried against the store. A Redis that lost its last second is behind the store by the take-overs in it."""


class Admission:
    """Takes the leases of devices, names this worker in the store, and has the devices held.

    `most` devices are held at once, of which `reserved` are kept for attempts that are under way.
    """

    def __init__(self, links: Links, roster: Roster, carrier: Carrier, most: int, reserved: Callable[[], int]) -> None:
        self.most = most
        self._reserved = reserved
        self._links = links
        self._roster = roster
        self._carrier = carrier
        self._coming: set[SessionId] = set()  # being taken up: they have a place already

    @property
    def free(self) -> int:
        """Number of further sessions that may be held."""
        return self.most - len(self._roster.held) - len(self._coming) - self._reserved()

    async def adopt(self, lease: Lease, device: StoredDevice, body: Body, verified: tuple[str, ...]) -> None:
        """Hold a device that was just linked, under the attempt's lease. `verified`: counters for the end of the dwell."""
        tenure = Tenure(shown=State.LINKED, fresh=True)
        held = HeldSession(self._roster, lease, replace(device, told=Told.LINKED), body, tenure, verified)
        present = self._links.ownership.hand_over(device.session, held)
        if present is None:
            return  # lost meanwhile: its next owner finds the device in the store
        held.lease = present
        held.settled = False
        self._roster.held[device.session] = held
        self._carrier.dwell(held)
        # The attempt has ended well: what happens from here on is no matter of its.
        self._links.spawn(self._carrier.start(held), "start")
        self._links.spawn(self._carrier.note(held), "note")

    async def resume(self, session: SessionId) -> None:
        """Hold a registered device that nobody holds. Do nothing if somebody does, if there is none, or if it is parked
        and its time has not come: a device that was replaced never fights back."""
        device = await self._links.store.device(session)
        if device is None or (device.parked and not 0 < device.again_at <= now_ms()):
            return
        if self.free > 0:
            await self.take_up(device)

    async def unpark(self, session: SessionId) -> bool:
        """Hold a parked device again, as the operator wishes. False if whoever has parked it has not given its lease back
        yet: to be tried again."""
        device = await self._links.store.device(session)
        if device is None or not device.parked or device.parked.startswith(UNLINKING):
            return True
        if (await self._links.snapshots.read(session)).body.state in RUNNING:
            return True  # its owner links it anew
        await self.take_up(replace(device, parked=""))
        return session in self._roster.held

    async def take_up(self, device: StoredDevice) -> None:
        """Have the device held here, however little room there is. Do nothing if another worker has it."""
        session = device.session
        if session in self._roster.held or session in self._coming:
            return
        self._coming.add(session)
        try:
            held = await self._taken_up(device)
        finally:
            self._coming.discard(session)
        if held is None:
            return
        if held.tenure.fresh:
            self._carrier.dwell(held)
        if held.tenure.phase is TenurePhase.LEAVING:
            self._carrier.give_up_at(held, t.GiveUpAt(held.tenure.leave_by))
        await self._carrier.start_if_ours(held, t.StartAgain("session.resuming"))

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
        held = HeldSession(self._roster, lease, device, body, tenure, verified)
        taken = await self._links.ownership.acquire(session, held)
        if taken is None:
            return None
        held.lease = taken
        try:
            if await self._claim(held):
                if held.device.told == Told.NOTHING and not tenure.silent:
                    await self._tell_linked(held, stored)
                self._roster.held[session] = held
                return held
        except BaseException:
            await self._links.ownership.let_go(session, held)
            raise
        await self._links.ownership.let_go(session, held)
        return None

    async def _claim(self, held: HeldSession) -> bool:
        """Name this worker in the store before it connects, so that every older owner is refused there.

        A Redis that went back in time gives tokens that the store has seen: then the next one is taken. Return True if the
        device is still the same.
        """
        for _ in range(CLAIMS):
            try:
                device = await self._links.store.claim(held.session, self._links.fence(held))
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
                    await self._links.store.note(held.device, self._links.fence(held))
                return True
        return False

    async def _tell_linked(self, held: HeldSession, stored: Stored) -> None:
        """Tell of a device that was made durable by a worker that died before it could say so."""
        if stored.body.state not in DEVICE:
            region, method = phone.region_of(held.device.phone), held.body.method or Method.QR
            if not await self._links.claims.spend(await self._links.claims.subject(held.session)):
                # Its link was revoked meanwhile: what it led to must not be kept.
                held.tenure = refusing(now_ms(), UNLINK_MS)
                return
            if stored.body.state is not State.LINKING:  # somebody has ended the attempt meanwhile
                await self._roster.show(held, t.Tell(State.RECONNECTING, "session.resuming"))
            change = tallies.linked_late(held.device.view(self._links.device_name), method, region, region)
            await self._roster.write(held, change)
            held.body = change.body
        held.tenure = replace(held.tenure, shown=State.LINKED)
        held.device = replace(held.device, told=Told.LINKED)
        await self._links.store.note(held.device, self._links.fence(held))
