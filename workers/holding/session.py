"""One held session, and the tools that held sessions share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shared.core.datum import Datum
from shared.core.events import IncomingMessage
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body
from shared.state.claims import Claims
from shared.state.contacts import Contacts
from shared.state.cooldowns import Cooldowns
from shared.state.lease import Lease
from shared.state.outbox import Outbox
from shared.state.snapshots import Snapshots
from shared.tasks import Spawn
from workers.holding.tenure import Tenure
from workers.media import MediaHost
from workers.ownership import Ownership
from workers.store.device import DeviceStore, Fence, StoredDevice

if TYPE_CHECKING:
    from workers.holding.roster import Roster


@dataclass(eq=False)
class HeldSession:
    """One held session, an owner of its lease.

    `verified`: counters that rise when the session has outlived the dwell. `settled`: its history has been read, as far as
    we know. `deaths`: deaths of its process while it was `logging_in`; after some it is `quarantined`, that is, has a
    process of its own. `inbound`: incoming messages are told to the webhook.
    """

    roster: "Roster"
    lease: Lease
    device: StoredDevice
    body: Body
    tenure: Tenure
    verified: tuple[str, ...] = ()
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    online: bool = False  # texts may be sent
    over: asyncio.Event = field(default_factory=asyncio.Event)  # held here no more
    saying: asyncio.Lock = field(default_factory=asyncio.Lock)  # one write of where it stands at a time
    log_outs: int = 0  # how often WhatsApp was asked
    settled: bool = True
    logging_in: bool = False
    deaths: int = 0
    quarantined: bool = False
    inbound: bool = False

    outlasts_redis = True
    """A linked session is worth more than the certainty that nobody has taken it over."""

    @property
    def session(self) -> SessionId:
        return self.device.session

    def lost(self) -> None:
        """Close the connection, and write nothing: the session is somebody else's now."""
        self.roster.drop(self)

    async def renewed(self, lease: Lease) -> None:
        """Say again where the session stands, as Redis has lost its memory."""
        self.lease = lease
        if self.roster.holds(self):
            await self.roster.retaken(self)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something done then, unless the session is let go of before."""

        def fire() -> None:
            self.timers.remove(timer)
            call()

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self.timers.append(timer)

    def stop_timers(self) -> None:
        """Drop whatever was to be done later."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()

    def let_go(self) -> None:
        """Hold the session no more."""
        self.stop_timers()
        self.over.set()


class Links(Datum):
    """Tools of the sessions. `offer(session, at)` has any worker look at a session at that time (ms since the epoch)."""

    claims: Claims
    cooldowns: Cooldowns
    snapshots: Snapshots
    ownership: Ownership
    store: DeviceStore
    device_name: str
    outbox: Outbox
    contacts: Contacts
    heard: Callable[[SessionId, IncomingMessage], None]
    hears: Callable[[SessionId], Awaitable[bool]]
    media: MediaHost
    offer: Callable[[SessionId, int], Awaitable[None]]
    spawn: Spawn

    def fence(self, held: HeldSession) -> Fence:
        """The right to write to the store about a session, for as long as its lease is ours."""
        return Fence(held.lease.token, lambda: self.ownership.owner(held.session) is not None)

    def body(self, device: StoredDevice) -> Body:
        """Body of a registered device before it is connected."""
        return Body(state=State.RECONNECTING, device=device.view(self.device_name))
