"""One held session, and what the sessions of a worker show: their snapshots, written under their leases."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from shared.core import keys, phone
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body, DeviceView, MessageType
from shared.state.contacts import Contacts
from shared.state.cooldowns import Cooldowns
from shared.state.lease import Lease
from shared.state.outbox import Outbox
from shared.state.snapshots import Change, Snapshots
from shared.telemetry import scrub, sentry
from shared.telemetry.metrics import ENGINE, Counter, field
from workers import reasons, tallies
from workers.holding.inbox import Inbox
from workers.ownership import Ownership, save
from workers.store.device import DeviceStore, StoredDevice

log = structlog.get_logger()

MOST_SAID = 200
"""So many characters of what WhatsApp said reach the timeline."""
SAY_AGAIN_SECONDS = 2.0
"""Between tries to save where a session stands, while Redis is away."""


class Keeper(Protocol):
    """Who holds the sessions, as one of them sees it."""

    def drop(self, held: "HeldSession") -> None:
        """Let go of a session that is no longer ours."""
        ...

    def holds(self, held: "HeldSession") -> bool:
        """Whether it is still held here."""
        ...

    async def show(self, held: "HeldSession", state: State, event: str) -> bool:
        """Save where the session stands; whether that proved that it is still ours."""
        ...

    async def restore(self, held: "HeldSession") -> None:
        """Keep again what Redis has forgotten of the session's texts."""
        ...

    def ended(self, held: "HeldSession") -> None:
        """There is no device to send by any more."""
        ...


