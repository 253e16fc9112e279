"""Texts on their way through held sessions. Whatever happens to one, the integrator hears of an end."""

import asyncio

import structlog

from shared.core.ids import SessionId
from shared.core.lifecycle import DEVICE
from shared.state.events import Undelivered
from workers import reasons
from workers.engine import protocol as pipe
from workers.holding.holders import Holders
from workers.holding.session import HeldSession, Links

log = structlog.get_logger()

SEND_SECONDS = 120.0
"""How long a text waits for its session to be held, and to come online, from the moment that it was asked for."""
UNKNOWN_SECONDS = SEND_SECONDS + 90.0
"""A text without an end after this long is told as `unknown`: its worker has died. A holder needs 70 s at most."""


class Sending:
    """The texts of one worker's sessions."""

    def __init__(self, links: Links, holders: Holders) -> None:
        self._links = links
        self._holders = holders
        self._under_way: set[tuple[SessionId, str]] = set()  # in the hands of holders

    async def may_come(self, session: SessionId, message: str) -> bool:
        """Whether somebody may yet hold the session, as in a hand-over, before the text has waited too long."""
        stored = await self._links.snapshots.read(session)
        return stored.body.state in DEVICE and await self._links.outbox.waited(session, message) < SEND_SECONDS

    async def send(self, session: SessionId, held: HeldSession | None, message: str) -> None:
        """Send a text that waits in the outbox, once its session is online."""
        if held is None:
            self._ended(session, message, Undelivered.NOT_ONLINE)
            return
        await self._links.message_begun(session, message, UNKNOWN_SECONDS)
        self._links.spawn(self._send(held, message), "send")

    async def _send(self, held: HeldSession, message: str) -> None:
        session = held.session
        waited = await self._links.outbox.waited(session, message)
        try:
            async with asyncio.timeout(max(0.0, SEND_SECONDS - waited)):
                await held.online.wait()
        except TimeoutError:
            self._ended(session, message, Undelivered.NOT_ONLINE)
            return
        text = await self._links.outbox.take(session, message)
        if text is None:
            self._ended(session, message, Undelivered.UNKNOWN)  # too old, or taken by a worker that died
            return
        self._under_way.add((session, message))
        order = pipe.Send(session=session, message=message, to=text.to, text=text.text)
        if not await self._holders.send(session, order) and (session, message) in self._under_way:
            self._ended(session, message, Undelivered.NOT_ONLINE)

    def heard(self, event: pipe.Sent | pipe.SendFailed) -> None:
        """How a text has ended; its session may be held no more."""
        session = SessionId(event.session)
        match event:
            case pipe.Sent():
                self._ended(session, event.message, None)
            case pipe.SendFailed(reason=raw):
                self._ended(session, event.message, reasons.of_unsent(raw), raw)

    def cut(self, session: SessionId) -> None:
        """The session's holder is gone, and with it the answers to what it had in its hands."""
        for one, message in [pair for pair in self._under_way if pair[0] == session]:
            self._ended(one, message, Undelivered.UNKNOWN)

    def _ended(self, session: SessionId, message: str, why: Undelivered | None, raw: str = "") -> None:
        self._under_way.discard((session, message))
        if why is None:
            log.info("message.sent", session=session, message=message)
        else:
            log.warning("message.failed", session=session, message=message, why=why.value, raw=raw or None)
        self._links.message_ended(session, message, why)
