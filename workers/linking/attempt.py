"""One attempt to link: feeds the machine (workers/linking/machine.py) and carries out what it decides.

Whatever happens, an attempt ends: with a device handed over to be held, or with a failure code. Its linker process
never outlives it. Times (workers/linking/limits.py): the QRs live 160 s, the attempt 180 s, the sweep comes at 200 s: ours
always fires first. One file, as it is one list: each effect of the machine has its method here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from shared.core import phone
from shared.core.clock import now_ms
from shared.core.datum import Datum, asdict, field
from shared.core.failures import FailureCode
from shared.core.ids import SessionId
from shared.core.protocol import Body, MessageType, Method
from shared.log import log
from shared.state.claims import REVOKED, Claims
from shared.state.cooldowns import Asker, Cooldowns, Whose
from shared.state.lease import Lease
from shared.state.snapshots import Snapshots
from shared.state.switches import Switches
from shared.tasks import outlived
from shared.telemetry import sentry
from workers.engine import protocol as pipe
from workers.engine.pool import LinkerPool
from workers.engine.processes import EngineFailed, WrongMessage
from workers.linking import course as c
from workers.linking.connection import Heard, LinkerConnection
from workers.linking.course import AttemptAnswer, AttemptEvent, Course, Order, Phase
from workers.linking.limits import AttemptLimits
from workers.linking.machine import step
from workers.linking.page import Page, Stopped
from workers.ownership import Ownership
from workers.rules import kind_of
from workers.store.device import EXPORTED, DeviceStore, Fence, StoreAway, StoredDevice, StoreFenced
from workers.version.keeper import WebVersion

__all__ = ["Attempt", "Order", "Parts"]

REFUSE_SECONDS = 30.0
"""Longest log-out of a device that must not stay."""
OLD_SECONDS = 8.0
"""Longest log-out of a device that nobody will hold, such as the session's earlier one: the owner waits meanwhile."""
_STRANGER = frozenset({Whose.COMPANY, Whose.ADDRESS})


class Parts(Datum):
    """Tools of every attempt of a worker."""

    claims: Claims
    cooldowns: Cooldowns
    snapshots: Snapshots
    ownership: Ownership
    store: DeviceStore
    device_name: str
    linkers: LinkerPool
    adopt: Callable[[Lease, StoredDevice, Body, tuple[str, ...]], Awaitable[None]]
    refuse: Callable[[Lease, StoredDevice, float], Awaitable[None]]
    restart: Callable[[SessionId, Method], Awaitable[object]]
    unlink: Callable[[SessionId], Awaitable[None]]
    switches: Switches
    versions: WebVersion
    limits: AttemptLimits = field(default_factory=AttemptLimits)