class HeldSession:
    """One held session, an owner of its lease. `fresh`: within the dwell, during which WhatsApp drops some."""

    def __init__(self, keeper: Keeper, lease: Lease, device: StoredDevice, body: Body, *, fresh: bool) -> None:
        self.lease = lease
        self.device = device
        self.body = body
        self.fresh = fresh
        self.due = False  # the dwell is over, but the connection is away: verified when it is back
        self.verified: tuple[str, ...] = ()
        self.tries = 0
        self.settled = True  # its history has been read, as far as we know
        self.logging_in = False
        self.deaths = 0  # of its process, while it was logging in
        self.quarantined = False  # it has a process of its own
        self.trouble: FailureCode | None = None
        self.retry_at: int | None = None  # when the trouble may be over, if that is known
        self.said = ""  # what WhatsApp said to it, for the timeline
        self.timers: list[asyncio.TimerHandle] = []
        self.gone = asyncio.Event()
        self.online = asyncio.Event()
        self.leaving = False  # being logged out by us: what its connection says is no news for the page
        self._keeper = keeper

    @property
    def session(self) -> SessionId:
        """Whose device it is."""
        return self.device.session

    @property
    def outlasts_redis(self) -> bool:
        """A linked session is worth more than the certainty that nobody has taken it over."""
        return True

    def lost(self) -> None:
        """Somebody else's now: close the connection, write nothing."""
        self._keeper.drop(self)

    async def renewed(self, lease: Lease) -> None:
        """Redis lost its memory: say again where the session stands."""
        self.lease = lease
        if self._keeper.holds(self):
            await self._keeper.show(self, self.body.state, "session.retaken")
            await self._keeper.restore(self)

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Have something done then, unless the session is let go of before."""

        def fire() -> None:
            self.timers.remove(timer)
            call()

        timer = asyncio.get_running_loop().call_later(seconds, fire)
        self.timers.append(timer)

    def stop_timers(self) -> None:
        """Nothing more is to be done for it."""
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()

    def let_go(self) -> None:
        """It is held here no more. Who waits for it goes on, and finds that no holder has it."""
        self.stop_timers()
        self.online.set()
        self.gone.set()


@dataclass(frozen=True, slots=True)
class Links:
    """What sessions work with, besides their holders."""

    snapshots: Snapshots
    ownership: Ownership
    store: DeviceStore
    outbox: Outbox
    contacts: Contacts
    inbox: Inbox
    hears: Callable[[SessionId], Awaitable[bool]]
    cooldowns: Cooldowns
    spawn: Callable[[Awaitable[None], str], None]
    device_name: str

    def body(self, device: StoredDevice) -> Body:
        """What is shown of a registered device before it is connected."""
        view = DeviceView(phone=phone.masked(device.phone), name=self.device_name, linked_at=device.linked_at)
        return Body(state=State.RECONNECTING, device=view)


class SnapshotWriter:
    """Writes what held sessions show."""

    def __init__(self, links: Links, keeper: Keeper) -> None:
        self._links = links
        self._keeper = keeper

    async def show(self, held: HeldSession, state: State, event: str, counters: tuple[str, ...] = ()) -> bool:
        """Save where the session stands; whether that proved that it is still ours. If it is not, it is let go of.

        Redis may be away while the session lives on: then it is said again, until Redis hears it.
        """
        if state is State.LINKED:
            held.trouble = None
        failure = reasons.view(held.trouble, retry_at=held.retry_at) if held.trouble else None
        held.body = held.body.model_copy(update={"state": state, "failure": failure})
        kind = MessageType.WHATSAPP_CONNECTED if state is State.LINKED else MessageType.STATUS
        detail = f"{held.trouble.value}: {held.said}" if held.trouble and held.said else held.trouble or ""
        change = Change(held.body, kind, event, detail, counters)
        try:
            if self._links.ownership.cut_off:  # it would only wait, and hold up what else the holder says
                raise ConnectionError
            ours = await self._write(held, change) is not None
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("session.unsaved", session=held.session, error=type(error).__name__)
            held.later(SAY_AGAIN_SECONDS, lambda: self._links.spawn(self._show_again(held, event), "show"))
            return False
        if not ours:
            self._keeper.drop(held)
        return ours

    async def trouble(
        self,
        held: HeldSession,
        code: FailureCode,
        event: str,
        raw: str,
        *,
        alert: bool,
        retry_at: int | None = None,
        said: str = "",
    ) -> None:
        """It cannot be connected for now: say why, and count each trouble once."""
        news = held.trouble is not code
        held.trouble, held.retry_at, held.said = code, retry_at, scrub.text(said)[:MOST_SAID]
        region = phone.region_of(held.device.phone)
        counted = (tallies.failed(code, region),) if news else ()
        if await self.show(held, State.RECONNECTING, event, counted) and alert:
            sentry.ending("session", code, session=held.session, raw=raw, phone=held.device.phone)

    async def verified(self, held: HeldSession) -> None:
        """The device has outlived the dwell. Said once; while Redis is away, again."""
        if not held.fresh:
            return
        held.fresh = held.due = False
        change = Change(held.body, MessageType.STATUS, "session.verified", "", held.verified)
        try:
            await self._write(held, change)
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("session.unsaved", session=held.session, error=type(error).__name__)
            held.fresh = held.due = True
            held.later(SAY_AGAIN_SECONDS, lambda: self._links.spawn(self._verified_again(held), "verified"))

    async def last(
        self,
        held: HeldSession,
        state: State,
        event: str,
        code: FailureCode | None = None,
        *,
        retry_at: int | None = None,
        raw: str = "",
    ) -> None:
        """The session is held no more: say so, and give the lease back. Redis may be away: then it is said again for
        as long as the lease is ours, since nobody else knows how the session has ended."""
        held.stop_timers()
        region = phone.region_of(held.device.phone)
        counters: list[str] = []
        if code is not None:
            counters.append(tallies.failed(code, region))
        if code is FailureCode.DROPPED_AFTER_LINKING:
            counters.append(field(Counter.DROPPED))
        failure = reasons.view(code, retry_at=retry_at) if code else None
        change = Change(
            Body(state=state, failure=failure), MessageType.STATUS, event, code or "", tuple(counters), ending=True
        )
        saved = await self._save(held, change)
        log.info(
            "session.ended",
            session=held.session,
            state=state.value,
            why=event,
            failure=code.value if code else None,
            raw=raw or None,
            region=region,
            fresh=held.fresh,
            days=round((now_ms() - held.device.linked_at) / keys.DAY, 1),
            engine=ENGINE,
        )
        if code is not None and saved is not None:
            sentry.ending("session", code, session=held.session, raw=raw or event, phone=held.device.phone)
        await self._links.ownership.let_go(held.session, held)
        self._keeper.ended(held)

    async def _save(self, held: HeldSession, change: Change) -> int | None:
        while self._links.ownership.owner(held.session) is held:
            try:
                return await self._write(held, change)
            except (RedisError, OSError, TimeoutError) as error:
                log.warning("session.unsaved", session=held.session, error=type(error).__name__)
                await asyncio.sleep(SAY_AGAIN_SECONDS)
        return None

    async def _write(self, held: HeldSession, change: Change) -> int | None:
        return await save(self._links.snapshots, self._links.ownership, held.lease, change)

    async def _show_again(self, held: HeldSession, event: str) -> None:
        if self._keeper.holds(held):
            await self.show(held, held.body.state, event)

    async def _verified_again(self, held: HeldSession) -> None:
        if self._keeper.holds(held) and held.online.is_set():  # else it is said when it is back
            await self.verified(held)
