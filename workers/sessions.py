"""The linked sessions that this worker holds: taken up, kept, told about, given back.

A session is an owner of its lease; its connection lives in a holder process. When a holder dies, another is started
and its sessions are taken up again; when the lease is lost, the connection is closed before anything else.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import assert_never

import structlog
from redis.exceptions import RedisError

from shared import keys, phone, sentry
from shared.clock import now_ms
from shared.failures import FailureCode
from shared.ids import SessionId
from shared.lease import Lease
from shared.lifecycle import State
from shared.messages import Outbox
from shared.metrics import ENGINE, Counter, field
from shared.protocol import Body, Device, MessageType
from shared.snapshots import Change, Snapshots
from workers import reasons, tallies
from workers.engine import protocol as pipe
from workers.holders import Holders
from workers.ownership import Ownership
from workers.store import Device as StoredDevice
from workers.store import DeviceStore, StoreAway

log = structlog.get_logger()

DWELL_SECONDS = 60.0
"""A fresh device that is still there after this long is verified; WhatsApp drops some after 10-15 s."""
RETRY_SECONDS = (2.0, 60.0)
"""Pauses between tries to take a session up: the first, doubled each time, and the longest."""
UNLINK_SECONDS = 30.0
SEND_SECONDS = 120.0
"""How long a text waits for its session to come online."""


class Held:
    """One held session."""

    def __init__(self, parts: "Sessions", lease: Lease, device: StoredDevice, body: Body, *, fresh: bool) -> None:
        self.lease = lease
        self.device = device
        self.body = body
        self.fresh = fresh
        self.tries = 0
        self.verified: tuple[str, ...] = ()
        self.timer: asyncio.TimerHandle | None = None
        self.gone = asyncio.Event()
        self.online = asyncio.Event()
        self.leaving = False  # being logged out by us: what its connection says is no news for the page
        self._parts = parts

    def lost(self) -> None:
        """Somebody else's now: close the connection, write nothing."""
        self._parts.drop(self)

    async def renewed(self, lease: Lease) -> None:
        """Redis lost its memory: say again where the session stands."""
        self.lease = lease
        await self._parts.show(self, self.body.state, "session.retaken")


@dataclass(frozen=True, slots=True)
class Links:
    """What sessions work with, besides their holders."""

    snapshots: Snapshots
    ownership: Ownership
    store: DeviceStore
    outbox: Outbox
    spawn: Callable[[Awaitable[None], str], None]
    device_name: str


