"""Pairing codes of one attempt: asked for once, shown as long as they live, and never two at once for a phone."""

from dataclasses import replace

import structlog

from shared.core import phone
from shared.core.clock import now_ms
from shared.core.failures import FailureCode
from shared.core.lifecycle import State
from shared.core.protocol import CodeView, MessageType, Method
from shared.state.claims import Claims
from shared.state.cooldowns import Asker, Cooldowns
from shared.state.switches import Switches
from shared.telemetry import sentry
from workers import reasons, tallies
from workers.engine import protocol as pipe
from workers.linking.connection import LinkerConnection
from workers.linking.limits import AttemptLimits
from workers.linking.page import Page

log = structlog.get_logger()


class Codes:
    """The code part of an attempt. A newer code of the same phone kills the older silently, so the phone's one living
    code is claimed over all companies before WhatsApp is asked."""

    def __init__(
        self, page: Page, claims: Claims, cooldowns: Cooldowns, switches: Switches, limits: AttemptLimits
    ) -> None:
        self._page = page
        self._claims = claims
        self._cooldowns = cooldowns
        self._switches = switches
        self._limits = limits
        self._asker: Asker | None = None

    @property
    def due(self) -> bool:
        """Whether a code was asked for that WhatsApp has not been asked for yet."""
        return self._page.subject.phone is not None and self._asker is None

    async def ask(self, connection: LinkerConnection, dies: int) -> None:
        """Ask WhatsApp for a code, which lives until `dies` (ms since the epoch) at the latest."""
        subject = self._page.subject
        if subject.phone is None or self._asker is not None:
            return
        await self.turn()
        if self._switches.board.codes_blocked(self._page.region):
            await self._none(FailureCode.CODE_NOT_AVAILABLE, None)
            return
        asker = Asker(subject.phone, self._page.session, subject.address)
        taken_until = await self._cooldowns.take_code(asker, max(dies - now_ms(), 1))
        if taken_until is not None:
            log.warning("code.taken", session=self._page.session)
            await self._none(FailureCode.IN_PROGRESS, taken_until)
            return
        self._asker = asker
        await connection.send(pipe.RequestCode(phone=subject.phone))

    async def turn(self) -> None:
        """The page came for a QR and now waits for a code."""
        if self._page.body.method is not Method.CODE:
            self._page.change(method=Method.CODE, failure=None)
            await self._page.show(MessageType.STATUS, "code.asked", counters=tallies.turned_to_code())

    async def shown(self, text: str, dies: int) -> None:
        """WhatsApp has made a code."""
        if self._page.state is not State.AWAITING_PHONE or self._asker is None:
            return
        view = CodeView(
            text=text, expires_at=min(now_ms() + self._limits.code, dies), phone=phone.masked(self._asker.phone)
        )
        self._page.change(code=view, failure=None)
        region = phone.region_of(self._asker.phone)
        await self._page.show(MessageType.PAIRING_CODE, "code.shown", region, tallies.code_shown(region))

    async def refused(self, status: int | None, reason: str) -> None:
        """WhatsApp gives none. The QR, if alive, stays; when it was a throttle, whoever asked has to wait."""
        if self._page.state is not State.AWAITING_PHONE or self._asker is None:
            return
        why = reasons.of_code_refusal(status)
        log.warning("code.refused", session=self._page.session, status=status, reason=reason, failure=why.code.value)
        retry_at = await self._cooldowns.refused(self._asker) if why.throttle else None
        await self.give_back()
        await self._none(why.code, retry_at)
        sentry.ending("code", why.code, session=self._page.session, method=Method.CODE.value, raw=f"{status} {reason}")

    async def give_back(self) -> None:
        """The connection is over, and the code with it: another company may have one now. Idempotent."""
        asker, self._asker = self._asker, None
        if asker is not None:
            await self._cooldowns.give_code_back(asker)

    async def _none(self, code: FailureCode, retry_at: int | None) -> None:
        await self._claims.forget_phone(self._page.session)
        self._page.subject = replace(self._page.subject, phone=None)
        self._page.change(code=None, failure=reasons.view(code, retry_at=retry_at))
        counters = tallies.code_refused(code)
        await self._page.show(MessageType.PAIRING_CODE_ERROR, "code.refused", code.value, counters)