class Attempt:
    """One attempt, an owner of its session's lease."""

    outlasts_redis = False
    """Without Redis an attempt can show nothing, and another worker begins anew."""

    def __init__(self, parts: Parts, session: SessionId, *, first: int, room: bool = True) -> None:
        """`first`: its number when this worker took it; it grows when the attempt begins anew here. `room`: whether there
        is a place to hold what it links; if not, its owner is told before he scans."""
        self._parts = parts
        self._session = session
        self._first = first
        self._room = room
        self._course = Course(parts.limits, parts.device_name)
        self._page = Page(parts.snapshots, parts.ownership, session)
        self._inbox: asyncio.Queue[tuple[LinkerConnection, Heard] | Order] = asyncio.Queue()
        self._connection: LinkerConnection | None = None
        self._asker: Asker | None = None  # whose code is claimed
        self._carry: dict[object, Callable[[Any], Awaitable[AttemptAnswer | None] | None]] = {
            c.Dial: self._dial,
            c.HangUp: self.hang_up,
            c.Learn: self._learn,
            c.Advance: self._advance,
            c.Show: lambda effect: self._page.show(self._course.body, effect),
            c.End: self._end,
            c.ClaimCode: self._claim_code,
            c.AskCode: self._ask_code,
            c.BookRefusal: self._book_refusal,
            c.Deed.FORGET_PHONE: lambda _: parts.claims.forget_phone(session),
            c.AlertNoCode: lambda one: sentry.no_code(one.code, session=session, phone=one.phone, raw=one.raw),
            c.ReportDeath: lambda effect: sentry.engine_died(
                "linker", **asdict(effect.exited), session=session, method=self._course.method
            ),
            c.Deed.JUDGE: self._judge,
            c.Adopt: self._adopt,
            c.Deed.SPEND_LINK: self._spend,
            c.LogOutDevice: self._log_out,
            c.HoldLinked: lambda effect: parts.adopt(self._page.lease, effect.device, effect.body, effect.verified),
            c.CoolPhone: lambda effect: parts.cooldowns.until(effect.phone, effect.until),
            c.SeekNewer: self._seek_newer,
            c.Deed.GIVE_LEASE_BACK: lambda _: parts.ownership.release(self._page.lease),
            c.Restart: self._restart,
            c.Deed.UNLINK_AGAIN: lambda _: parts.unlink(session),
        }

    def order(self, order: Order, attempt: int | None = None) -> None:
        """Ask something of the attempt; it is obeyed in turn. What was asked of an older `attempt` is dropped: it came
        late, and the page has gone on."""
        if attempt is None or attempt >= self._first:
            self._inbox.put_nowait(order)

    def lost(self) -> None:
        """Kill the linker now, whatever the driver waits for: the lease is lost. A device that its phone lists already is
        logged out by the driver."""
        if self._connection is not None and not self._course.jid:
            self._connection.kill()
        self.order(Order.LOST)

    async def renewed(self, lease: Lease) -> None:
        """Go on under the new number, as Redis has lost its memory."""
        self._page.lease = lease
        await self._parts.claims.reclaim(lease, self._course.subject)
        with suppress(Stopped):  # the driver learns it by itself
            await self._page.show(self._course.body, c.Show(MessageType.STATUS, "attempt.retaken"))

    async def dial_ahead(self) -> None:
        """Have a warm linker connect, if there is one and it may: before the lease is had. Nothing is shown before that."""
        if self._parts.linkers.is_warm and self._refused is None:
            with suppress(EngineFailed):  # the attempt tries it again, and tells
                await self._connect(self._first)

    async def run(self, lease: Lease) -> None:
        """Drive the attempt to its end. Raises nothing but cancellation: a bug ends the attempt, not the worker."""
        self._page.lease = lease
        try:
            await self._happen(self._began())
            while self._course.phase is not Phase.OVER:
                await self._happen(await self._next())
        except (Stopped, StoreFenced):
            await self._happen(Order.LOST)  # by a write, before the heartbeat
        except Exception as error:  # noqa: BLE001 - the attempt's own border
            course = self._course
            sentry.report("linking", error, session=self._session, method=course.method, phone=course.subject.phone)
            try:
                await self._happen(c.Broke(type(error).__name__))
            except Exception as second:  # noqa: BLE001 - Redis is away as well, or the lease: the sweep will end it
                log.warning("attempt.unended", session=self._session, error=type(second).__name__)
        finally:
            await self.hang_up()

    async def _happen(self, happening: AttemptEvent) -> None:
        """One event, and all that comes of it: an effect's answer is heard before the next effect."""
        self._course, effects = step(self._course, happening, now_ms())
        for effect in effects:
            work = self._carry[kind_of(effect)](effect)
            if work is not None and (answer := await work) is not None:
                await self._happen(answer)

    async def _next(self) -> AttemptEvent:
        while True:
            try:
                async with asyncio.timeout((self._course.deadline - now_ms()) / 1000):
                    item = await self._inbox.get()
            except TimeoutError:
                return c.Turning.TIME_IS_UP
            if isinstance(item, Order):
                return item
            connection, event = item
            if connection is not self._connection:
                continue
            if isinstance(event, WrongMessage):
                raise event
            if isinstance(event, pipe.Qr) and event.number == 1:
                self._parts.versions.accepted(connection.library)
            return event

    # --- carrying effects out -----------------------------------------------------------------------------------------

    def _began(self) -> c.Began:
        return c.Began(self._connection is not None or self._parts.linkers.is_warm, self._refused)

    @property
    def _refused(self) -> FailureCode | None:
        if not self._room:
            return FailureCode.NO_ROOM
        return FailureCode.PAUSED if self._parts.switches.board.paused else None

    async def _dial(self, effect: c.Dial) -> None:
        if effect.jid or self._connection is None:  # not dialled ahead
            await self._connect(self._page.lease.token, effect.jid)

    async def _connect(self, attempt: int, jid: str = "", *, log_out: bool = False) -> None:
        linker, dead = await self._parts.linkers.take(), self._connection
        if dead is None:
            scratch = self._parts.store.scratch.path(self._session, attempt)
        else:
            scratch = dead.scratch
            log.warning("attempt.revived", session=self._session, attempt=attempt, log_out=log_out)
            await dead.close(keep=True)
        self._connection = LinkerConnection(linker, scratch, lambda *heard: self._inbox.put_nowait(heard))
        await self._connection.send(pipe.Start(database=scratch, jid=jid, log_out=log_out))
        log.info("attempt.connecting", session=self._session, attempt=attempt, linker=linker.pid)

    async def hang_up(self, effect: c.HangUp | None = None) -> None:
        """Leave nothing of a connection, nor the phone's code taken. Idempotent."""
        if self._connection is not None:
            with suppress(EngineFailed, OSError, TimeoutError):
                if effect is not None and effect.jid:
                    async with asyncio.timeout(OLD_SECONDS):
                        await self._connect(self._page.lease.token, effect.jid, log_out=True)
                        await asyncio.wait({self._connection.listening})
            await self._connection.close()
            self._connection = None
        with outlived("code.kept", session=self._session):  # it lapses by itself
            await self._give_code_back()

    async def _learn(self, effect: c.Learn) -> c.Learned:
        subject = await self._parts.claims.subject(self._session)
        asked = await self._parts.snapshots.read(self._session) if effect.whole else None
        return c.Learned(subject, asked.body.method if asked else None)

    async def _advance(self, effect: c.Advance) -> c.Began:
        lease = await self._parts.ownership.advance(self._page.lease)
        if lease is None:
            raise Stopped
        self._page.lease = lease
        log.info("attempt.again", session=self._session, why=effect.why)
        return self._began()

    async def _end(self, effect: c.End) -> None:
        course = self._course
        await self._page.end(course, effect)
        if effect.alert and effect.body.failure is not None:
            sentry.ending(
                "linking",
                effect.body.failure.code,
                session=self._session,
                method=course.method,
                phone=course.subject.phone,
                raw=effect.raw,
            )

    async def _claim_code(self, effect: c.ClaimCode) -> c.CodeClaimed | c.CodeDenied:
        if self._parts.switches.board.codes_blocked(phone.region_of(effect.phone)):
            return c.CodeDenied(FailureCode.CODE_NOT_AVAILABLE)
        asker = Asker(effect.phone, self._session, self._course.subject.address)
        if (other := await self._held_elsewhere(effect.phone)) is not None:
            log.warning("code.linked-elsewhere", session=self._session, other=other)
            # The asker about many numbers has to wait. The phone's owner, who has done nothing, does not.
            await self._parts.cooldowns.refused(asker, of=_STRANGER)
            return c.CodeDenied(FailureCode.LINKED_ELSEWHERE, other=other)
        taken_until = await self._parts.cooldowns.take_code(asker, max(effect.dies - now_ms(), 1))
        if taken_until is not None:
            log.warning("code.taken", session=self._session)
            return c.CodeDenied(FailureCode.IN_PROGRESS, taken_until)
        self._asker = asker
        return c.CodeClaimed(asker)

    async def _held_elsewhere(self, number: str) -> SessionId | None:
        """Another session that holds a device of this phone: a code may cost it that device. None as well if the store is
        away, since a code harms nobody for certain."""
        try:
            devices = await self._parts.store.held_as(phone.variants(number))
        except StoreAway:
            log.warning("code.unchecked", session=self._session)
            return None
        return next((device.session for device in devices if device.session != self._session), None)

    async def _give_code_back(self) -> None:
        asker, self._asker = self._asker, None
        if asker is not None:
            await self._parts.cooldowns.give_code_back(asker)

    async def _ask_code(self, effect: c.AskCode) -> None:
        if self._connection is not None:
            await self._connection.send(pipe.RequestCode(phone=effect.phone))

    async def _book_refusal(self, effect: c.BookRefusal) -> c.CodeDenied:
        log.warning("code.refused", session=self._session, raw=effect.raw, failure=effect.why.code.value)
        retry_at = await self._parts.cooldowns.refused(effect.asker) if effect.why.throttle else None
        await self._give_code_back()
        return c.CodeDenied(effect.why.code, retry_at, effect.raw)

    async def _judge(self, _: c.Deed) -> c.Judged:
        known = await self._parts.claims.subject(self._session)  # a link may have joined that expects a phone
        (standing,) = await self._parts.claims.standings(self._course.subject.link)
        return c.Judged(standing == REVOKED, known.expected)

    async def _adopt(self, effect: c.Adopt) -> c.Adopted:
        assert self._connection is not None, "it has spoken"  # noqa: S101
        await self._log_old_out(effect.jid)
        fence = Fence(self._page.lease.token, lambda: self._parts.ownership.owner(self._session) is self)
        device = await self._parts.store.adopt(
            self._session, self._connection.scratch, effect.jid, effect.linked_at, fence, parked=effect.parked
        )
        return c.Adopted(device)

    async def _log_old_out(self, jid: str) -> None:
        """A device of before that was parked would stay on its phone for ever: its keys are about to be replaced. One that
        was exported lives on in another client."""
        with suppress(OSError):  # the store is away: to keep the new one is what matters
            old = await self._parts.store.device(self._session)
            if old is None or old.parked == EXPORTED or old.jid == jid or not await self._parts.store.holds(old):
                return
            log.info("device.replaced", session=self._session, parked=old.parked)
            await self._parts.refuse(self._page.lease, old, OLD_SECONDS)

    async def _spend(self, _: c.Deed) -> c.Turning:
        spent = await self._parts.claims.spend(self._course.subject)
        return c.Turning.LINK_SPENT if spent else c.Turning.LINK_REVOKED

    async def _log_out(self, effect: c.LogOutDevice) -> c.Turning:
        await self._parts.refuse(self._page.lease, effect.device, REFUSE_SECONDS)
        return c.Turning.LOGGED_OUT

    async def _restart(self, effect: c.Restart) -> None:
        await self._parts.restart(self._session, effect.method)

    async def _seek_newer(self, effect: c.SeekNewer) -> c.NewerSought:
        versions, is_there = self._parts.versions, False
        assert self._connection is not None, "it has spoken"  # noqa: S101
        with suppress(TimeoutError):
            async with asyncio.timeout(self._course.limits.newer / 1000):
                is_there = await versions.refused(self._connection.library)
        return c.NewerSought(is_there, versions.next_try, effect.raw)