class Sessions:
    """Everything that this worker holds."""

    def __init__(self, links: Links, holders: Holders, *, most: int) -> None:
        self._links = links
        self._holders = holders
        self._most = most
        self._held: dict[SessionId, Held] = {}
        holders.listen(self._hear, self._holder_died)

    @property
    def free(self) -> int:
        """How many more sessions may be held."""
        return self._most - len(self._held)

    def __len__(self) -> int:
        return len(self._held)

    # --- taking up ----------------------------------------------------------------------------------------------------

    async def adopt(self, lease: Lease, device: StoredDevice, body: Body, verified: tuple[str, ...]) -> None:
        """Hold a device that was linked a moment ago, under the attempt's own lease. `verified`: what is counted when
        it has outlived the dwell."""
        held = Held(self, lease, device, body, fresh=True)
        held.verified = verified
        self._links.ownership.hand_over(lease, held)
        self._held[device.session] = held
        await self._start(held)
        held.timer = asyncio.get_running_loop().call_later(
            DWELL_SECONDS, lambda: self._links.spawn(self._verified(held), "dwell")
        )

    async def resume(self, session: SessionId) -> None:
        """Hold a registered device that nobody holds; nothing happens when somebody does, or when there is none."""
        if session in self._held or self.free <= 0:
            return
        device = await self._links.store.device(session)
        if device is None:
            return
        held = Held(
            self, Lease(session, self._links.ownership.worker, 0), device, _body(self._links, device), fresh=False
        )
        lease = await self._links.ownership.acquire(session, held)
        if lease is None:
            return
        held.lease = lease
        self._held[session] = held
        await self._start_if_ours(held, "session.resuming")

    async def refuse(self, lease: Lease, device: StoredDevice) -> None:
        """Log a device out that must not be kept, and forget it; the lease stays the attempt's."""
        held = Held(self, lease, device, _body(self._links, device), fresh=False)
        held.leaving = True
        self._held[device.session] = held
        await self._start(held)
        await self._log_out(held)
        await self._forget(held)

    async def unlink(self, session: SessionId) -> None:
        """Log out at WhatsApp, forget the device, say `unlinked`. Idempotent."""
        if session not in self._held:
            await self.resume(session)
        held = self._held.get(session)
        if held is None:
            return
        await self._log_out(held)
        await self._forget(held)
        await self._last(held, State.UNLINKED, "session.unlinked")

    async def send(self, session: SessionId, message_id: str) -> None:
        """Send a text that waits in the outbox, through the session, once that is online."""
        held = self._held.get(session)
        if held is None:
            log.warning("message.undeliverable", session=session, message=message_id, why="not held here")
            return
        self._links.spawn(self._send(held, message_id), "send")

    async def _send(self, held: Held, message_id: str) -> None:
        session = held.device.session
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await held.online.wait()
        except TimeoutError:
            log.warning("message.undeliverable", session=session, message=message_id, why="not online")
            return
        message = await self._links.outbox.take(session, message_id)
        if message is None:
            log.warning("message.undeliverable", session=session, message=message_id, why="taken or too old")
            return
        await self._holders.send(
            session, pipe.Send(session=session, message=message_id, to=message.to, text=message.text)
        )

    async def hand_over(self) -> list[SessionId]:
        """Close every connection, then give the leases back; the sessions that somebody else shall hold."""
        held = list(self._held.values())
        await self._holders.close()
        for one in held:
            if one.timer is not None:
                one.timer.cancel()
            await self.show(one, State.RECONNECTING, "session.handed-over")
            await self._links.ownership.release(one.lease)
        self._held.clear()
        return [one.device.session for one in held]

    # --- one session's turns ------------------------------------------------------------------------------------------

    async def _start(self, held: Held) -> None:
        device = held.device
        # A start against a device that is not in its database aborts the whole process, so look first.
        try:
            there = await self._links.store.holds(device)
        except StoreAway as error:
            log.warning("session.start-delayed", session=device.session, error=str(error))
            self._try_later(held)
            return
        if not there:
            log.error("device.missing", session=device.session)
            await self._forget(held)
            await self._last(held, State.UNLINKED, "device.missing", FailureCode.LOGGED_OUT)
            return
        await self._holders.hold(pipe.Hold(session=device.session, database=device.database, jid=device.jid))

    async def _hear(self, event: pipe.FromHolder) -> None:
        if isinstance(event, pipe.Ready | pipe.Probed):
            return
        held = self._held.get(SessionId(event.session))
        if held is None:
            return
        match event:
            case pipe.Held() | pipe.Restored():
                log.info("session.logged-in", session=event.session)
                held.tries = 0
                held.online.set()
                if held.body.state is not State.LINKED and not held.leaving:
                    await self.show(held, State.LINKED, "session.held")
            case pipe.Dropped():
                held.online.clear()
                await self.show(held, State.RECONNECTING, "session.dropped")
            case pipe.Lost():
                await self._lost(held, event)
            case pipe.Released():
                held.gone.set()
            case pipe.Sent(message=message):
                log.info("message.sent", session=event.session, message=message)
            case pipe.SendFailed(message=message, reason=reason):
                log.warning("message.failed", session=event.session, message=message, reason=reason)
            case _:
                assert_never(event)

    async def _lost(self, held: Held, event: pipe.Lost) -> None:
        held.gone.set()
        held.online.clear()
        if held.leaving:
            return
        log.warning("session.lost", session=event.session, reason=event.reason.value, detail=event.detail)
        code = reasons.of_loss(event.reason)
        match event.reason:
            case pipe.LostReason.START_FAILED | pipe.LostReason.REFUSED | pipe.LostReason.OUTDATED:
                self._try_later(held)
            case pipe.LostReason.LOGGED_OUT | pipe.LostReason.MAIN_DEVICE_GONE:
                await self._forget(held)
                if held.fresh:
                    code = FailureCode.DROPPED_AFTER_LINKING
                state = State.FAILED if held.fresh else State.UNLINKED
                await self._last(held, state, "session.logged-out", code)
            case pipe.LostReason.REPLACED | pipe.LostReason.BANNED:
                # Never fight back: the device is kept, and held no more until it is linked anew.
                await self._links.store.park(held.device.session, event.reason.value)
                await self._last(held, State.FAILED, f"session.{event.reason.value}", code, event.until)
            case _:
                assert_never(event.reason)

    def _try_later(self, held: Held) -> None:
        first, longest = RETRY_SECONDS
        pause = min(longest, first * 2**held.tries)
        held.tries += 1
        loop = asyncio.get_running_loop()
        held.timer = loop.call_later(pause, lambda: self._links.spawn(self._try_again(held), "resume"))

    async def _try_again(self, held: Held) -> None:
        if self._held.get(held.device.session) is held:
            await self._start_if_ours(held, "session.retrying")

    async def _verified(self, held: Held) -> None:
        if self._held.get(held.device.session) is held and held.fresh:
            held.fresh = False
            change = Change(held.body, MessageType.STATUS, "session.verified", "", held.verified)
            await self._links.snapshots.save(held.lease, change)

    async def _holder_died(self, sessions: list[SessionId]) -> None:
        for session in sessions:
            held = self._held.get(session)
            if held is not None:
                held.online.clear()
                await self._start_if_ours(held, "holder.died")

    async def _start_if_ours(self, held: Held, event: str) -> None:
        """Start only after a fenced write: a worker that slept past its lease must not take its sessions up again."""
        if await self.show(held, State.RECONNECTING, event):
            await self._start(held)
        elif self._held.get(held.device.session) is held:
            self._try_later(held)

    def drop(self, held: Held) -> None:
        """Let go of a session that is no longer ours."""
        session = held.device.session
        if self._held.get(session) is held:
            del self._held[session]
        if held.timer is not None:
            held.timer.cancel()
        self._links.spawn(self._holders.release(session), "release")

    # --- writing ------------------------------------------------------------------------------------------------------

    async def show(self, held: Held, state: State, event: str) -> bool:
        """Save where the session stands; whether that proved that it is still ours. If it is not, it is let go of.

        Redis may be away while the session lives on: then it is said again, until Redis hears it.
        """
        held.body = held.body.model_copy(update={"state": state, "failure": None})
        kind = MessageType.WHATSAPP_CONNECTED if state is State.LINKED else MessageType.STATUS
        try:
            ours = await self._links.snapshots.save(held.lease, Change(held.body, kind, event)) is not None
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("session.unsaved", session=held.device.session, error=type(error).__name__)
            loop = asyncio.get_running_loop()
            loop.call_later(RETRY_SECONDS[0], lambda: self._links.spawn(self._show_again(held, event), "show"))
            return False
        if not ours:
            self.drop(held)
        return ours

    async def _show_again(self, held: Held, event: str) -> None:
        if self._held.get(held.device.session) is held:
            await self.show(held, held.body.state, event)

    async def _last(
        self, held: Held, state: State, event: str, code: FailureCode | None = None, retry_at: int | None = None
    ) -> None:
        """The session is held no more: say so, and give the lease back."""
        if held.timer is not None:
            held.timer.cancel()
        self._held.pop(held.device.session, None)
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
        saved = await self._links.snapshots.save(held.lease, change)
        log.info(
            "session.ended",
            session=held.device.session,
            state=state.value,
            why=event,
            failure=code.value if code else None,
            region=region,
            fresh=held.fresh,
            days=round((now_ms() - held.device.linked_at) / keys.DAY, 1),
            engine=ENGINE,
        )
        if code is not None and saved is not None:
            sentry.ending("session", code, session=held.device.session, raw=event, phone=held.device.phone)
        await self._links.ownership.release(held.lease)

    async def _log_out(self, held: Held) -> None:
        held.leaving = True
        try:
            async with asyncio.timeout(UNLINK_SECONDS):
                await held.online.wait()
                await self._holders.send(held.device.session, pipe.LogOut(session=held.device.session))
                await held.gone.wait()
        except TimeoutError:
            log.warning("session.log-out-unanswered", session=held.device.session)

    async def _forget(self, held: Held) -> None:
        session = held.device.session
        await self._holders.release(session)
        await self._links.store.forget(session)
        self._held.pop(session, None)


def _body(links: Links, device: StoredDevice) -> Body:
    view = Device(phone=phone.masked(device.phone), name=links.device_name, linked_at=device.linked_at)
    return Body(state=State.RECONNECTING, device=view)
