"""One attempt to link: drives a linker process by the lifecycle table, and shows every step as a snapshot.

Whatever happens, an attempt ends: with a device handed over to be held, or with a failure code. Its linker process
never outlives it. Times (workers/linking/limits.py): the QRs live 160 s, the attempt 180 s, the sweep comes at 200 s: ours
always fires first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import NoReturn, assert_never

import structlog
from redis.exceptions import RedisError

from shared.core import phone
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.ids import SessionId
from shared.core.lifecycle import State
from shared.core.protocol import Body, DeviceView, Hint, MessageType, Method
from shared.state.claims import REVOKED, Claims
from shared.state.cooldowns import Cooldowns
from shared.state.lease import Lease
from shared.state.snapshots import Snapshots
from shared.state.switches import Switches
from shared.telemetry import sentry
from workers import reasons, tallies
from workers.engine import protocol as pipe
from workers.engine.pool import LinkerPool
from workers.engine.processes import EngineFailed, Exited, Linker, WrongMessage
from workers.linking.codes import Codes
from workers.linking.connection import Heard, LinkerConnection
from workers.linking.limits import AttemptLimits
from workers.linking.page import Page, Stopped
from workers.linking.rotation import Rotation
from workers.ownership import Ownership
from workers.reasons import Verdict
from workers.store.device import DeviceStore, Fence, StoredDevice, StoreFenced

log = structlog.get_logger()


class Order(Enum):
    """What others may ask of a running attempt."""

    CODE = auto()
    CANCEL = auto()
    HAND_OVER = auto()  # this worker stops: another shall begin anew
    LOST = auto()  # the lease is gone: stop, write nothing


@dataclass(frozen=True, slots=True)
class Parts:
    """What every attempt of a worker works with."""

    claims: Claims
    cooldowns: Cooldowns
    snapshots: Snapshots
    ownership: Ownership
    linkers: LinkerPool
    store: DeviceStore
    adopt: Callable[[Lease, StoredDevice, Body, tuple[str, ...]], Awaitable[None]]
    refuse: Callable[[Lease, StoredDevice], Awaitable[None]]
    restart: Callable[[SessionId, Method], Awaitable[None]]
    device_name: str
    switches: Switches
    limits: AttemptLimits = field(default_factory=AttemptLimits)


class Attempt:
    """One attempt, an owner of its session's lease."""

    def __init__(self, parts: Parts, session: SessionId, *, first: int) -> None:
        """`first`: its number when this worker took it; it grows when the attempt begins anew here."""
        self._parts = parts
        self._session = session
        self._first = first
        self._limits = parts.limits
        self._page = Page(parts.snapshots, parts.ownership, session)
        self._codes = Codes(self._page, parts.claims, parts.cooldowns, parts.switches, parts.limits)
        self._rotation = Rotation()
        self._inbox: asyncio.Queue[tuple[LinkerConnection, Heard] | Order] = asyncio.Queue()
        self._connection: LinkerConnection | None = None
        self._paired: pipe.Paired | None = None
        self._revived = False
        self._deadline = 0

    def order(self, order: Order, attempt: int | None = None) -> None:
        """Ask something of the attempt; it is obeyed in turn. What was asked of an older `attempt` is dropped: it came
        late, and the page has gone on."""
        if attempt is None or attempt >= self._first:
            self._inbox.put_nowait(order)

    def lost(self) -> None:
        """The lease is lost: the linker dies now, whatever the driver waits for."""
        if self._connection is not None:
            self._connection.kill()
        self.order(Order.LOST)

    async def renewed(self, lease: Lease) -> None:
        """Redis lost its memory: the attempt goes on under its new number."""
        self._page.lease = lease
        await self._parts.claims.reclaim(lease, self._page.subject)
        with suppress(Stopped):  # the driver learns it by itself
            await self._page.show(MessageType.STATUS, "attempt.retaken")

    async def run(self, lease: Lease) -> None:
        """Drive the attempt to its end. Raises nothing but cancellation: a bug ends the attempt, not the worker."""
        self._page.lease = lease
        try:
            if self._parts.switches.board.paused:
                await self._learn()
                await self._fail(FailureCode.PAUSED, raw="switch")
            await self._begin()
            await self._drive()
        except Stopped:
            pass
        except StoreFenced:
            log.warning("attempt.fenced", session=self._session, attempt=lease.token)  # another has taken over
        except Exception as error:  # noqa: BLE001 - the attempt's own border
            sentry.report(
                "linking", error, session=self._session, method=self._page.method, phone=self._page.subject.phone
            )
            await self._end_after(error)
        finally:
            await self._leave()

    async def _end_after(self, error: Exception) -> None:
        try:
            await self._fail(FailureCode.INTERNAL, raw=type(error).__name__, alert=False)
        except Stopped:
            pass
        except Exception as second:  # noqa: BLE001 - Redis is away as well: the sweep will end it
            log.warning("attempt.unended", session=self._session, error=type(second).__name__)

    # --- one connection to WhatsApp -----------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Connect with a linker of our own."""
        self._deadline = now_ms() + self._limits.attempt
        self._rotation = Rotation()
        if self._parts.linkers.is_warm:
            await self._dial()  # first: the library is under way while the rest is read and told
            await self._tell_connecting()
        else:
            await self._tell_connecting()
            await self._dial()

    async def _tell_connecting(self) -> None:
        await self._learn()
        self._page.renew(State.CONNECTING, deadline=self._deadline)
        await self._page.show(MessageType.STATUS, "attempt.connecting")

    async def _learn(self) -> None:
        """Whom the attempt is about, and what was asked for."""
        await self._learn_subject()
        asked = (await self._parts.snapshots.read(self._session)).body
        self._page.change(method=asked.method or self._page.method)

    async def _learn_subject(self) -> None:
        subject = await self._parts.claims.subject(self._session)
        if subject.link or not self._page.subject.link:  # a Redis that lost its memory shall not cost us ours
            self._page.subject = subject

    async def _dial(self) -> None:
        linker = await self._parts.linkers.take()
        await self._connect(linker, self._parts.store.scratch(self._session, self._page.lease.token))

    async def _connect(self, linker: Linker, scratch: str, jid: str = "") -> None:
        log.info("attempt.connecting", session=self._session, attempt=self._page.lease.token, linker=linker.pid)
        self._connection = LinkerConnection(
            linker, self._parts.store, scratch, lambda *heard: self._inbox.put_nowait(heard)
        )
        await self._connection.send(pipe.Start(database=scratch, jid=jid))

    async def _leave(self) -> None:
        """Nothing of the attempt stays behind: process, task, file, claim to a code."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        try:
            await self._codes.give_back()
        except (RedisError, OSError, TimeoutError) as error:
            log.warning("code.kept", session=self._session, error=type(error).__name__)  # it lapses by itself

    async def _again(self, why: str) -> None:
        """A fresh connection under a new number: the page goes on, with a new QR."""
        await self._leave()
        lease = await self._parts.ownership.advance(self._page.lease)
        if lease is None:
            raise Stopped
        self._page.lease = lease
        log.info("attempt.again", session=self._session, why=why)
        await self._begin()

    async def _drive(self) -> None:
        while True:
            item = await self._next()
            if isinstance(item, Order):
                await self._obey(item)
            elif item[0] is self._connection:
                await self._hear(item[1])

    async def _next(self) -> tuple[LinkerConnection, Heard] | Order:
        try:
            async with asyncio.timeout((self._deadline - now_ms()) / 1000):
                return await self._inbox.get()
        except TimeoutError:
            await self._time_is_up()

    async def _time_is_up(self) -> NoReturn:
        if self._page.state is State.AWAITING_PHONE:
            await self._rest(State.EXPIRED, "attempt.expired")
        await self._fail(FailureCode.CONNECTION_FAILED, raw=f"deadline in {self._page.state}")

    # --- what others ask ----------------------------------------------------------------------------------------------

    async def _obey(self, order: Order) -> None:
        match order:
            case Order.LOST:
                raise Stopped
            case Order.CANCEL:
                if self._page.state in {State.CONNECTING, State.AWAITING_PHONE}:
                    await self._rest(State.CANCELLED, "attempt.cancelled")
            case Order.HAND_OVER:
                if self._page.state is not State.LINKING:
                    await self._leave()
                    await self._parts.ownership.release(self._page.lease)
                    await self._parts.restart(self._session, self._page.method)
                    raise Stopped
            case Order.CODE:
                await self._want_code()
            case _:
                assert_never(order)

    async def _want_code(self) -> None:
        """A code for the subject's phone: the living one, or a new one, but never two at once."""
        await self._learn_subject()
        if self._connection is None or not self._codes.due or self._page.state is not State.AWAITING_PHONE:
            return  # while connecting, the first QR brings it about
        if self._rotation.dies - now_ms() < self._limits.code_least:
            await self._codes.turn()
            await self._again("too little time for a code")
            return
        await self._codes.ask(self._connection, self._rotation.dies)

    # --- what the linker says -----------------------------------------------------------------------------------------

    async def _hear(self, event: Heard) -> None:
        match event:
            case pipe.Ready():
                pass
            case pipe.Qr():
                await self._show_qr(event)
            case pipe.Code(text=text):
                await self._codes.shown(text, self._rotation.dies)
            case pipe.CodeRefused(status=status, reason=reason):
                await self._codes.refused(status, reason)
            case pipe.Word(word=word):
                await self._word(word)
            case pipe.Paired():
                await self._agreed(event)
            case pipe.Connected():
                await self._linked()
            case pipe.Ended():
                await self._ended(event)
            case Exited():
                await self._died(event)
            case WrongMessage() | EngineFailed():
                raise event
            case _:
                assert_never(event)

    async def _show_qr(self, event: pipe.Qr) -> None:
        if self._page.state not in {State.CONNECTING, State.AWAITING_PHONE}:
            return
        is_first = self._page.state is State.CONNECTING
        shown = self._rotation.next(event.text, event.born, self._limits.qr)
        number = shown.view.number
        if shown.refreshed:
            what, counters = "qr.refreshed", tallies.qr_refreshed()
        else:
            what, counters = "qr.shown", tallies.qr_shown(self._page.method, self._page.region, number)
        if number > self._limits.unanswered and self._page.body.hint is None:
            self._page.change(hint=Hint.NO_ANSWER)
            counters = (*counters, *tallies.unanswered())
        self._page.step(State.AWAITING_PHONE, qr=shown.view)
        if is_first and self._connection is not None and self._codes.due:
            # First: WhatsApp makes the code while the QR is shown.
            await self._codes.ask(self._connection, self._rotation.dies)
        await self._page.show(MessageType.QR_UPDATE, what, str(number), counters)

    async def _word(self, word: str) -> None:
        reason = reasons.of_word(word)
        match reason.verdict:
            case Verdict.GO_ON:
                pass
            case Verdict.AGAIN:
                await self._again_or_fail(reason.code, word)
            case Verdict.USED_UP:
                if self._rotation.dies and now_ms() > self._rotation.dies - self._limits.used_up_early:
                    await self._rest(State.EXPIRED, "attempt.expired")
                await self._fail(FailureCode.CONNECTION_FAILED, raw=word)
            case Verdict.FAIL:
                await self._fail(reason.code, raw=word)
            case _:
                assert_never(reason.verdict)

    async def _again_or_fail(self, code: FailureCode, raw: str, *, alert: bool = True) -> None:
        if self._page.state is State.LINKING or self._page.restarts >= self._limits.restarts:
            await self._fail(code, raw=raw, alert=alert)
        self._page.restarts += 1
        await self._again(raw)

    async def _ended(self, event: pipe.Ended) -> None:
        code = reasons.of_ending(event.reason, event.refusal)
        if event.refusal is pipe.LostReason.BANNED and event.until is not None and self._paired is not None:
            await self._parts.cooldowns.until(phone.of_jid(self._paired.jid), event.until)
        await self._fail(code, raw=event.reason, retry_at=event.until)

    async def _died(self, exited: Exited) -> None:
        sentry.engine_died(
            "linker",
            code=exited.code,
            signal=exited.signal,
            panic=exited.panic,
            session=self._session,
            method=self._page.method,
        )
        if self._paired is not None and not self._revived:
            await self._revive(self._paired)
        else:
            await self._again_or_fail(FailureCode.INTERNAL, exited.panic or "linker died", alert=False)

    async def _revive(self, paired: pipe.Paired) -> None:
        """The linker died after the phone had agreed. A phone is not asked twice: the device is in the file, and another
        linker logs in with it. Once: who dies of that again has a reason."""
        self._revived = True
        log.warning("attempt.revived", session=self._session, attempt=self._page.lease.token)
        linker, dead = await self._parts.linkers.take(), self._connection
        assert dead is not None, "it has spoken"  # noqa: S101
        await dead.close(keep=True)
        await self._connect(linker, dead.scratch, jid=paired.jid)

    # --- the phone has agreed -----------------------------------------------------------------------------------------

    async def _agreed(self, event: pipe.Paired) -> None:
        self._paired = event
        self._deadline = now_ms() + self._limits.finish
        self._page.renew(State.LINKING, deadline=self._deadline)
        counters = tallies.agreed(self._page.method, self._page.region)
        await self._page.show(MessageType.STATUS, "phone.agreed", counters=counters)

    async def _linked(self) -> None:
        """Durable first, told second: only then does the page say `linked`."""
        if self._paired is None or self._connection is None:
            await self._fail(FailureCode.INTERNAL, raw="connected without pairing")
        linked_at, jid = now_ms(), self._paired.jid
        why = await self._unwelcome(phone.of_jid(jid))
        # Who is not to stay is parked from the first moment on: should this worker die now, nobody takes it up.
        device = await self._parts.store.adopt(
            self._session, self._connection.scratch, jid, linked_at, self._fence, parked=why
        )
        await self._leave()
        if why or not await self._parts.claims.spend(self._page.subject):
            await self._parts.refuse(self._page.lease, device)
            await self._fail(FailureCode.WRONG_NUMBER, raw=why or REVOKED)
        view = DeviceView(phone=phone.masked(device.phone), name=self._parts.device_name, linked_at=linked_at)
        method, known, region = self._page.method, self._page.region, phone.region_of(device.phone)
        body = Body(state=State.LINKED, method=method, device=view)
        counters = tallies.linked(method, known, region)
        await self._page.end(body, MessageType.WHATSAPP_CONNECTED, "attempt.linked", region, counters, region=region)
        await self._parts.adopt(self._page.lease, device, body, tallies.verified(method, known, region))
        raise Stopped

    @property
    def _fence(self) -> Fence:
        return Fence(self._page.lease.token, lambda: self._parts.ownership.owner(self._session) is self)

    async def _unwelcome(self, number: str) -> str:
        """Why the phone that has agreed must not stay, in a word; empty if it may."""
        expected = self._page.subject.expected
        if expected is not None and not phone.same_account(expected, number):
            return FailureCode.WRONG_NUMBER.value
        # Told as a wrong number as well: whoever comes with a good link sees the ending, and shall find a way on.
        return REVOKED if await self._parts.claims.is_revoked(self._page.subject) else ""

    # --- the end ------------------------------------------------------------------------------------------------------

    async def _rest(self, state: State, event: str) -> NoReturn:
        """End without a device and without a fault."""
        await self._leave()
        await self._page.rest(state, event)
        await self._done()

    async def _fail(self, code: FailureCode, *, raw: str, retry_at: int | None = None, alert: bool = True) -> NoReturn:
        """End with a failure; told to Sentry by the one who wrote it."""
        method, number = self._page.method, self._page.subject.phone
        await self._leave()
        await self._page.fail(code, raw=raw, retry_at=retry_at)
        if alert:
            sentry.ending("linking", code, session=self._session, method=method, phone=number, raw=raw)
        await self._done()

    async def _done(self) -> NoReturn:
        """The last snapshot is written: the lease goes."""
        await self._parts.ownership.release(self._page.lease)
        raise Stopped
