"""One attempt to link: drives a linker process by the lifecycle table, and shows every step as a snapshot.

Whatever happens, an attempt ends: with a device handed over to be held, or with a failure code. Its linker process
never outlives it. Times: the QRs live 160 s, the attempt 180 s, the sweep comes at 200 s: ours always fires first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NoReturn, assert_never

import structlog

from shared import phone, qr, sentry
from shared.claims import Claims, Subject
from shared.clock import now_ms
from shared.failures import FailureCode
from shared.ids import SessionId
from shared.lease import Lease
from shared.lifecycle import State, check_step
from shared.metrics import ENGINE, UNKNOWN_REGION
from shared.protocol import Body, Code, Device, MessageType, Method, Qr
from shared.queue import cancelled
from shared.snapshots import Change, Snapshots
from shared.switches import Switches
from workers import reasons, tallies
from workers.engine import protocol as pipe
from workers.engine.processes import EngineFailed, Exited, Linker, LinkerPool, WrongMessage
from workers.ownership import Ownership
from workers.reasons import Verdict
from workers.store import Device as StoredDevice
from workers.store import DeviceStore

log = structlog.get_logger()

ATTEMPT_MS = 180_000
CODE_MS = 180_000
"""WhatsApp keeps a code about this long; the connection it hangs on may end earlier."""
CODE_MIN_LEFT_MS = 60_000
"""Asked for a code with less life left than this, a new attempt begins first."""
USED_UP_EARLY_MS = 5_000
"""The rotation's end may come this much early; before that, `timeout` means that the connection was cut."""
FINISH_MS = 75_000
"""From the phone's yes to the login: the linker itself tries again after 30 s of silence."""
MOST_RESTARTS = 2
"""How often one attempt may begin anew by itself."""

assert qr.LIFE_MS < ATTEMPT_MS  # noqa: S101 - the order of the limits, checked at start


class Order(Enum):
    """What others may ask of a running attempt."""

    CODE = auto()
    CANCEL = auto()
    HAND_OVER = auto()  # this worker stops: another shall begin anew
    LOST = auto()  # the lease is gone: stop, write nothing


class _Stopped(Exception):
    """The attempt is over; its last snapshot is written, by us or by the new owner."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What every attempt of a worker works with."""

    claims: Claims
    snapshots: Snapshots
    ownership: Ownership
    linkers: LinkerPool
    store: DeviceStore
    adopt: Callable[[Lease, StoredDevice, Body, tuple[str, ...]], Awaitable[None]]
    refuse: Callable[[Lease, StoredDevice], Awaitable[None]]
    restart: Callable[[SessionId, Method], Awaitable[None]]
    device_name: str
    switches: Switches


Event = pipe.Ready | pipe.Qr | pipe.Code | pipe.CodeRefused | pipe.Word | pipe.Paired | pipe.Connected | pipe.Ended


Heard = Event | Exited | WrongMessage | EngineFailed


