"""The texts of a worker's sessions: one queue for each session that has texts, and the news of them."""

import asyncio
from collections.abc import Iterable

from shared.core.ids import SessionId
from shared.core.lifecycle import DEVICE
from shared.core.messages import Fate, MessageState
from shared.log import log
from shared.state.contacts import Contact
from workers import reasons
from workers.engine import protocol as pipe
from workers.holding.holders import Holders
from workers.holding.outgoing import TextQueue
from workers.holding.session import HeldSession, Links

ASK_SECONDS = 8.0
"""Time for WhatsApp's answer, for a caller who waits at the API."""


class Sending:
    """The texts of one worker's sessions."""

    def __init__(self, links: Links, holders: Holders) -> None:
        self._links = links
        self._holders = holders
        self._queues: dict[SessionId, TextQueue] = {}

    def _queue(self, session: SessionId) -> TextQueue:
        queue = self._queues.get(session)
        if queue is None:
            queue = self._queues[session] = TextQueue(session, self._links, self._holders)
        return queue

    def wake(self, held: HeldSession, *, stale: bool = True) -> None:
        """Look at the texts of a session, as it has come online, or, if `stale`, as there may be more."""
        queue = self._queue(held.session)
        queue.held = held
        queue.wake(stale=stale)

    async def send(self, session: SessionId, held: HeldSession | None) -> None:
        """Look at a session's new text. If nobody holds the session, whoever takes it up finds the text, or a sweep does.
        If it has no device, nobody ever will, and the text is told as not sent."""
        if held is not None:
            self.wake(held)
        elif (await self._links.snapshots.read(session)).body.state not in DEVICE:
            await self._links.outbox.give_up(session)

    def heard(self, event: pipe.Sent | pipe.SendFailed | pipe.Confirmed | pipe.Looked) -> None:
        """Take the end of a text, receipts, or WhatsApp's answer about people, though the session may be held no more."""
        queue = self._queue(SessionId(event.session))
        match event:
            case pipe.Sent():
                fate = Fate(MessageState.SENT, whatsapp_id=event.whatsapp_id, at=event.at)
                queue.heard(event.message, fate)
            case pipe.SendFailed(reason=raw):
                log.info("message.unsent", session=event.session, message=event.message, raw=raw)
                queue.heard(event.message, reasons.of_unsent(raw))
            case pipe.Confirmed():
                queue.confirmed(event)
            case pipe.Looked():
                queue.people.heard(event)
                queue.wake(stale=False)

    async def answer(self, session: SessionId, ticket: str) -> None:
        """Leave at the ticket what WhatsApp says of a number, or after the wait that it said nothing."""
        contacts, people = self._links.contacts, self._queue(session).people
        to = await contacts.asked(session, ticket)
        if to is None:
            return
        contact = None
        try:
            async with asyncio.timeout(ASK_SECONDS):
                while (contact := people.of(to)) is None:
                    people.changed.clear()
                    await people.look([to])
                    if people.of(to) is None:
                        await people.changed.wait()
        except TimeoutError:
            log.warning("contact.unanswered", session=session)
        await contacts.reply(session, ticket, contact or Contact(None))
        await people.look(())  # keeps the answer for a day

    def cut(self, session: SessionId) -> None:
        """Expect no answers any more of a session's holder, as it is gone."""
        if queue := self._queues.get(session):
            queue.cut()

    def stop(self, session: SessionId) -> None:
        """Stop with a session that is held here no more."""
        if queue := self._queues.get(session):
            queue.stop()

    async def finish(self, sessions: Iterable[SessionId]) -> None:
        """Send no more texts of these sessions, and wait a little for the ends of those under way."""
        await asyncio.gather(*(queue.finish() for one in sessions if (queue := self._queues.get(one))))

    def restore(self, session: SessionId) -> None:
        """Keep the session's texts in Redis again, as it has lost them."""
        if queue := self._queues.get(session):
            queue.restore()

    async def give_up(self, session: SessionId) -> None:
        """Tell the session's texts as not sent, as it has no device any more; of those under way first what is known here."""
        await self.finish([session])
        await self._links.outbox.give_up(session)