class Attempt:
    """One attempt, an owner of its session's lease."""

    def __init__(self, parts: Parts, session: SessionId, method: Method) -> None:
        self._parts = parts
        self._session = session
        self._inbox: asyncio.Queue[tuple[Linker, Heard] | Order] = asyncio.Queue()
        self._body = Body(state=State.QUEUED, method=method)
        self._subject = Subject(link="", link_expires_at=0)
        self._lease: Lease
        self._linker: Linker | None = None
        self._pump: asyncio.Task[None] | None = None
        self._killing: asyncio.Task[Exited] | None = None
        self._scratch = ""
        self._asked = False
        self._paired: pipe.Paired | None = None
        self._restarts = 0
        self._began = self._qr_dies = self._deadline = 0

    @property
    def _method(self) -> Method:
        return self._body.method or Method.QR

    @property
    def _known_region(self) -> str:
        known = self._subject.phone or self._subject.expected
        return phone.region_of(known) if known else UNKNOWN_REGION

    def order(self, order: Order) -> None:
        """Ask something of the attempt; it is obeyed in turn."""
        self._inbox.put_nowait(order)

    def lost(self) -> None:
        """The lease is lost: the linker dies now, whatever the driver waits for."""
        if self._linker is not None:
            self._killing = asyncio.create_task(self._linker.kill())
        self.order(Order.LOST)

    async def renewed(self, lease: Lease) -> None:
        """Redis lost its memory: the attempt goes on under its new number."""
        self._lease = lease
        await self._parts.claims.reclaim(lease, self._subject)
        await self._show(MessageType.STATUS, "attempt.retaken")

    async def run(self, lease: Lease) -> None:
        """Drive the attempt to its end. Raises nothing but cancellation: a bug ends the attempt, not the worker."""
        self._lease = lease
        try:
            self._began = now_ms()
            self._subject = await self._parts.claims.subject(self._session)
            if self._parts.switches.board.paused:
                await self._fail(FailureCode.PAUSED, raw="switch")
            await self._begin()
            await self._drive()
        except _Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - the attempt's own border
            sentry.report("linking", error, session=self._session, method=self._method, phone=self._subject.phone)
            await self._end_after(error)
        finally:
            await self._leave()

    async def _end_after(self, error: Exception) -> None:
        try:
            await self._fail(FailureCode.INTERNAL, raw=type(error).__name__, alert=False)
        except _Stopped:
            pass
        except Exception as second:  # noqa: BLE001 - Redis is away as well: the sweep will end it
            log.warning("attempt.unended", session=self._session, error=type(second).__name__)

    # --- one connection to WhatsApp -----------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Connect with a linker of our own."""
        self._began = now_ms()
        self._deadline = self._began + ATTEMPT_MS
        self._qr_dies = 0
        self._asked = False
        self._body = Body(state=State.CONNECTING, method=self._body.method, deadline=self._deadline)
        self._scratch = self._parts.store.scratch(self._session, self._lease.token)
        await self._show(MessageType.STATUS, "attempt.connecting")
        linker = self._linker = await self._parts.linkers.take()
        log.info("attempt.connecting", session=self._session, attempt=self._lease.token, linker=linker.pid)
        self._pump = asyncio.create_task(self._listen(linker))
        await linker.send(pipe.Start(database=self._scratch))

    async def _listen(self, linker: Linker) -> None:
        try:
            async for event in linker:
                self._inbox.put_nowait((linker, event))
        except (WrongMessage, EngineFailed) as error:
            self._inbox.put_nowait((linker, error))

    async def _leave(self) -> None:
        """Nothing of the attempt stays behind: process, task, file."""
        if self._linker is not None:
            await self._linker.kill()
            self._linker = None
        if self._pump is not None:
            await cancelled(self._pump)
            self._pump = None
        if self._scratch:
            self._parts.store.discard(self._scratch)

    async def _again(self, why: str) -> None:
        """A fresh connection under a new number: the page goes on, with a new QR."""
        await self._leave()
        lease = await self._parts.ownership.advance(self._lease)
        if lease is None:
            raise _Stopped
        self._lease = lease
        log.info("attempt.again", session=self._session, why=why)
        await self._begin()

    async def _drive(self) -> None:
        while True:
            item = await self._next()
            if isinstance(item, Order):
                await self._obey(item)
            elif item[0] is self._linker:
                await self._hear(item[1])

    async def _next(self) -> tuple[Linker, Heard] | Order:
        try:
            async with asyncio.timeout((self._deadline - now_ms()) / 1000):
                return await self._inbox.get()
        except TimeoutError:
            await self._time_is_up()

    async def _time_is_up(self) -> NoReturn:
        if self._body.state is State.AWAITING_PHONE:
            await self._end(Body(state=State.EXPIRED), MessageType.STATUS, "attempt.expired")
        await self._fail(FailureCode.CONNECTION_FAILED, raw=f"deadline in {self._body.state}")

    # --- what others ask ----------------------------------------------------------------------------------------------

    async def _obey(self, order: Order) -> None:
        match order:
            case Order.LOST:
                raise _Stopped
            case Order.CANCEL:
                if self._body.state in {State.CONNECTING, State.AWAITING_PHONE}:
                    await self._leave()
                    await self._end(Body(state=State.CANCELLED), MessageType.STATUS, "attempt.cancelled")
            case Order.HAND_OVER:
                if self._body.state is not State.LINKING:
                    await self._leave()
                    await self._parts.ownership.release(self._lease)
                    await self._parts.restart(self._session, self._body.method or Method.QR)
                    raise _Stopped
            case Order.CODE:
                await self._want_code()
            case _:
                assert_never(order)

    async def _want_code(self) -> None:
        """A code for the subject's phone: the living one, or a new one, but never two at once."""
        self._subject = await self._parts.claims.subject(self._session)
        if self._subject.phone is None or self._asked or self._body.state is not State.AWAITING_PHONE:
            return  # while connecting, the first QR brings it about
        if self._qr_dies - now_ms() < CODE_MIN_LEFT_MS:
            await self._turn_to_code()
            await self._again("too little time for a code")
            return
        await self._ask_code()

    async def _ask_code(self) -> None:
        if self._linker is None or self._subject.phone is None:
            return
        self._asked = True
        await self._turn_to_code()
        if self._parts.switches.board.codes_blocked(self._known_region):
            await self._refuse_code(FailureCode.CODE_NOT_AVAILABLE)
            return
        await self._linker.send(pipe.RequestCode(phone=self._subject.phone))

    async def _turn_to_code(self) -> None:
        if self._body.method is not Method.CODE:
            self._body = self._body.model_copy(update={"method": Method.CODE, "failure": None})
            await self._show(MessageType.STATUS, "code.asked", counters=tallies.turned_to_code())

    # --- what the linker says -----------------------------------------------------------------------------------------

    async def _hear(self, event: Heard) -> None:
        match event:
            case pipe.Ready():
                pass
            case pipe.Qr():
                await self._show_qr(event)
            case pipe.Code(text=text):
                await self._show_code(text)
            case pipe.CodeRefused(status=status, reason=reason):
                await self._no_code(status, reason)
            case pipe.Word(word=word):
                await self._word(word)
            case pipe.Paired():
                await self._agreed(event)
            case pipe.Connected():
                await self._linked()
            case pipe.Ended(reason=reason):
                await self._fail(FailureCode.CONNECTION_FAILED, raw=reason)
            case Exited():
                await self._died(event)
            case WrongMessage() | EngineFailed():
                raise event
            case _:
                assert_never(event)

    async def _show_qr(self, event: pipe.Qr) -> None:
        if self._body.state not in {State.CONNECTING, State.AWAITING_PHONE}:
            return
        if event.number == 1:
            self._qr_dies = event.born + qr.LIFE_MS
            # Read again: a code may have been asked for while the connection was being made.
            self._subject = await self._parts.claims.subject(self._session)
        view = Qr(
            text=event.text,
            svg=qr.svg(event.text),
            number=event.number,
            of=qr.COUNT,
            expires_at=event.born + qr.life_of(event.number),
        )
        self._step(State.AWAITING_PHONE, qr=view)
        counters = tallies.qr_shown(self._method, self._known_region, event.number)
        await self._show(MessageType.QR_UPDATE, "qr.shown", str(event.number), counters)
        if event.number == 1:
            await self._ask_code()

    async def _show_code(self, text: str) -> None:
        if self._body.state is not State.AWAITING_PHONE or self._subject.phone is None:
            return
        view = Code(
            text=text,
            expires_at=min(now_ms() + CODE_MS, self._qr_dies),
            phone=phone.masked(self._subject.phone),
        )
        self._body = self._body.model_copy(update={"code": view, "failure": None})
        region = phone.region_of(self._subject.phone)
        await self._show(MessageType.PAIRING_CODE, "code.shown", region, tallies.code_shown(region))

    async def _no_code(self, status: int | None, reason: str) -> None:
        """The QR, if alive, stays; another request for a code may follow."""
        if self._body.state is not State.AWAITING_PHONE:
            return
        code = reasons.of_code_refusal(status)
        log.warning("code.refused", session=self._session, status=status, reason=reason, failure=code.value)
        await self._refuse_code(code)

    async def _refuse_code(self, code: FailureCode) -> None:
        self._asked = False
        await self._parts.claims.forget_phone(self._session)
        self._body = self._body.model_copy(update={"code": None, "failure": reasons.view(code)})
        counters = tallies.code_refused(code)
        await self._show(MessageType.PAIRING_CODE_ERROR, "code.refused", code.value, counters)

    async def _word(self, word: str) -> None:
        reason = reasons.of_word(word)
        match reason.verdict:
            case Verdict.GO_ON:
                pass
            case Verdict.AGAIN:
                await self._again_or_fail(reason.code, word)
            case Verdict.USED_UP:
                if self._qr_dies and now_ms() > self._qr_dies - USED_UP_EARLY_MS:
                    await self._end(Body(state=State.EXPIRED), MessageType.STATUS, "attempt.expired")
                await self._fail(FailureCode.CONNECTION_FAILED, raw=word)
            case Verdict.FAIL:
                await self._fail(reason.code, raw=word)
            case _:
                assert_never(reason.verdict)

    async def _again_or_fail(self, code: FailureCode, raw: str, *, alert: bool = True) -> None:
        if self._body.state is State.LINKING or self._restarts >= MOST_RESTARTS:
            await self._fail(code, raw=raw, alert=alert)
        self._restarts += 1
        await self._again(raw)

    async def _died(self, exited: Exited) -> None:
        log.error("linker.died", session=self._session, code=exited.code, signal=exited.signal, panic=exited.panic)
        sentry.engine_died(
            "linker", code=exited.code, signal=exited.signal, panic=exited.panic, session=self._session, method=self._method
        )
        await self._again_or_fail(FailureCode.INTERNAL, exited.panic or "linker died", alert=False)

    # --- the phone has agreed -----------------------------------------------------------------------------------------

    async def _agreed(self, event: pipe.Paired) -> None:
        self._paired = event
        self._deadline = now_ms() + FINISH_MS
        self._body = Body(state=self._body.state, method=self._body.method, deadline=self._deadline)
        self._step(State.LINKING)
        counters = tallies.agreed(self._method, self._known_region)
        await self._show(MessageType.STATUS, "phone.agreed", counters=counters)

    async def _linked(self) -> None:
        """Durable first, told second: only then does the page say `linked`."""
        if self._paired is None:
            await self._fail(FailureCode.INTERNAL, raw="connected without pairing")
        linked_at = now_ms()
        device = await self._parts.store.adopt(self._session, self._scratch, self._paired.jid, linked_at)
        await self._leave()
        expected = self._subject.expected
        if expected is not None and not phone.same_account(expected, device.phone):
            await self._parts.refuse(self._lease, device)
            await self._fail(FailureCode.WRONG_NUMBER, raw="")
        view = Device(phone=phone.masked(device.phone), name=self._parts.device_name, linked_at=linked_at)
        method, known, region = self._method, self._known_region, phone.region_of(device.phone)
        counters = tallies.linked(method, known, region)
        self._step(State.LINKED)
        self._body = Body(state=State.LINKED, method=method, device=view)
        await self._parts.claims.spend(self._subject)
        await self._save(
            Change(self._body, MessageType.WHATSAPP_CONNECTED, "attempt.linked", region, counters, ending=True)
        )
        self._log_ending(self._body, region)
        await self._parts.adopt(self._lease, device, self._body, tallies.verified(method, known, region))
        raise _Stopped

    # --- writing ------------------------------------------------------------------------------------------------------

    def _step(self, state: State, **changes: object) -> None:
        check_step(self._body.state, state)
        self._body = self._body.model_copy(update={"state": state, **changes})

    async def _show(self, kind: MessageType, event: str, detail: str = "", counters: tuple[str, ...] = ()) -> None:
        await self._save(Change(self._body, kind, event, detail, counters))

    async def _save(self, change: Change) -> None:
        if await self._parts.snapshots.save(self._lease, change) is None:
            raise _Stopped

    async def _fail(self, code: FailureCode, *, raw: str, alert: bool = True) -> NoReturn:
        """End with a failure."""
        counters = (tallies.failed(code, self._known_region),)
        body = Body(state=State.FAILED, method=self._body.method, failure=reasons.view(code))
        await self._end(body, MessageType.ERROR, "attempt.failed", code.value, counters, raw=raw, alert=alert)

    async def _end(
        self,
        body: Body,
        kind: MessageType,
        event: str,
        detail: str = "",
        counters: tuple[str, ...] = (),
        *,
        raw: str = "",
        alert: bool = False,
    ) -> NoReturn:
        """The last snapshot, then the lease; told to Sentry by the one who wrote it."""
        check_step(self._body.state, body.state)
        await self._leave()
        await self._save(Change(body, kind, event, detail, (*counters, tallies.ended(body.state)), ending=True))
        self._log_ending(body, self._known_region, raw)
        if alert and body.failure:
            sentry.ending(
                "linking",
                body.failure.code,
                session=self._session,
                raw=raw,
                method=self._method,
                phone=self._subject.phone,
            )
        await self._parts.ownership.release(self._lease)
        raise _Stopped

    def _log_ending(self, body: Body, region: str, raw: str = "") -> None:
        """The canonical line of an attempt. `ms` since this worker took it; `left` is the state that it was in."""
        write = log.warning if body.failure else log.info
        write(
            "attempt.ended",
            session=self._session,
            attempt=self._lease.token,
            state=body.state.value,
            left=self._body.state.value,
            method=self._method.value,
            region=region,
            failure=body.failure.code.value if body.failure else None,
            raw=raw or None,
            restarts=self._restarts,
            ms=now_ms() - self._began,
            engine=ENGINE,
        )
